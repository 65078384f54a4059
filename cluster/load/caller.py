"""A cheap caller: one call of a load run, as bytes, on the process's one clock.

`cluster.caller` keeps all that is heard and said, for one call to be looked at;
this one keeps nothing and counts, so that a process can drive a hundred of them.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

import grpc

from cluster.client import credentials, says_when
from cluster.load import wire
from cluster.load.cable import Cable
from cluster.load.hearing import Hearing
from cluster.load.measures import Measures
from cluster.load.scenario import VANISHED
from cluster.load.schedule import Call, Plan
from cluster.load.ticker import Ticker
from cluster.playback import SILENCE, Playback
from cluster.script import Deed, Ear, Garbage, Press, Script, Vanish
from protos.reception.v1 import reception_pb2 as rv

CONVERSE = "/reception.v1.Reception/Converse"
HUNG = "HUNG"
OUTBOX = 500  # 10 s of frames
_REFUSALS = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
_ANSWERING = (
    rv.TurnEvent.KIND_SPEECH_STOPPED,
    rv.TurnEvent.KIND_RESPONSE_STARTED,
    rv.TurnEvent.KIND_FIRST_AUDIO,
)

Stream = grpc.aio.StreamStreamCall[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the callers of a process share. began_s: of the run, monotonic."""

    plan: Plan
    measures: Measures
    ticker: Ticker
    began_s: float

    def point(self, name: str, value: float, now_s: float) -> None:
        """One more in a time series."""
        self.measures.point(int((now_s - self.began_s) / self.plan.step_s), name, value)


class LoadCaller:
    """One call; measured where the shell's clock is read. Use `run` once.

    Args:
        call: what to do and when.
        desk: of the process.
        cable: its own connection, when it is to vanish.
    """

    def __init__(self, call: Call, desk: Desk, cable: Cable | None = None) -> None:
        self._call, self._desk, self._cable = call, desk, cable
        self._plan, self._measures = desk.plan, desk.measures
        self._intended_s = desk.began_s + call.at_s
        self._script = Script(call.cast.steps, again=call.cast.again and call.hold_s > 0)
        self._ear, self._playback = Ear(), Playback()
        self._hearing = Hearing(desk.measures, self._intended_s)
        self._outbox: asyncio.Queue[bytes | None] = asyncio.Queue(OUTBOX)
        self._limit: asyncio.Timeout | None = None
        self._stream: Stream | None = None
        self._writer: asyncio.Task[None] | None = None
        self._sequence = self._frame = 0
        self._accepted_s = self._hung_up_s = self._timed_s = self._cut_in_s = 0.0
        self._released = self._vanished = self._queued = False

    async def run(self, channel: grpc.aio.Channel) -> None:
        """The whole call; whatever the server does is counted, never raised."""
        began_s = time.monotonic()
        self._measures.counts["calls"] += 1
        self._measures.took("late", (began_s - self._intended_s) * 1000)
        self._desk.point("began", 1, began_s)
        status, fault = "OK", ""
        stream: Stream = channel.stream_stream(CONVERSE)(metadata=credentials(self._plan.key))
        self._stream = stream
        try:
            async with asyncio.timeout(self._plan.patience_s) as self._limit:
                await self._converse(stream)
        except TimeoutError:
            status, fault = HUNG, self._where()
        except grpc.aio.AioRpcError as error:
            status, fault = error.code().name, error.details() or ""
            if not self._accepted_s and not self._vanished:
                self._on_refusal(error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._vanished or (task is not None and task.cancelling()):
                raise
        finally:
            self._limit = None
            self._desk.ticker.remove(self)
            if self._writer is not None:
                self._writer.cancel()
                await asyncio.gather(self._writer, return_exceptions=True)
            stream.cancel()
        self._end(VANISHED if self._vanished else status, fault)

    def hang_up(self, reason: str = "normal_clearing") -> None:
        """The last message, and the half-close behind it; in that order even when
        the server has stopped reading."""
        if self._hung_up_s:
            return
        self._hung_up_s = time.monotonic()
        self._desk.ticker.remove(self)
        while self._outbox.qsize() > OUTBOX - 2:
            self._outbox.get_nowait()
        self._outbox.put_nowait(wire.message(end=rv.CallEnd(reason=reason)))
        self._outbox.put_nowait(None)
        self._allow(self._plan.patience_s)

    def _allow(self, for_s: float | None) -> None:
        """How long what comes next may take; None: any time."""
        if self._limit is not None and not self._limit.expired():
            at_s = None if for_s is None else asyncio.get_running_loop().time() + for_s
            self._limit.reschedule(at_s)

    async def _converse(self, stream: Stream) -> None:
        # (What ends the stream is told by reading; see cluster.caller.)
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await stream.write(self._opening())
        while (raw := await stream.read()) is not grpc.aio.EOF:
            assert isinstance(raw, bytes)
            now_s = time.monotonic()
            if raw[0] == wire.AUDIO_TAG:
                audio = rv.ReceptionMessage.FromString(raw).audio
                self._playback.add(audio.payload)
                self._hearing.audio(
                    len(audio.payload), audio.sequence, audio.timestamp_ms, audio.item_id, now_s
                )
            else:
                self._on_message(rv.ReceptionMessage.FromString(raw), now_s)

    def _opening(self) -> bytes:
        first = self._call.cast.steps[0]
        if isinstance(first, Garbage):
            return wire.garbage(first.kind, 0)
        start = rv.CallStart(
            to=self._plan.to,
            profile=self._plan.profile,
            format=rv.LegFormat(codec=rv.CODEC_PCMU),
            sends_marks=True,
            metadata={"load": self._call.cast.name},
        )
        setattr(start, "from", f"+1555{self._call.number % 10_000_000:07}")
        return wire.message(start=start)

    async def _write(self, stream: Stream) -> None:
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while (raw := await self._outbox.get()) is not None:
                await stream.write(raw)
            await stream.done_writing()

    # ------------------------------------------------------------- what comes

    def _on_message(self, message: rv.ReceptionMessage, now_s: float) -> None:
        match message.WhichOneof("message"):
            case "accepted":
                self._on_accepted(now_s)
            case "queued":
                self._measures.counts["queued"] += not self._queued
                self._queued = True
            case "mark":
                self._playback.mark(message.mark.name)
            case "clear_audio":
                self._playback.clear()
                self._hearing.cut(message.clear_audio.item_id)
                if self._script.cut_in_s > self._cut_in_s:
                    self._cut_in_s = self._script.cut_in_s
                    self._measures.took("barge_in", (now_s - self._cut_in_s) * 1000)
            case "turn":
                self._on_turn(message.turn, now_s)
            case "transfer":
                event = rv.CallEvent(kind=rv.CallEvent.KIND_TRANSFER_SUCCEEDED)
                self._put(wire.message(event=event))
            case "hangup":
                self._released = True

    def _on_accepted(self, now_s: float) -> None:
        setup_ms = (now_s - self._intended_s) * 1000
        self._accepted_s = now_s
        self._measures.counts["accepted"] += 1
        self._measures.took("setup", setup_ms)
        self._desk.point("accepted", 1, now_s)
        self._desk.point("setup_max_ms", setup_ms, now_s)
        assert self._stream is not None
        self._writer = asyncio.create_task(self._write(self._stream), name="caller's words")
        if not self._hung_up_s:  # the run may be over
            self._allow(None)
            self._desk.ticker.add(self)

    def _on_turn(self, turn: rv.TurnEvent, now_s: float) -> None:
        self._ear.answering = turn.kind in _ANSWERING
        if turn.kind != rv.TurnEvent.KIND_DONE:
            return
        self._hearing.done()
        counts = self._measures.counts
        counts["turns"] += 1
        counts["interruptions"] += turn.interrupted
        self._count_frames(now_s)
        if turn.gateway_us:
            self._added("added", turn.gateway_us, now_s)
            self._added("added_down", turn.gateway_us - turn.gateway_up_us, now_s)
        if turn.gateway_up_us:  # a greeting has none
            self._added("added_up", turn.gateway_up_us, now_s)

    def _added(self, name: str, took_us: int, now_s: float) -> None:
        self._measures.took(name, took_us / 1000)
        self._desk.point(f"{name}_max_ms", took_us / 1000, now_s)

    def _count_frames(self, now_s: float) -> None:
        received, lost = self._hearing.taken()
        if received:
            self._desk.point("received", received, now_s)
            self._desk.point("lost", lost, now_s)

    # ------------------------------------------------------------- the telephone's clock

    def tick(self, now_s: float) -> None:
        """20 ms have passed: a frame is played, and one goes out."""
        heard, reached = self._playback.next(now_s)
        for name in reached:
            self._put(wire.message(mark=rv.Mark(name=name)))
        ear, script = self._ear, self._script
        ear.quiet_s = self._playback.quiet_for_s(now_s)
        ear.frames += heard is not SILENCE
        spoken, deeds = script.next(now_s, ear)
        for deed in deeds:  # first: who hangs up sends no frame any more
            self._do(deed)
        self._frame += 1
        if spoken and not self._hung_up_s:
            self._sequence += 1
            self._put(wire.audio(spoken, self._sequence, self._frame - 1), audio=True)
        if script.stopped_speaking_s > self._timed_s:
            if script.speaking:
                self._hearing.forget()
            else:
                self._timed_s = script.stopped_speaking_s
                self._hearing.asked(self._timed_s)
        held = self._call.hold_s and now_s - self._accepted_s >= self._call.hold_s
        if held or (script.over and not self._vanished):
            self.hang_up()
        elif self._released and ear.quiet_s > 0:
            self.hang_up("released")

    def _do(self, deed: Deed) -> None:
        match deed:
            case Press(digits):
                self._put(wire.message(dtmf=rv.Dtmf(digits=digits)))
            case Garbage(kind):
                self._put(wire.garbage(kind, self._sequence))
                self._hung_up_s = time.monotonic()  # the server's turn; a real peer is broken
                self._desk.ticker.remove(self)
                self._allow(self._plan.patience_s)
            case Vanish(how):
                self._vanish(how)
            case _:
                self.hang_up()

    def _vanish(self, how: str) -> None:
        self._vanished = True
        self._desk.ticker.remove(self)
        if self._cable is not None:
            (self._cable.cut if how == "cut" else self._cable.freeze)()
        if self._stream is not None:
            self._stream.cancel()

    def _put(self, raw: bytes, *, audio: bool = False) -> None:
        """Sends; when the server takes nothing for 10 s, it is lost and counted."""
        if self._hung_up_s or self._vanished:
            return
        if self._outbox.full():
            self._measures.counts["frames_unsent"] += audio
            return
        self._measures.counts["frames_sent"] += audio
        self._outbox.put_nowait(raw)

    # ------------------------------------------------------------- the end

    def _on_refusal(self, error: grpc.aio.AioRpcError) -> None:
        """Before the call was accepted."""
        refused_ms = (time.monotonic() - self._intended_s) * 1000
        self._measures.took("refused", refused_ms)
        if error.code() in _REFUSALS:
            self._measures.counts["refused"] += 1
            self._measures.counts["refused_with_retry"] += says_when(error)

    def _where(self) -> str:
        if not self._accepted_s:
            return f"neither accepted nor refused within {self._plan.patience_s:g} s"
        return f"not ended {self._plan.patience_s:g} s after the caller's last message"

    def _end(self, status: str, fault: str) -> None:
        now_s = time.monotonic()
        self._hearing.done()
        self._count_frames(now_s)
        if status == HUNG:
            self._measures.counts["hung"] += 1
        elif self._hung_up_s:
            self._measures.took("ending", (now_s - self._hung_up_s) * 1000)
        if self._script.fault:
            self._measures.counts["no_answer"] += 1
        expected = status in self._call.cast.expect and not self._script.fault
        if not expected:
            self._desk.point("failed", 1, now_s)
        self._measures.ended(
            self._call.cast.name, status, self._script.fault or fault, expected=expected
        )
