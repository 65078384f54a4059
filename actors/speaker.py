"""The receptionist's voice on a call's leg: what is played, and what is told of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
import wave
from collections.abc import Callable

import structlog

from actors.audio import leg_encoder
from actors.caller_leg import CallerLeg
from actors.door_side import DoorSide
from actors.effort import Effort
from actors.phrases import sound
from actors.provider_leg import ProviderLeg
from actors.recording import Recording
from actors.session_side import SessionSide
from actors.text_answers import TextAnswers
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.call.phrases import PREFIX
from reception.media.codecs import AudioFormat
from reception.media.leg import LegConfig
from reception.media.playout import CutItem, FrameOut, Playout
from reception.provider.base import (
    AssistantTranscript,
    DeleteItem,
    ProviderCommand,
    ResponseDone,
    TruncateItem,
)

log = structlog.get_logger()


class Speaker:
    """Sends the leg its frames when their time has come, and cuts them off. Audio is in
    the leg's inner format, times are of the monotonic clock in seconds.

    Args:
        door: the way to the caller, who may be away.
        session: hears what is played.
        caller: the leg that what is played may come back on.
        provider: hears what was cut off.
        recording: of both voices, if there is one.
        tick: is called when there is something to send.
        on_over: takes the provider's message of the end of an answer that came as text,
            once all of it has its sound.

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
        provider: ProviderLeg,
        recording: Recording | None,
        effort: Effort,
        tick: Callable[[float], None],
        on_over: Callable[[bytes], None],
    ) -> None:
        self.audio_ms = 0
        self._call_id = call_id
        self._door, self._session, self._caller = door, session, caller
        self._provider, self._recording, self._effort = provider, recording, effort
        self._tick, self._on_over = tick, on_over
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
        self._texts: TextAnswers | None = None
        if config.speaks is not None:
            self._texts = TextAnswers(
                config.speaks,
                self._format,
                effort.plan.resampler,
                lambda item_id, audio: self.add(item_id, 0, audio),
                self._spoken,
                self._text_over,
                provider.tell,
            )
        self._drained = asyncio.Event()

    @property
    def busy(self) -> bool:
        """There is audio that the caller has not heard."""
        return self._playout.busy

    @property
    def has_more(self) -> bool:
        """There is audio that the caller has not heard, or there are words without any."""
        return self.busy or (self._texts is not None and self._texts.busy)

    @property
    def frames_out(self) -> int:
        return self._playout.frames_out

    # ------------------------------------------------------------- what there is to play

    def add(self, item_id: str, content_index: int, audio: bytes) -> None:
        """Audio of an item, in order."""
        self.audio_ms += self._format.duration_ms(len(audio))
        self._playout.add(item_id, content_index, audio)
        self._tick(time.monotonic())

    def complete(self, item_id: str) -> None:
        """No more audio will come for this item."""
        self._playout.complete(item_id)

    def _spoken(self, item_id: str, came: bool = True) -> None:
        """All of an item is there, if any of it came: else the caller hears nothing of it."""
        if not came:
            self._forget_unheard(CutItem(item_id, 0, 0))
            self._tell(lk.Playout.UNSPOKEN, item_id=item_id)
        self.complete(item_id)
        self._tick(time.monotonic())

    def play(self, item_id: str, path: str, text: str) -> None:
        """A recording, as if the provider had made it; without a path the words."""
        if self._texts is not None and not path:
            self._texts.read(item_id, text)
            return
        try:
            audio = sound(path, self._format)
        except (OSError, EOFError, wave.Error) as error:
            log.warning("phrase not played", call_id=self._call_id, error=str(error))
            self._tell(lk.Playout.INTERRUPTED, item_id=item_id)
            return
        self.add(item_id, 0, audio)
        self._spoken(item_id)

    # ------------------------------------------------------------- answers

    def answer_began(self) -> None:
        """The provider makes an answer."""
        if self._texts is not None:
            self._texts.began()

    def words(self, event: AssistantTranscript) -> None:
        """The next words of an answer, which are spoken here if they came as text."""
        if self._texts is not None and event.written:
            self._texts.words(event)

    def answer_over(self, event: ResponseDone, raw: bytes) -> None:
        """The provider has made all of an answer."""
        if self._texts is not None:
            self._texts.done(event, raw)
        else:
            self._playout.complete_all()
            self._on_over(raw)

    def _text_over(self, raw: bytes) -> None:
        self._playout.complete_all()
        self._tick(time.monotonic())
        self._on_over(raw)

    def provider_lost(self) -> None:
        """The provider's session is gone: what came of an answer is all there is."""
        if self._texts is not None:
            self._texts.lost()

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
        # A stamp asks the door to measure; only the first frame of an answer has one, and
        # none of what was made before.
        made_now = frame.first and not frame.item_id.startswith(PREFIX)
        stamp_ns = self._provider.received_ns if made_now else 0
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
        if self._texts is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._texts.idle()
            self._texts.stop([])
        self._playout.complete_all()
        self._drained.clear()
        if self._playout.busy:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._drained.wait()

    # ------------------------------------------------------------- cutting off

    def cut(self, now_s: float) -> None:
        """Barge-in: stops, and tells the leg, the provider and the session."""
        cut = self.silence(now_s)
        if not cut:
            return
        first = cut[0]
        clear = rv.ClearAudio(item_id=first.item_id, heard_ms=first.heard_ms)
        self._door.to_caller(rv.ReceptionMessage(clear_audio=clear))
        heard, *_ = [self._forget_unheard(item) for item in cut]
        self._tell(
            lk.Playout.INTERRUPTED, item_id=first.item_id, heard_ms=first.heard_ms, heard=heard
        )

    def silence(self, now_s: float) -> list[CutItem]:
        """Nothing more is played; what lost audio by that."""
        cut = self._playout.interrupt(now_s)
        if self._texts is not None:
            cut = self._texts.stop(cut)
        self._drained.set()
        self._caller.silenced(now_s)
        if self._recording is not None:
            self._recording.cut(cut)
        return cut

    def _forget_unheard(self, item: CutItem) -> str | None:
        """The provider's conversation has what was heard; in words, where they are known."""
        if self._texts is not None and self._texts.knows(item.item_id):
            return self._texts.heard(item)
        if item.heard_ms == 0 or not item.item_id.startswith(PREFIX):  # text can't be cut
            self._provider.tell(_cut_at(item))
        return None

    def close(self) -> None:
        """Says nothing more and tells nothing."""
        if self._texts is not None:
            self._texts.close()

    # ------------------------------------------------------------- what the session hears

    def measured(self, up_us: int, down_us: int) -> None:
        """The gateway's own share of the latency of what was played last, each way."""
        measured = lk.Playout(
            kind=lk.Playout.MEASURED,
            gateway_us=up_us + down_us,
            gateway_up_us=up_us,
            at_ns=time.monotonic_ns(),
        )
        self._session.tell(playout=measured)

    def _tell(
        self,
        kind: lk.Playout.Kind,
        *,
        item_id: str = "",
        heard_ms: int = 0,
        at_s: float | None = None,
        heard: str | None = None,
    ) -> None:
        at_ns = time.monotonic_ns() if at_s is None else int(at_s * 1e9)
        playout = lk.Playout(
            kind=kind, item_id=item_id, heard_ms=heard_ms, at_ns=at_ns,
            heard=heard,
        )  # fmt: skip
        self._session.tell(playout=playout)


def _cut_at(item: CutItem) -> ProviderCommand:
    """Nothing heard: the item goes; else it is cut where the caller heard it to."""
    if item.heard_ms == 0:
        return DeleteItem(item.item_id)
    return TruncateItem(item.item_id, item.content_index, item.heard_ms)
