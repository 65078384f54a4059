"""A caller of a chaos run: talks, comes back when its stream breaks, and notes what it hears.

As `cluster.load.caller` on the process's one clock; that one counts, this one tells a
history, and does not give a broken call up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

import grpc

from cluster.chaos import history as h
from cluster.chaos.tones import tone_of, words
from cluster.client import connected
from cluster.load import wire
from cluster.load.cable import Cable
from cluster.load.ticker import Ticker
from cluster.playback import FRAME_BYTES, FRAME_S, SILENCE, Playback
from cluster.script import Ear, Interrupt, Listen, Say, Script, Step
from protos.reception.v1 import reception_pb2 as rv
from reception.errors import ReceptionError

CONVERSE = "/reception.v1.Reception/Converse"
CONNECT_S = 1.0
ACCEPT_S = 5.0
COME_BACK_S = 12.0  # a little more than a node keeps a call for its caller
AGAIN_S = 0.2
PATIENCE_S = 15.0  # for the end, after hanging up
WORDS_MS = 800
FORGOTTEN_S = 4.0  # of silence, after which an answer is over, whoever did not say so
SLOW = 4
_TURNS = 50
_TRANSFERRED = rv.CallEvent.KIND_TRANSFER_SUCCEEDED
_OUTBOX = 500
_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.keepalive_time_ms", 1_500),  # or a door that stands still is not noticed
    ("grpc.http2.ping_timeout_ms", 1_500),
    ("grpc.http2.max_pings_without_data", 0),
]

Stream = grpc.aio.StreamStreamCall[bytes, bytes]
Doors = Callable[[], Sequence[str]]


def steps(hz: int, *, listens: bool) -> list[Step]:
    """Says its tone into the greeting; then listens to whole answers, or talks into each."""
    say = words(hz, WORDS_MS)
    first = Interrupt(say, 0.4)
    if listens:
        turn: list[Step] = [Listen(), Say(say)]
        return [first, *turn * _TURNS]
    return [first, *[Interrupt(say, 3.0)] * _TURNS]


class ChaosCaller:
    """One call. Use `run` once.

    Args:
        call_id: of the call.
        hz: its voice.
        listens: see `steps`.
        doors: addresses of front doors, the one to begin with first.
        ticker: the process's clock.
        note: gets what happens.
        cable: its connection can be cut, or pulled out.
    """

    def __init__(
        self,
        call_id: str,
        hz: int,
        *,
        listens: bool,
        doors: Doors,
        ticker: Ticker,
        note: Callable[[h.Event], None],
        cable: bool = False,
    ) -> None:
        self.call_id = call_id
        self.settled = asyncio.Event()  # it is answered, or over
        self.answered = False  # it hears its own tone
        self.away = ""  # how it left, when it did not hang up
        self.session_id = self.node_id = self.door = ""
        self._hz, self._listens, self._doors, self._ticker = hz, listens, doors, ticker
        self._note, self._wants_cable = note, cable
        self._cable: Cable | None = None
        self._script = Script(steps(hz, listens=listens))
        self._ear, self._playback = Ear(), Playback()
        self._outbox: asyncio.Queue[bytes | None] = asyncio.Queue(_OUTBOX)
        self._stream: Stream | None = None
        self._comes_back_by = ""
        self._speech = bytearray()  # of the message that is not full yet
        self._sent = self._frame = self._ticks = self._heard_sequence = 0
        self._run: h.Heard | None = None
        self._streams = 0  # that were accepted
        self._limit: asyncio.Timeout | None = None
        self._slowed = 1  # it sends one frame in so many
        self._reads = asyncio.Event()
        self._reads.set()
        self._hung_up = self._over = self._released = self._transferred = False

    # ------------------------------------------------------------- the call

    async def run(self) -> None:
        """The whole call, over as many streams as it takes. Never raises for what the
        server does."""
        self._note(h.Offered(self.call_id, self._hz, self._listens, time.monotonic()))
        try:
            how = await self._until_over()
        finally:  # whoever vanished waits for nothing, and is cancelled
            self._ticker.remove(self)
            self._close_run()
            if self._cable is not None:
                self._cable.close()
            self.settled.set()
        if not self.away:
            self._note(h.Gone(self.call_id, how, time.monotonic()))

    async def _until_over(self) -> str:
        """How it ended for the caller."""
        error, attempt, until_s = "", 0, time.monotonic() + COME_BACK_S
        while time.monotonic() < until_s:
            doors = self._doors()
            self.door = address = doors[attempt % len(doors)]
            attempt += 1
            streams = self._streams
            try:
                await self._talk(address)
                error = "the stream ended without a summary"
            except grpc.aio.AioRpcError as failure:
                error = f"{failure.code().name}: {failure.details() or ''}"
            except (ReceptionError, TimeoutError, OSError) as failure:
                error = str(failure) or type(failure).__name__
            # or it asked in vain
            if self._over or self.away or (self._hung_up and not self._streams):
                break
            now_s = time.monotonic()
            if self._streams > streams:  # it was a live call until now
                self._note(h.Broke(self.call_id, error, now_s))
                until_s = now_s + COME_BACK_S
            else:
                self._note(h.NotTaken(self.call_id, address, error, now_s))
            await asyncio.sleep(AGAIN_S)
        if not self._over:
            return error
        released = self._released or self._transferred
        return self._script.fault or ("released" if released else "hung up")

    async def _talk(self, address: str) -> None:
        """One stream, until it ends. Raises what ended it."""
        async with AsyncExitStack() as stack:
            if self._wants_cable and not self._streams:
                if self._cable is not None:  # to a door that refused the call
                    self._cable.close()
                self._cable = await Cable.plug(address)
                address = self._cable.address
            channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
            await stack.enter_async_context(channel)
            await connected(channel, address, CONNECT_S)
            stream: Stream = channel.stream_stream(CONVERSE)()
            self._stream = stream
            stack.callback(stream.cancel)
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await stream.write(self._opening())
            async with asyncio.timeout(ACCEPT_S) as limit:
                self._limit = limit
                writer = None
                try:
                    while (raw := await stream.read()) is not grpc.aio.EOF:
                        assert isinstance(raw, bytes)
                        if writer is None and self._on_message(raw):
                            writer = asyncio.create_task(self._write(stream))
                            self._reschedule()
                        elif writer is not None:
                            self._on_message(raw)
                        await self._reads.wait()
                finally:
                    self._limit = None
                    if writer is not None:
                        writer.cancel()
                        await asyncio.gather(writer, return_exceptions=True)

    def _reschedule(self) -> None:
        if self._limit is not None and not self._limit.expired():
            loop = asyncio.get_running_loop()
            self._limit.reschedule(loop.time() + PATIENCE_S if self._hung_up else None)

    def _opening(self) -> bytes:
        if self._comes_back_by:
            return wire.message(start=rv.CallStart(resume_token=self._comes_back_by))
        leg = rv.LegFormat(codec=rv.CODEC_PCMU, ptime_ms=h.FRAMES * round(FRAME_S * 1000))
        return wire.message(
            start=rv.CallStart(call_id=self.call_id, to="+15550123", format=leg, sends_marks=True)
        )

    async def _write(self, stream: Stream) -> None:
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while (raw := await self._outbox.get()) is not None:
                await stream.write(raw)
            await stream.done_writing()

    # ------------------------------------------------------------- what comes

    def _on_message(self, raw: bytes) -> bool:
        """True: the call is accepted."""
        now_s = time.monotonic()
        message = rv.ReceptionMessage.FromString(raw)
        match message.WhichOneof("message"):
            case "audio":
                self._on_audio(message.audio, now_s)
            case "accepted":
                self._on_accepted(message.accepted, now_s)
                return True
            case "clear_audio":
                self._playback.clear()
            case "mark":
                self._playback.mark(message.mark.name)
            case "turn":
                self._ear.answering = message.turn.kind != rv.TurnEvent.KIND_DONE
            case "transcript":
                if message.transcript.final:
                    self._note(h.Said(self.call_id, message.transcript.text, now_s))
            case "transfer":  # a person takes the call
                self._put(wire.message(event=rv.CallEvent(kind=_TRANSFERRED)))
                self._transferred = True
            case "hangup":
                self._released = True
            case "summary":
                self._over = True
                self._done_writing()
                reason = message.summary.call.end_reason
                self._note(h.Summed(self.call_id, reason, now_s))
        return False

    def _on_accepted(self, accepted: rv.CallAccepted, now_s: float) -> None:
        again = bool(self._comes_back_by)
        self._comes_back_by, self.session_id = accepted.resume_token, accepted.session_id
        self.node_id = accepted.node_id
        self._streams += 1
        self._note(h.Accepted(self.call_id, self.session_id, self.node_id, again, now_s))
        self._outbox = asyncio.Queue(_OUTBOX)
        if self._hung_up:
            self._say_goodbye()
        elif not again:
            self._ticker.add(self)

    def _on_audio(self, audio: rv.Audio, now_s: float) -> None:
        if audio.sequence <= self._heard_sequence:
            before = self._heard_sequence
            self._note(h.NotRising(self.call_id, audio.sequence, before, now_s))
        self._heard_sequence = max(audio.sequence, self._heard_sequence)
        self._playback.add(audio.payload)

    # ------------------------------------------------------------- the telephone's clock

    def tick(self, now_s: float) -> None:
        """20 ms have passed: a frame is played, and one goes out."""
        frame, reached = self._playback.next(now_s)
        for name in reached:
            self._put(wire.message(mark=rv.Mark(name=name)))
        self._hear(frame, now_s)
        self._ear.quiet_s = self._playback.quiet_for_s(now_s)
        if self._ear.quiet_s > FORGOTTEN_S:  # its end was told as the stream broke
            self._ear.answering = False
        self._ticks += 1
        if self._ticks % self._slowed:
            return
        self._frame += 1
        spoken, deeds = self._script.next(now_s, self._ear)
        if deeds or (self._released and self._ear.quiet_s > 0):
            self.hang_up()
        elif spoken:
            self._speech += spoken
            if len(self._speech) >= h.FRAMES * FRAME_BYTES:
                self._sent += 1
                self._put(wire.audio(bytes(self._speech), self._sent, self._frame - h.FRAMES))
                self._speech.clear()

    def _hear(self, frame: bytes, now_s: float) -> None:
        if frame is SILENCE:
            self._close_run()
            return
        self._ear.frames += 1
        tone = tone_of(frame)
        if tone == self._hz:
            self.answered = True
            self.settled.set()
        sequence, run = self._heard_sequence, self._run
        if run is not None and run.tone_hz != tone:
            self._close_run()
            run = None
        if run is None:
            run = h.Heard(self.call_id, tone, 0, now_s, now_s, sequence, sequence)
        self._run = replace(
            run, frames=run.frames + 1, to_s=now_s + FRAME_S, last_sequence=sequence
        )

    def _close_run(self) -> None:
        if self._run is not None:
            self._note(self._run)
            self._run = None

    def _put(self, raw: bytes) -> None:
        if not (self._hung_up or self._outbox.full()):
            self._outbox.put_nowait(raw)

    # ------------------------------------------------------------- what is done to it

    def hang_up(self) -> None:
        """In order; `run` ends once the server has told how the call went."""
        if self._hung_up or self.away:
            return
        self._hung_up = True
        self._ticker.remove(self)
        self._close_run()
        self._say_goodbye()
        self._reschedule()

    def _say_goodbye(self) -> None:
        while self._outbox.qsize() > _OUTBOX - 2:
            self._outbox.get_nowait()
        self._outbox.put_nowait(wire.message(end=rv.CallEnd(reason="normal_clearing")))
        self._outbox.put_nowait(None)

    def _done_writing(self) -> None:
        """Half-closes now, whatever waits to be said."""
        while not self._outbox.empty():
            self._outbox.get_nowait()
        self._outbox.put_nowait(None)

    def cut(self) -> None:
        """Its connection breaks; it comes back at another door."""
        assert self._cable is not None
        self._cable.cut()

    def vanish(self) -> None:
        """Nothing comes from it any more, nothing is read, and nothing is said of it."""
        assert self._cable is not None
        self._leave("vanished")
        self._ticker.remove(self)
        self._cable.freeze()

    def slow(self) -> None:
        """It sends a quarter of what it should, until its call is ended."""
        self._slowed = SLOW
        self._leave("slow")

    def deaf(self) -> None:
        """It speaks on, and reads nothing any more."""
        self._reads.clear()
        self._leave("deaf")

    def _leave(self, how: str) -> None:
        self.away = how
        self._note(h.Gone(self.call_id, how, time.monotonic()))
