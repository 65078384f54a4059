"""The caller's side of a leg: what is done to each frame before the provider hears it.

In this order: put in order; gaps filled or, for Opus, decoded, and judged
(`actors.signal.caller`); looked at for voice and barge-in; suppressed and levelled; echo of the
receptionist is covered; silence is kept back. What the profile does not ask for, or the line does
not need, is not there and costs nothing; what the worker has no time for (`adapt`) is left out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from actors.audio import PassThrough, leg_decoder, to_linear
from actors.signal.activity import SILENCE_MS, Activity, level_dbov
from actors.signal.caller import Caller, CallerAudio, CallerPackets
from actors.signal.dtmf import KeyUp
from actors.signal.echo_model import EchoModel
from actors.signal.enhance import Enhancer
from actors.signal.levels import from_signal
from reception.media.adaptation import Plan, Way
from reception.media.barge_in import BargeIn
from reception.media.codecs import AudioFormat
from reception.media.echo_mask import EchoMask
from reception.media.jitter import JitterBuffer, JitterCounts, Lost
from reception.media.leg import LegConfig
from reception.media.playout import FrameOut
from reception.media.quality import Quality
from reception.media.silence import SilenceGate

_WINDOW_FRAMES, _WINDOW_S = 3, 0.06
_REMEMBERED_MS = 2_500  # of both sides' frames, for who judges barge-in by them later
_COMFORT_S, _COMFORT = 3, 10 ** (-70 / 20)  # noise in place of echo, -70 dBov; then again


@dataclass(slots=True)
class Heard:
    """What came of a frame: audio in the leg's inner format, in order, and what of it
    (and of before) is to be sent; whether the caller interrupts, and a turn of the caller's
    begins or ends, where that is found here; keys heard in the audio."""

    audio: list[bytes] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    interrupts: bool = False
    began: bool = False
    ended: bool = False
    keys: str = ""


class CallerLeg:
    """One call's caller side. All times are of the monotonic clock, in seconds."""

    def __init__(self, config: LegConfig, plan: Plan) -> None:
        leg = AudioFormat(config.codec, config.rate_hz)
        hearing = config.hearing
        self.format = leg.inner
        self._finds_turns = config.turn_ms > 0
        self._barge_in = BargeIn(hearing, finds_turns=self._finds_turns)
        # While that is at rest: frames played, and what `BargeIn.heard` is told of others.
        self._untold: deque[FrameOut | tuple[bool, float, int, float]] = deque(
            maxlen=2 * _REMEMBERED_MS // config.ptime_ms
        )
        self._echo_model, self._mask = EchoModel(self.format), EchoMask()
        self._comfort_at = 0
        self._ptime_ms = config.ptime_ms
        self._jitter: JitterBuffer[bytes] = JitterBuffer(
            _WINDOW_FRAMES, max(_WINDOW_S, config.ptime_ms / 1000)
        )
        decoder = leg_decoder(leg)
        self._frames: Caller = (
            CallerAudio(leg, config.ptime_ms, keys=hearing.dtmf_inband)
            if isinstance(decoder, PassThrough)
            else CallerPackets(decoder, self.format, config.ptime_ms, keys=hearing.dtmf_inband)
        )
        self._gate = SilenceGate(*around) if any(around := config.silence_ms) else None
        watches = hearing.watches or self._gate is not None
        silence_ms = config.turn_ms or SILENCE_MS
        self._activity = Activity(self.format, silence_ms=silence_ms) if watches else None
        self._enhancer = (
            Enhancer(self.format, hearing.noise_suppression, gain=hearing.gain)
            if hearing.enhances
            else None
        )
        self._suppression = hearing.noise_suppression
        self.adapt(plan)

    def adapt(self, plan: Plan) -> None:
        """From the next frame on no more is done than this."""
        self._watching = self._activity is not None and (
            plan.way is not Way.PASS_THROUGH or self._finds_turns
        )
        self._enhancing = self._enhancer is not None and plan.way is Way.FULL
        self._barge_in.blind = plan.way is Way.PASS_THROUGH
        if self._gate is not None:
            self._gate.blind = not self._watching
        if self._enhancer is not None:
            self._enhancer.suppress(self._suppression if plan.suppression else "off")
        self._frames.listens = plan.way is not Way.PASS_THROUGH

    def receive(self, payload: bytes, sequence: int, now_s: float, *, speaking: bool) -> Heard:
        """A frame came.

        Args:
            speaking: there is audio that the caller has not heard.

        Raises:
            InvalidRequest: its number goes too far back, or it can't be decoded.
        """
        return self._hear(self._jitter.add(payload, sequence, now_s), now_s, speaking)

    def restart(self, now_s: float, *, speaking: bool) -> Heard:
        """The caller has a new stream, which numbers its frames anew: what waited."""
        return self._hear(self._jitter.restart(), now_s, speaking)

    def tick(self, now_s: float, *, speaking: bool) -> Heard | None:
        """What waited for a lost frame long enough; None while nothing is due."""
        due_s = self._jitter.next_deadline_s()
        if due_s is None or now_s < due_s:
            return None
        return self._hear(self._jitter.handle_timer(now_s), now_s, speaking)

    def provider_hears(self, speech: bool) -> None:
        """The provider takes the caller to be speaking, or not."""
        if self._gate is not None:
            self._gate.provider_hears = speech

    def speech_started(self, now_s: float, *, speaking: bool) -> bool:
        """The provider hears speech. False: hold its event back for now."""
        self.provider_hears(True)
        if speaking and not self._barge_in.blind:
            self._tell_all()
        return self._barge_in.provider_started(now_s, speaking=speaking)

    def speech_stopped(self) -> bool:
        """The provider hears the speech's end. False: both events are to be dropped."""
        self.provider_hears(False)
        return self._barge_in.provider_stopped()

    def _hear(self, frames: list[bytes | Lost], now_s: float, speaking: bool) -> Heard:
        heard = Heard()
        for frame in filter(None, map(self._frames.hear, frames)):
            voiced, perhaps = self._watch(frame, now_s, speaking, heard)
            audio = self._enhance(frame, voiced)
            heard.audio.append(audio)
            if self._is_echo(frame):
                audio, perhaps = self._comfort_noise(len(audio)), False
            if self._gate is None:
                heard.sent.append(audio)
            else:
                duration_ms = self.format.duration_ms(len(audio))
                heard.sent += self._gate.feed(audio, duration_ms, voice=perhaps)
        ups = [each for each in self._frames.take_keys() if isinstance(each, KeyUp)]
        heard.keys = "".join(each.key for each in ups)
        return heard

    def _watch(self, audio: bytes, now_s: float, speaking: bool, heard: Heard) -> tuple[bool, bool]:
        """Whether there is voice in the frame, and whether there may be (where turns are
        found here: whether it is of one), where that is looked for."""
        if self._barge_in.blind and not self._finds_turns:
            return False, False
        if not self._watching:
            sound, duration_ms = self._frames.level, self.format.duration_ms(len(audio))
            frame = not sound.silent, sound.dbov, duration_ms, now_s
            heard.interrupts |= self._tell(frame, speaking)
            return False, False
        assert self._activity is not None
        found = self._activity.feed(audio)
        frame = found.voiced, found.level_dbov, found.duration_ms, now_s
        if not self._barge_in.blind:
            heard.interrupts |= self._tell(frame, speaking)
        if not self._finds_turns:
            return found.voiced, found.perhaps
        heard.began, heard.ended = heard.began or found.began, heard.ended or found.ended
        return found.voiced, self._activity.speaking

    def _tell(self, frame: tuple[bool, float, int, float], speaking: bool) -> bool:
        """Whether the caller interrupts with this frame."""
        if self._barge_in.rests:
            self._untold.append(frame)
            return False
        return self._barge_in.heard(*frame, speaking=speaking)

    def _tell_all(self) -> None:
        """All that was to be told later: 2 to 3 ms of work, where the caller interrupts."""
        for each in self._untold:
            if isinstance(each, FrameOut):
                self._tell_played(each)
            else:
                self._barge_in.heard(*each, speaking=True)
        self._untold.clear()

    def _is_echo(self, frame: bytes) -> bool:
        """There is nothing but the receptionist's own voice in the frame told last."""
        path = self._barge_in.echo.path
        if path is None or self._barge_in.blind:
            return False
        starts_s, sound = self._barge_in.spoken_s, self._frames.level
        duration_ms = self.format.duration_ms(len(frame))
        self._echo_model.heard(starts_s, frame)
        foreseen = self._barge_in.echo.foresees(starts_s, duration_ms, sound.dbov)
        return self._mask.covers(
            sound=not sound.silent,
            foreseen=foreseen,
            left_db=self._echo_model.left_db(path.lag_ms) if foreseen else 0.0,
            duration_ms=duration_ms,
        )

    def _comfort_noise(self, size: int) -> bytes:
        """Hardly any noise, of so many bytes of audio."""
        noise = _comfort(self.format)
        at = self._comfort_at = (self._comfort_at + size) % (len(noise) - size)
        at -= at % self.format.sample_bytes
        return noise[at : at + size]

    def _enhance(self, audio: bytes, voiced: bool) -> bytes:
        if self._enhancer is None or not self._enhancing:
            return audio
        return self._enhancer.process(audio, voiced)

    def played(self, frame: FrameOut) -> None:
        """A frame of the receptionist's was handed to the leg: it may come back."""
        if self._barge_in.rests:
            self._untold.append(frame)
        elif not self._barge_in.blind:
            self._tell_played(frame)

    def _tell_played(self, frame: FrameOut) -> None:
        level = level_dbov(to_linear(frame.audio, self.format.name))
        self._barge_in.played(frame.starts_s, self._ptime_ms, level)
        if self._barge_in.echo.path is not None:
            self._echo_model.played(frame.starts_s, frame.audio)

    def silenced(self, now_s: float) -> None:
        """Of what the receptionist was saying nothing more is played."""
        untold = list(self._untold)
        self._untold.clear()
        self._untold.extend(
            each for each in untold if not isinstance(each, FrameOut) or each.starts_s < now_s
        )
        self._barge_in.stopped(now_s)
        self._echo_model.stopped(now_s)

    @property
    def counts(self) -> JitterCounts:
        """Frames received, lost, late, double and reordered so far."""
        return self._jitter.counts

    @property
    def quality(self) -> Quality:
        """Of the caller's audio so far."""
        return self._frames.quality()


@cache
def _comfort(format: AudioFormat) -> bytes:
    noise = np.random.default_rng(0).standard_normal(_COMFORT_S * format.rate_hz)
    return from_signal((_COMFORT * noise).astype(np.float32), format.name)
