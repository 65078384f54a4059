"""When a silent peer of a byte link is asked for a sign of life, and given up.

Time is cut into beats of a quarter of the longest silence allowed. At the second
beat since a peer was heard it is asked, at the fourth it is dead: the silence was
then between three quarters and the whole of what is allowed. Because its answer
counts as a sign of life, a healthy peer that has nothing to say is asked every
second beat.
"""

from __future__ import annotations

from enum import Enum, auto

_ASKED_AT, _DEAD_AT = 2, 4


class Verdict(Enum):
    """What to do about a peer at a beat."""

    WAIT = auto()
    ASK = auto()
    DEAD = auto()


class Heartbeat:
    """The rhythm of one process, for all its links.

    Args:
        dead_after_s: the longest silence of a peer that is alive.
    """

    def __init__(self, dead_after_s: float = 2.0) -> None:
        self.beat_s = dead_after_s / _DEAD_AT
        self._last_s = 0.0
        self._held_up_s: float | None = None  # when that was noticed

    def start(self, now_s: float) -> None:
        """The first beat comes in `beat_s`."""
        self._last_s = now_s

    def beat(self, now_s: float) -> bool:
        """Whether the peers may be judged at this beat: not when it comes more
        than a beat late, because then this process itself was held up, and what
        its peers sent meanwhile is still unread."""
        fair = now_s - self._last_s <= 2 * self.beat_s
        self._last_s = now_s
        if not fair:
            self._held_up_s = now_s
        return fair

    def held_up(self, now_s: float) -> bool:
        """Whether this process stood still just now, so that its peers may have given
        it up: a beat is overdue, or the last ones were."""
        if now_s - self._last_s > 2 * self.beat_s:
            return True
        return self._held_up_s is not None and now_s - self._held_up_s < _DEAD_AT * self.beat_s

    @staticmethod
    def judge(beats: int) -> Verdict:
        """What to do at the `beats`th beat since the peer was heard."""
        if beats >= _DEAD_AT:
            return Verdict.DEAD
        return Verdict.ASK if beats == _ASKED_AT else Verdict.WAIT
