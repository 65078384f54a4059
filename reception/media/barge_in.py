"""Barge-in: does what the caller's side sends stop the receptionist?

The decision is made frame by frame from what others measured: voice and level
of the caller (`actors.signal.activity`), level of what is played, the provider's
events. Not every sound interrupts: echo of the receptionist's own voice does not
(`reception.media.echo`), nor a cough or an "mm-hm" shorter than the profile allows.

Measured per frame of 20 ms: 1 µs while the receptionist is silent; 8 µs while she
speaks, `played` included, and 11 µs on a line with echo. In that are the searches for
the echo's lag, 0.44 ms each: every 2 s of playing, 0.1 s while a sound is in doubt.
Where the provider alone decides nothing is done until its event comes while the
receptionist speaks (`BargeIn.rests`).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from reception.media.echo import EchoGuard
from reception.media.hearing import Hearing

LOCAL_SPEECH_MS = 40  # two frames of 20 ms are speech, one may be a click
_PAUSE_MS = 160  # within words and between them: the same speech goes on
_RECENT_S = 0.5  # the provider's event comes so much later than the speech
_JITTER_S = 0.1  # frames come so much earlier or later than they were spoken
_REMEMBERED = 50  # frames not judged yet; of 10 ms or more they are what is recent


class _Frame(NamedTuple):
    """A frame of the caller's side; when it began and when it came."""

    voiced: bool
    level_dbov: float
    duration_ms: int
    starts_s: float
    came_s: float


class BargeIn:
    """One call's barge-in.

    Whenever a method says True the caller has the floor: what is played is to be
    cut (`Playout.interrupt`) and an event of the provider that was held back is to
    be passed on.

    Args:
        hearing: the profile's settings. Where `hearing.decides` is False every event of
            the provider cuts unless it was made by echo alone: until something else is
            heard, or nothing is played any more.
        finds_turns: those events are the worker's own: what was held back to its end is no
            turn.
    """

    def __init__(self, hearing: Hearing, *, finds_turns: bool = False) -> None:
        decides = hearing.decides or finds_turns
        self.echo = EchoGuard(watches=decides)
        self.blind = False  # frames are not told: the provider's events decide
        self.held = False  # the provider heard speech, which has not proved itself yet
        self._local = hearing.barge_in == "local"
        self._any_length = hearing.min_speech_ms == 0
        self._bound_ms = hearing.min_speech_ms
        if self._local or self._any_length:
            self._bound_ms = max(LOCAL_SPEECH_MS, self._bound_ms)
        self._judges_all = decides
        self._unjudged: deque[_Frame] = deque(maxlen=_REMEMBERED)
        self._speech_ms = self._pause_ms = 0
        self._echo_s = self._proved_s = float("-inf")
        self._clock_s = float("-inf")
        self.spoken_s = 0.0  # when the frame that was heard last began

    @property
    def rests(self) -> bool:
        """Frames of both sides need not be told before the next event of the provider;
        then those of the last 2 s. On a line with echo they are told as they come."""
        return not (self._judges or self.echo.path is not None)

    @property
    def _judges(self) -> bool:
        return self._judges_all or self.held

    def played(self, starts_s: float, duration_ms: int, level_dbov: float) -> None:
        """A frame was handed to the leg (`FrameOut.starts_s`), of this level."""
        self.echo.played(starts_s, duration_ms, level_dbov)

    def stopped(self, now_s: float) -> None:
        """Playout was cut, for whatever reason."""
        self.echo.stopped(now_s)

    def heard(
        self, voiced: bool, level_dbov: float, duration_ms: int, now_s: float, *, speaking: bool
    ) -> bool:
        """A frame of the caller's side, in order.

        Args:
            voiced: there is voice in it (where the provider decides: sound).
            level_dbov: its level.
            duration_ms: its length.
            now_s: when it came, on the clock of `Playout.due`.
            speaking: there is audio that the caller has not heard (`Playout.busy`).

        Returns:
            True when the caller interrupts.
        """
        starts_s = self._spoken_s(duration_ms, now_s)
        self.echo.heard(starts_s, duration_ms, level_dbov)
        frame = _Frame(voiced, level_dbov, duration_ms, starts_s, now_s)
        self.spoken_s = starts_s
        if not self._judges:
            self._unjudged.append(frame)
            return False
        proved = self._proves(frame)
        if not speaking:  # nothing left to be protected from a cough
            held, self.held = self.held, False
            return held
        if proved and (self._local or self.held):
            self.held = False
            return True
        return False

    def provider_started(self, now_s: float, *, speaking: bool) -> bool:
        """The provider hears speech. False: hold its event back for now."""
        if not speaking or self.blind or self._believes_provider(now_s):
            self.held = False
            return True
        self.held = True
        return False

    def provider_stopped(self) -> bool:
        """The provider hears the speech's end. False: it was held back to its end;
        both events are to be dropped. Where the provider decides it answers all the same,
        and nothing is dropped: the answer is what it was not to cut."""
        held, self.held = self.held, False
        return not (held and self._judges_all)

    def _believes_provider(self, now_s: float) -> bool:
        if not self._judges_all:
            self._catch_up(now_s)
        if now_s - self._proved_s <= _RECENT_S:
            return True
        nothing_but_echo = self._speech_ms == 0 and now_s - self._echo_s <= _RECENT_S
        return self._any_length and not nothing_but_echo

    def _catch_up(self, now_s: float) -> None:
        """Judges what came lately, as if it had been looked at all the time."""
        self.echo.look()
        self._speech_ms = self._pause_ms = 0
        for frame in self._unjudged:
            if now_s - frame.came_s <= _RECENT_S:
                self._proves(frame)
        self._unjudged.clear()

    def _proves(self, frame: _Frame) -> bool:
        """With this frame there was enough speech."""
        voiced, level_dbov, duration_ms, starts_s, came_s = frame
        if voiced and self.echo.explains(starts_s, duration_ms, level_dbov):
            voiced, self._echo_s = False, came_s
        self._count(voiced, duration_ms)
        proved = self._speech_ms >= self._bound_ms
        if proved:
            self._proved_s = came_s
        return proved

    def _count(self, speech: bool, duration_ms: int) -> None:
        """Speech counts; a pause as long as the speech before it forgets it."""
        if speech:
            self._speech_ms += duration_ms
            self._pause_ms = 0
            return
        self._pause_ms += duration_ms
        if self._pause_ms >= min(self._speech_ms, _PAUSE_MS):
            self._speech_ms = 0

    def _spoken_s(self, duration_ms: int, now_s: float) -> float:
        """When this frame began: frame follows frame, however they come."""
        duration_s = duration_ms / 1000
        if abs(now_s - duration_s - self._clock_s) > _JITTER_S:
            self._clock_s = now_s - duration_s
        starts_s = self._clock_s
        self._clock_s += duration_s
        return starts_s
