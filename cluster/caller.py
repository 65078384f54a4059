"""A caller: one call through the gRPC API as a telephone would place it.

Streams 20 ms frames in real time, plays what it hears on a clock of its own,
and follows a script.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import grpc

from cluster.playback import FRAME_BYTES, FRAME_S, SILENCE, Playback
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc

QUIET_S = 0.4
ANSWER_PATIENCE_S = 30.0
OUTBOX = 500


@dataclass(frozen=True, slots=True)
class Listen:
    """Until the receptionist has spoken and is quiet again."""


@dataclass(frozen=True, slots=True)
class Say:
    """Mu-law audio and its words."""

    audio: bytes
    text: str = ""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Waits until the receptionist has been heard for `after_s`, then speaks over it."""

    audio: bytes
    after_s: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Press:
    digits: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """The caller hangs up."""


@dataclass(frozen=True, slots=True)
class StayOn:
    """Until the receptionist ends the call or transfers it."""


Step = Listen | Say | Interrupt | Press | HangUp | StayOn


@dataclass(slots=True)
class Outcome:
    """What a call was like from the caller's side. Times in ms."""

    call_id: str = ""
    setup_ms: float = 0.0
    transcript: list[tuple[str, str]] = field(default_factory=list)
    turns: list[rv.TurnEvent] = field(default_factory=list)
    answer_ms: list[float] = field(default_factory=list)
    barge_in_ms: list[float] = field(default_factory=list)
    transfer: rv.Transfer | None = None
    hangup: str = ""
    summary: rv.Call | None = None
    status: str = ""
    error: str = ""
    caller_audio: bytearray = field(default_factory=bytearray)
    reception_audio: bytearray = field(default_factory=bytearray)


class Caller:
    """One call.

    Args:
        address: host:port of a front door.
        steps: what the caller does.
        key: API key; "" for none.
        start: the first message; None for a plain mu-law call.
        on_change: called after everything that a watcher would want to see.
    """

    def __init__(
        self,
        address: str,
        steps: Sequence[Step],
        *,
        key: str = "",
        start: rv.CallStart | None = None,
        on_change: Callable[[Outcome], None] | None = None,
    ) -> None:
        self.outcome = Outcome()
        self._address, self._steps, self._key = address, steps, key
        self._start = start or rv.CallStart(
            format=rv.LegFormat(codec=rv.CODEC_PCMU), sends_marks=True, to="+15550123"
        )
        self._on_change = on_change or (lambda _: None)
        self._playback = Playback()
        self._outbox: asyncio.Queue[rv.CallerMessage | None] = asyncio.Queue(OUTBOX)
        self._accepted, self._over = asyncio.Event(), asyncio.Event()
        self._speaking: bytes = b""
        self._spoken = asyncio.Event()
        self._stopped_speaking_s = 0.0
        self._cut_in_s = 0.0
        self._item_heard = 0

    async def call(self) -> Outcome:
        """Places the call and stays until it is over. Never raises for what the
        server answers: see `Outcome.status` and `error`."""
        metadata = [("x-api-key", self._key)] if self._key else []
        async with grpc.aio.insecure_channel(self._address) as channel:
            await channel.channel_ready()
            opened_s = time.monotonic()
            stream = rpc.ReceptionStub(channel).Converse(self._messages(), metadata=metadata)
            tasks = [asyncio.create_task(self._tick()), asyncio.create_task(self._follow())]
            try:
                async for message in stream:
                    self._on_message(message, opened_s)
                self.outcome.status = "OK"
            except grpc.aio.AioRpcError as error:
                self.outcome.status = error.code().name
                self.outcome.error = error.details() or ""
            finally:
                self._over.set()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        self._on_change(self.outcome)
        return self.outcome

    async def _messages(self) -> AsyncIterator[rv.CallerMessage]:
        yield rv.CallerMessage(start=self._start)
        while (message := await self._outbox.get()) is not None:
            yield message

    def _put(self, **field_: object) -> None:
        if not self._outbox.full():
            self._outbox.put_nowait(rv.CallerMessage(**field_))  # type: ignore[arg-type]

    # ------------------------------------------------------------- what comes

    def _on_message(self, message: rv.ReceptionMessage, opened_s: float) -> None:
        outcome, now_s = self.outcome, time.monotonic()
        match message.WhichOneof("message"):
            case "accepted":
                outcome.call_id = message.accepted.call_id
                outcome.setup_ms = (now_s - opened_s) * 1000
                self._accepted.set()
            case "audio":
                self._playback.add(message.audio.payload)
                return
            case "mark":
                self._playback.mark(message.mark.name)
                return
            case "clear_audio":
                self._playback.clear()
                if self._cut_in_s:
                    outcome.barge_in_ms.append((now_s - self._cut_in_s) * 1000)
                    self._cut_in_s = 0.0
            case "transcript":
                if message.transcript.final:
                    who = message.transcript.speaker == rv.SPEAKER_CALLER
                    speaker = "caller" if who else "reception"
                    outcome.transcript.append((speaker, message.transcript.text))
            case "turn":
                outcome.turns.append(message.turn)
            case "transfer":
                outcome.transfer = message.transfer
                self._put(event=rv.CallEvent(kind=rv.CallEvent.KIND_TRANSFER_SUCCEEDED))
            case "hangup":
                outcome.hangup = message.hangup.reason
            case "summary":
                outcome.summary = message.summary.call
        self._on_change(outcome)

    # ------------------------------------------------------------- the telephone's clock

    async def _tick(self) -> None:
        """Every 20 ms a frame out and a frame played, on absolute times."""
        await self._accepted.wait()
        next_s, number = time.monotonic(), 0
        while True:
            number += 1
            now_s = time.monotonic()
            self._send(number, now_s)
            self._play(now_s)
            next_s += FRAME_S
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))

    def _send(self, number: int, now_s: float) -> None:
        frame, self._speaking = self._speaking[:FRAME_BYTES], self._speaking[FRAME_BYTES:]
        if frame and not self._speaking:
            self._stopped_speaking_s = now_s + FRAME_S
            self._spoken.set()
        frame = frame.ljust(FRAME_BYTES, b"\xff")
        self.outcome.caller_audio += frame
        audio = rv.Audio(payload=frame, sequence=number, timestamp_ms=(number - 1) * 20)
        self._put(audio=audio)

    def _play(self, now_s: float) -> None:
        frame, reached = self._playback.next(now_s)
        for name in reached:
            self._put(mark=rv.Mark(name=name))
        self.outcome.reception_audio += frame
        if frame is not SILENCE:
            self._item_heard += 1
            if self._stopped_speaking_s:
                self.outcome.answer_ms.append((now_s - self._stopped_speaking_s) * 1000)
                self._stopped_speaking_s = 0.0

    # ------------------------------------------------------------- the script

    async def _follow(self) -> None:
        await self._accepted.wait()
        for step in self._steps:
            match step:
                case Listen():
                    await self._listen()
                case Say(audio):
                    await self._say(audio)
                case Interrupt(audio, after_s):
                    await self._heard_for(after_s)
                    self._cut_in_s = time.monotonic()
                    await self._say(audio)
                case Press(digits):
                    self._put(dtmf=rv.Dtmf(digits=digits))
                case StayOn():
                    await self._over.wait()
                case HangUp():
                    self._put(end=rv.CallEnd(reason="normal_clearing"))
                    await self._outbox.put(None)
                    return
        await self._over.wait()

    async def _say(self, audio: bytes) -> None:
        self._item_heard = 0
        self._spoken.clear()
        self._speaking = audio
        await self._spoken.wait()

    async def _heard_for(self, after_s: float) -> None:
        self._item_heard = 0
        async with asyncio.timeout(ANSWER_PATIENCE_S):
            while self._item_heard * FRAME_S < after_s:
                await asyncio.sleep(FRAME_S)

    async def _listen(self) -> None:
        """An answer, to its end; not longer than ANSWER_PATIENCE_S for its start."""
        deadline_s = time.monotonic() + ANSWER_PATIENCE_S
        while self._item_heard == 0 and time.monotonic() < deadline_s:
            await asyncio.sleep(FRAME_S)
        while self._playback.quiet_for_s(time.monotonic()) < QUIET_S:
            await asyncio.sleep(FRAME_S)
        self._item_heard = 0
