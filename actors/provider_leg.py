"""One call's side towards the provider: dialled, told, heard, dialled again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable

import structlog

from actors.audio import Converter
from actors.provider import ProviderRefused, ProviderSocket
from protos.link.v1 import link_pb2 as lk
from reception.media.adaptation import Plan
from reception.media.codecs import PROVIDER_FORMATS, AudioFormat
from reception.media.retold import Retold
from reception.media.turns import LocalTurns
from reception.provider import codec_for
from reception.provider.base import (
    AppendAudio,
    AudioDelta,
    CallerTranscript,
    CallerTranscriptFailed,
    CancelResponse,
    ClearAudio,
    CommitAudio,
    DialPlan,
    ProviderCommand,
    ProviderEvent,
    ProviderFault,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
)
from reception.provider.refusal import Dial, Outcome

log = structlog.get_logger()

_BASE64 = 4 / 3  # bytes on the wire for one of audio
_CANCEL_S = 1.0  # for what an answer has cost that nobody waits for any more
_KEPT_FRAMES = 250  # of the caller's audio while nobody is there to hear it: 5 s of 20 ms


class ProviderLeg:
    """Audio is in the caller's leg's format here and in the provider's on the wire.

    Args:
        leg_format: the format of the call's audio.
        plan: how much is to be done for it.
        on_event: told whatever the provider says, as it is and as it came.
        on_state: told when a session is up, and when it is down.
        on_answer: told how much of an answer's audio came: before its end is, or that will
            never come.
        on_dial: told what became of each dial, and why it failed.
        turns: where the caller's turns are found here; None: the provider finds them.
    """

    def __init__(
        self,
        leg_format: AudioFormat,
        plan: Plan,
        on_event: Callable[[ProviderEvent, bytes], None],
        on_state: Callable[[lk.ProviderState], None],
        on_answer: Callable[[lk.AnswerAudio], None],
        on_dial: Callable[[Outcome, str], None],
        turns: LocalTurns | None = None,
    ) -> None:
        self.received_ns = 0  # when the provider's last message came
        self._chunk_bytes = 1  # of caller audio in a message, at least
        self._chunk = bytearray()
        self._leg_format, self._plan = leg_format, plan
        self._on_event, self._on_state, self._on_answer = on_event, on_state, on_answer
        self._on_dial, self._dial = on_dial, Dial()
        self._dialled = b""  # the plan
        self._format: AudioFormat | None = None  # the provider's
        self._making, self._made_bytes = "", 0  # the answer under way
        self._cancelled = asyncio.Event()
        self._socket: ProviderSocket | None = None
        self._task: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._finishing = False
        self._said = 0  # by either side, audio aside
        self._retold, self._turns = Retold(), turns
        self._unheard: deque[bytes] = deque(maxlen=_KEPT_FRAMES)
        self._dropped_before = 0  # by sockets that are no more

    def dial(self, plan_json: bytes) -> None:
        """Opens a session (`DialPlan` as JSON) in the place of one that there is. The same
        plan again changes nothing while its session lives: when the call's own session
        died just after it asked, the next one asks once more."""
        if plan_json == self._dialled and self._task is not None and not self._task.done():
            return
        plan = _plan(plan_json)
        provider_format = PROVIDER_FORMATS[plan.audio_format]
        self._codec = codec_for(plan.provider)
        resampler = self._plan.resampler
        self._keep_as(provider_format)
        self._dialled = plan_json
        self._up = Converter(self._leg_format, provider_format, resampler)
        self._down = Converter(provider_format, self._leg_format, resampler)
        self._chunk.clear()
        self.adapt(self._plan)
        self._stop()
        self._end_answer(lost=True)
        self._task = asyncio.create_task(self._serve(plan))

    def _keep_as(self, format: AudioFormat) -> None:
        """What the caller said to nobody yet, for a session of another format."""
        before, self._format = self._format, format
        if before is None or before == format:
            return
        converter = Converter(before, format, self._plan.resampler)
        self._retold.convert(converter.convert)
        unheard = [converter.convert(chunk) for chunk in self._unheard]
        self._unheard.clear()
        self._unheard.extend(unheard)

    def renew(self, plan_json: bytes) -> None:
        """Opens a session beside the one that there is, and goes on with it, unless
        something was said until it is there."""
        if self._socket is not None and self._renewing is None:
            self._renewing = asyncio.create_task(self._renew(_plan(plan_json), self._socket))
            self._renewing.add_done_callback(self._renewed)

    @property
    def dropped_audio(self) -> int:
        """Pieces of audio that no session took in time."""
        return self._dropped_before + (self._socket.dropped_audio if self._socket else 0)

    def adapt(self, plan: Plan) -> None:
        """From the next frame on, and for its rates from the next `dial` on."""
        self._plan = plan
        self._chunk_bytes = plan.chunk_ms * self._up.target.bytes_per_ms

    @property
    def backlog_ms(self) -> float:
        """Caller audio that waits for the provider to read it."""
        if self._socket is None:
            return 0.0
        return self._socket.backlog_bytes / (self._up.target.bytes_per_ms * _BASE64)

    @property
    def round_trip_ms(self) -> float | None:
        """As the socket measured it last; None before it did."""
        return self._socket.round_trip_ms if self._socket else None

    def hear(self, audio: bytes) -> None:
        """The caller's audio; what comes before a session is there waits for it, 5 s
        at most."""
        chunk = self._up.convert(audio)
        if self._chunk or len(chunk) < self._chunk_bytes:
            self._chunk += chunk
            if len(self._chunk) < self._chunk_bytes:
                return
            chunk = bytes(self._chunk)
            self._chunk.clear()
        self._pass(chunk)

    def _pass(self, chunk: bytes) -> None:
        if self._socket is not None:
            self._send(self._socket, chunk)
        if self._socket is None or self._renewing is not None:
            self._unheard.append(chunk)

    def _send(self, socket: ProviderSocket, audio: bytes) -> None:
        socket.send_audio(self._codec.encode(AppendAudio(audio)))
        duration_ms = len(audio) / self._up.target.bytes_per_ms
        self._retold.sent(audio, duration_ms)
        if self._turns is not None:
            self._turns.sent(duration_ms)

    # ------------------------------------------------------------- turns found here

    def turn_begins(self) -> None:
        """With what is heard next. Nobody is told while there is no session; the next one is."""
        if self._turns is not None:
            self._turns.speaking = True
            if self._socket is not None:
                self._say(self._turns.began())

    def turn_ends(self) -> None:
        """With what was heard last."""
        if self._turns is None or not self._turns.speaking:
            return
        self._turns.speaking = False
        if self._socket is not None:
            if self._chunk:
                self._pass(bytes(self._chunk))
                self._chunk.clear()
            self._say(self._turns.ended())

    def take_turn(self) -> None:
        """What was heard is one, and to be understood."""
        if self._turns is not None:
            self.tell(CommitAudio())
            self._turns.taken()

    def drop_turn(self) -> None:
        """What was heard is none, or nobody listens any more."""
        if self._turns is not None:
            self._turns.speaking = False
            self._retold.take()
            self.tell(ClearAudio())

    def _say(self, event: SpeechStarted | SpeechStopped) -> None:
        """As if the provider did."""
        self._note(event)
        self._on_event(event, self._codec.said(event))

    def answer(self, delta: AudioDelta) -> bytes:
        """The audio of a piece of an answer."""
        return self._down.convert(delta.audio)

    def tell(self, command: ProviderCommand) -> None:
        """A command; without a session it is forgotten."""
        self.pass_on(self._codec.encode(command))

    def pass_on(self, message: str) -> None:
        """A command in the provider's words; without a session it is forgotten."""
        if self._socket is not None:
            self._said += 1
            self._socket.send(message)

    async def finish(self, *, abrupt: bool) -> None:
        """Stops the answer that is being made, and waits in bounds until the provider has
        said all that it has to bill.

        Args:
            abrupt: one may have begun that was not heard of yet.
        """
        self._finishing = True
        if self._socket is None or not (self._making or abrupt):
            return
        self._cancelled.clear()
        self.tell(CancelResponse())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CANCEL_S):
                await self._cancelled.wait()
        self._end_answer(lost=True)

    def _note(self, event: ProviderEvent) -> None:
        match event:
            case ResponseStarted(response_id):
                self._making, self._made_bytes = response_id, 0
            case AudioDelta(audio=audio):
                self._made_bytes += len(audio)
            case ResponseDone(response_id=response_id, reason=reason):
                if response_id == self._making:
                    self._end_answer(lost=False)
                if reason == "client_cancelled":
                    self._cancelled.set()
                if event.status == "completed":
                    self._retold.answered()
            case ProviderFault(nothing_to_cancel=True):
                self._cancelled.set()
            case SpeechStarted():
                self._retold.started()
            case SpeechStopped(item_id=item_id):
                self._retold.stopped(item_id)
            case (
                CallerTranscript(item_id=item_id, final=True)
                | CallerTranscriptFailed(item_id=item_id)
            ):
                self._retold.understood(item_id)

    def _end_answer(self, *, lost: bool) -> None:
        if self._making:
            audio_ms = round(self._made_bytes / self._up.target.bytes_per_ms)
            made = lk.AnswerAudio(response_id=self._making, audio_ms=audio_ms, lost=lost)
            self._making = ""
            self._on_answer(made)

    async def hang_up(self) -> None:
        """Closes the session; nothing is billed after this."""
        self._stop()
        await self._close()

    def _stop(self) -> None:
        for task in (self._task, self._renewing):
            if task is not None:
                task.cancel()

    async def _serve(self, plan: DialPlan) -> None:
        await self._close()
        began_s = time.monotonic()
        dial = self._dial = Dial(self._dial)
        try:
            socket = await ProviderSocket.dial(plan)
        except ProviderRefused as error:
            self._judge(dial.lost(error.code), error.message)
            self._tell_down(error.code, error.message)
            return
        await self._listen(socket, plan.model, began_s, dial)

    async def _renew(self, plan: DialPlan, old: ProviderSocket) -> None:
        said, began_s = self._said, time.monotonic()
        dial = self._dial = Dial(self._dial)
        try:
            socket = await ProviderSocket.dial(plan)
        except ProviderRefused as error:
            self._judge(dial.lost(error.code), error.message)
            log.warning("session not renewed", error=error.message)
            return
        if self._socket is not old or self._said != said:
            await socket.close()
            return
        self._dialled = b""
        if self._task is not None:
            self._task.cancel()
        self._dropped_before += old.dropped_audio
        self._retold = Retold()  # nothing was said, and what is now said is unheard
        self._task = asyncio.create_task(self._listen(socket, plan.model, began_s, dial))
        await asyncio.sleep(0)  # it has begun
        await old.close()

    def _renewed(self, task: asyncio.Task[None]) -> None:
        if self._renewing is task:
            self._renewing = None
        if self._socket is not None:
            self._unheard.clear()

    async def _listen(self, socket: ProviderSocket, model: str, began_s: float, dial: Dial) -> None:
        self._socket = socket
        dial_ms = round((time.monotonic() - began_s) * 1000)
        self._on_state(lk.ProviderState(up=True, dial_ms=dial_ms, model=model))
        unheard = [*self._retold.take(), *self._unheard]
        self._unheard.clear()
        turns = self._turns
        if turns is not None:
            turns.anew()
            if unheard or turns.speaking:  # what the session before did not understand
                self._say(turns.began())
        for chunk in unheard:
            self._send(socket, chunk)
        if turns is not None and unheard and not turns.speaking:
            self._say(turns.ended())
        while (raw := await socket.receive()) is not None:
            self.received_ns = time.monotonic_ns()
            self._said += 1
            event = self._codec.decode(raw)
            if self._turns is not None:
                event, raw = self._turns.named(event, raw, self._codec)
            self._note(event)
            self._judge(dial.heard(event), dial.error)
            if not (self._finishing and isinstance(event, AudioDelta)):  # nobody hears it
                self._on_event(event, raw)
        await self._close()
        self._end_answer(lost=True)
        self._cancelled.set()
        if not self._finishing:
            self._judge(dial.lost(socket.close_code), dial.error or socket.close_reason)
        self._tell_down(socket.close_code, socket.close_reason)

    async def _close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            self._dropped_before += socket.dropped_audio
            await socket.close()

    def _judge(self, outcome: Outcome | None, error: str) -> None:
        if outcome is not None:
            self._on_dial(outcome, error[:200])

    def _tell_down(self, code: int, reason: str) -> None:
        self._on_state(lk.ProviderState(code=code, reason=reason[:200]))


def _plan(plan_json: bytes) -> DialPlan:
    fields = json.loads(plan_json)
    return DialPlan(**fields | {"opening": tuple(fields["opening"])})
