"""The receptionist's voice on a call's leg: what is played, and what is told of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
import wave

import structlog

from actors.audio import leg_encoder
from actors.caller_leg import CallerLeg
from actors.door_side import DoorSide
from actors.effort import Effort
from actors.phrases import sound
from actors.recording import Recording
from actors.session_side import SessionSide
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.media.codecs import AudioFormat
from reception.media.leg import LegConfig
from reception.media.playout import CutItem, FrameOut, Playout

log = structlog.get_logger()


class Speaker:
    """Sends the leg its frames when their time has come, and cuts them off. Audio is in
    the leg's inner format, times are of the monotonic clock in seconds.

    Args:
        door: the way to the caller, who may be away.
        session: hears what is played.
        caller: the leg that what is played may come back on.
        recording: of both voices, if there is one.

    Attributes:
        audio_ms: that there was to play so far.
    """

    def __init__(
        self,
        call_id: str,
        config: LegConfig,
        door: DoorSide,
        session: SessionSide,
        caller: CallerLeg,
        recording: Recording | None,
        effort: Effort,
    ) -> None:
        self.audio_ms = 0
        self._call_id = call_id
        self._door, self._session, self._caller = door, session, caller
        self._recording, self._effort = recording, effort
        self._format = caller.format
        self._encoder = leg_encoder(AudioFormat(config.codec, config.rate_hz))
        self._playout = Playout(
            self._format,
            config.ptime_ms,
            lead_ms=config.lead_ms,
            sends_marks=config.sends_marks,
            frames_before=config.frames_before,
            generation=config.generation,
        )
        self._received_ns = 0
        self._drained = asyncio.Event()

    @property
    def busy(self) -> bool:
        """There is audio that the caller has not heard."""
        return self._playout.busy

    @property
    def frames_out(self) -> int:
        return self._playout.frames_out

    # ------------------------------------------------------------- what there is to play

    def add(self, item_id: str, content_index: int, audio: bytes, received_ns: int) -> None:
        """Audio of an item, in order.

        Args:
            received_ns: when the provider's message came.
        """
        self._received_ns = received_ns
        self.audio_ms += self._format.duration_ms(len(audio))
        self._playout.add(item_id, content_index, audio)

    def play(self, item_id: str, path: str, received_ns: int) -> None:
        """A recording, as if the provider had made it."""
        try:
            audio = sound(path, self._format)
        except (OSError, EOFError, wave.Error) as error:
            log.warning("phrase not played", call_id=self._call_id, error=str(error))
            self._tell(lk.Playout.INTERRUPTED, item_id=item_id)
            return
        self.add(item_id, 0, audio, received_ns)
        self._playout.complete(item_id)

    def complete(self, item_id: str) -> None:
        """No more audio will come for this item."""
        self._playout.complete(item_id)

    def complete_all(self) -> None:
        """No more audio will come for any item."""
        self._playout.complete_all()

    # ------------------------------------------------------------- playing

    def overdue(self, now_s: float) -> bool:
        """The caller, who is there, hears nothing although there is audio."""
        return not self._door.away and self._playout.overdue(now_s)

    def send_due(self, now_s: float) -> None:
        """What the leg is to be sent now; nothing while the caller is away."""
        for out in self._playout.due(now_s) if not self._door.away else ():
            if isinstance(out, FrameOut):
                self._send(out, now_s)
            else:
                self._door.to_caller(rv.ReceptionMessage(mark=rv.Mark(name=out.name)))

    def _send(self, frame: FrameOut, now_s: float) -> None:
        audio = rv.Audio(
            payload=self._encoder.encode(frame.audio),
            sequence=frame.sequence,
            timestamp_ms=frame.timestamp_ms,
            item_id=frame.item_id,
        )
        # A stamp asks the door to measure; only the first frame of an answer has one.
        stamp_ns = self._received_ns if frame.first else 0
        self._door.to_caller(rv.ReceptionMessage(audio=audio), stamp_ns)
        self._caller.played(frame)
        self._effort.sent()
        if self._recording is not None:
            self._recording.sent(frame)
        if frame.first:
            self._tell(lk.Playout.STARTED, item_id=frame.item_id, at_s=now_s)

    def mark_reached(self, name: str, now_s: float) -> None:
        """The leg's playout reached a mark."""
        self._playout.mark_reached(name, now_s)

    def tell_if_drained(self, now_s: float) -> None:
        """Once each time that everything there was has been played."""
        if self._playout.take_drained(now_s):
            self._drained.set()
            self._tell(lk.Playout.DRAINED)

    async def play_out(self, within_s: float) -> None:
        """Returns when all that there is was played or cut, or the time is over."""
        self._playout.complete_all()
        self._drained.clear()
        if self._playout.busy:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._drained.wait()

    # ------------------------------------------------------------- cutting off

    def cut(self, now_s: float) -> list[CutItem]:
        """Barge-in: stops, and tells the leg; what lost audio by that, of which the
        provider is to hear."""
        cut = self.silence(now_s)
        if cut:
            first = cut[0]
            clear = rv.ClearAudio(item_id=first.item_id, heard_ms=first.heard_ms)
            self._door.to_caller(rv.ReceptionMessage(clear_audio=clear))
            self._tell(lk.Playout.INTERRUPTED, item_id=first.item_id, heard_ms=first.heard_ms)
        return cut

    def silence(self, now_s: float) -> list[CutItem]:
        """Nothing more is played; what lost audio by that."""
        cut = self._playout.interrupt(now_s)
        self._drained.set()
        self._caller.silenced(now_s)
        if self._recording is not None:
            self._recording.cut(cut)
        return cut

    # ------------------------------------------------------------- what the session hears

    def measured(self, gateway_us: int) -> None:
        """The gateway's own share of the latency of what was played last."""
        self._tell(lk.Playout.MEASURED, gateway_us=gateway_us)

    def _tell(
        self,
        kind: lk.Playout.Kind,
        *,
        item_id: str = "",
        heard_ms: int = 0,
        gateway_us: int = 0,
        at_s: float | None = None,
    ) -> None:
        at_ns = time.monotonic_ns() if at_s is None else int(at_s * 1e9)
        playout = lk.Playout(
            kind=kind, item_id=item_id, heard_ms=heard_ms, gateway_us=gateway_us, at_ns=at_ns
        )
        self._session.tell(playout=playout)
