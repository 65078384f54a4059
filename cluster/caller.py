"""A caller: one call through the gRPC API as a telephone would place it.

Streams 20 ms frames in real time, plays what it hears on a clock of its own,
and follows a script (`cluster.script`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import grpc

from cluster.client import connected, credentials
from cluster.playback import FRAME_S, SILENCE, Playback
from cluster.script import Ear, HangUp, Interrupt, Listen, Press, Say, Script, StayOn, Step, Until
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc
from reception.errors import Unavailable

__all__ = [
    "Caller",
    "HangUp",
    "Interrupt",
    "Listen",
    "Outcome",
    "Press",
    "Say",
    "StayOn",
    "Step",
    "Until",
]

OUTBOX = 500
_ANSWERING = (
    rv.TurnEvent.KIND_SPEECH_STOPPED,
    rv.TurnEvent.KIND_RESPONSE_STARTED,
    rv.TurnEvent.KIND_FIRST_AUDIO,
)


@dataclass(slots=True)
class Outcome:
    """What a call was like from the caller's side. Times in ms.

    answer_ms: from the end of the caller's own words to the first answer audio
    heard, for each of them. barge_in_ms: from the first sound of an
    interruption to the receptionist's falling silent.
    """

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
        start: the first message; None for a plain mu-law call. Mu-law is the
            only codec that a Caller speaks.
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
        self._address, self._key = address, key
        self._start = start or rv.CallStart(
            format=rv.LegFormat(codec=rv.CODEC_PCMU), sends_marks=True, to="+15550123"
        )
        self._on_change = on_change or (lambda _: None)
        self._script = Script(steps)
        self._ear = Ear()
        self._playback = Playback()
        self._outbox: asyncio.Queue[rv.CallerMessage | None] = asyncio.Queue(OUTBOX)
        self._accepted = asyncio.Event()
        self._ended = False  # nothing may follow from us
        self._timed_s = self._cut_in_s = 0.0  # what was measured already

    async def call(self) -> Outcome:
        """Places the call and stays until it is over. Never raises for what the
        server answers: see `Outcome.status` and `error`."""
        async with grpc.aio.insecure_channel(self._address) as channel:
            try:
                await connected(channel, self._address)
                # generated code has none
                await self._converse(rpc.ReceptionStub(channel))  # type: ignore[no-untyped-call]
                self.outcome.status = "OK"
            except Unavailable as error:
                self.outcome.status, self.outcome.error = "UNAVAILABLE", error.message
            except grpc.aio.AioRpcError as error:
                if self.outcome.summary is not None:
                    self.outcome.status = "OK"  # a late write of ours failed: see _write
                else:
                    self.outcome.status = error.code().name
                    self.outcome.error = error.details() or ""
        if self._script.fault and not self.outcome.error:
            self.outcome.error = self._script.fault
        self._on_change(self.outcome)
        return self.outcome

    async def _converse(self, stub: rpc.ReceptionStub) -> None:
        opened_s = time.monotonic()
        stream = stub.Converse(metadata=credentials(self._key))
        tasks = [
            asyncio.create_task(self._write(stream), name="caller's words"),
            asyncio.create_task(self._tick(), name="caller's clock"),
        ]
        try:
            while (message := await stream.read()) is not grpc.aio.EOF:
                self._on_message(message, opened_s)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(
        self, stream: grpc.aio.StreamStreamCall[rv.CallerMessage, rv.ReceptionMessage]
    ) -> None:
        """All that is put, in order. When the stream is over, reading tells why.

        (A write that fails just as the server ends the stream makes grpcio say
        INTERNAL in place of the server's status: grpc/grpc issue 36066. So
        nothing but CallStart is written before the call is accepted, and a stream
        that fails after its summary, the last message of a call, ended in order.)
        """
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await stream.write(rv.CallerMessage(start=self._start))
            while (message := await self._outbox.get()) is not None:
                await stream.write(message)
            await stream.done_writing()

    def _put(self, **one: object) -> None:
        """Sends a message; when the server takes none for 10 s, it is lost."""
        if not self._ended and not self._outbox.full():
            # the stub knows only the fields one by one
            self._outbox.put_nowait(rv.CallerMessage(**one))  # type: ignore[arg-type]

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
                self._on_clear(now_s)
            case "transcript":
                if message.transcript.final:
                    caller = message.transcript.speaker == rv.SPEAKER_CALLER
                    who = "caller" if caller else "reception"
                    outcome.transcript.append((who, message.transcript.text))
            case "turn":
                outcome.turns.append(message.turn)
                self._ear.answering = message.turn.kind in _ANSWERING
            case "transfer":
                outcome.transfer = message.transfer
                self._put(event=rv.CallEvent(kind=rv.CallEvent.KIND_TRANSFER_SUCCEEDED))
            case "hangup":
                outcome.hangup = message.hangup.reason
            case "summary":
                outcome.summary = message.summary.call
        self._on_change(outcome)

    def _on_clear(self, now_s: float) -> None:
        self._playback.clear()
        if self._script.cut_in_s > self._cut_in_s:
            self._cut_in_s = self._script.cut_in_s
            self.outcome.barge_in_ms.append((now_s - self._cut_in_s) * 1000)

    # ------------------------------------------------------------- the telephone's clock

    async def _tick(self) -> None:
        """Every 20 ms a frame played and a frame out, on absolute times."""
        await self._accepted.wait()
        next_s, number = time.monotonic(), 0
        while not self._ended:
            number += 1
            now_s = time.monotonic()
            self._play(now_s)
            self._speak(number, now_s)
            next_s += FRAME_S
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))

    def _play(self, now_s: float) -> None:
        frame, reached = self._playback.next(now_s)
        for name in reached:
            self._put(mark=rv.Mark(name=name))
        self.outcome.reception_audio += frame
        self._ear.quiet_s = self._playback.quiet_for_s(now_s)
        if frame is SILENCE:
            return
        self._ear.frames += 1
        stopped_s = self._script.stopped_speaking_s
        if self._timed_s < stopped_s <= now_s and not self._script.speaking:
            self._timed_s = stopped_s
            self.outcome.answer_ms.append((now_s - stopped_s) * 1000)

    def _speak(self, number: int, now_s: float) -> None:
        frame, done = self._script.next(now_s, self._ear)
        self.outcome.caller_audio += frame
        if frame:
            audio = rv.Audio(payload=frame, sequence=number, timestamp_ms=(number - 1) * 20)
            self._put(audio=audio)
        for each in done:
            if isinstance(each, Press):
                self._put(dtmf=rv.Dtmf(digits=each.digits))
            else:
                self._hang_up("normal_clearing")
        if self.outcome.hangup and self._ear.quiet_s > 0:
            self._hang_up("released")

    def _hang_up(self, reason: str) -> None:
        """The last message, and the half-close behind it; in that order even
        when the server has stopped reading."""
        if self._ended:
            return
        while self._outbox.qsize() > OUTBOX - 2:
            self._outbox.get_nowait()
        self._put(end=rv.CallEnd(reason=reason))
        self._outbox.put_nowait(None)
        self._ended = True
