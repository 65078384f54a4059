"""The receptionist's own voice coming back: which of the caller's sound is echo.

Works on levels alone, in dBov (RFC 6465: decibels below the loudest that the
coding can carry, -127 to 0). What was played is kept as an envelope of 10 ms
steps, so is what was heard; a line that returns echo shows as two envelopes of
the same shape, one later and lower. From the lag with the best normalised
cross-correlation follows the echo return loss (ITU-T G.122), and from both how
loud an echo can be at any moment: what is louder is the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from operator import mul

SILENT_DBOV = -127.0
_NOTHING_DBOV = -126.0  # of a frame that came, and had nothing in it
Pair = tuple[float, float]  # levels in dBov of what was played, and heard
_STEP_MS = 10
_STEPS = 256  # 2.56 s are remembered
_LAG_STEPS = 40  # an echo comes back within 400 ms
_WINDOW_STEPS = 150  # envelopes are compared over 1.5 s …
_STRIDE = 2  # … every 20 ms
_AUDIBLE_DBOV = -50.0  # what is played below this returns no echo worth a thought
_UNKNOWN_LOSS_DB = 8.0  # of a line not known yet (ITU-T G.168 counts on 6)
_QUIET_LOSS_DB = 36.0  # a line that loses this much returns nothing
_MARGIN_DB = 6.0  # an echo is at most so much louder than foreseen

# Measured with two synthetic voices: of windows with echo 98 in 100 are this much
# alike, of windows with two people talking 2 in 1,000 (and 1 in 10 with few pairs).
_ALIKE = 0.8
_SPREAD_DB = 5.0
_SOME_PAIRS, _ENOUGH_PAIRS, _MANY_PAIRS = 12, 40, 50

_SEARCH_EVERY_STEPS = 10  # while something is not explained
_SEARCH_EVERY_MS = 700  # while something is played on a line not known for certain
_CHECK_EVERY_MS = 2_000  # … on one that is
_DOUBTS = 10  # so many searches in vain, and a known path is forgotten


class Envelope:
    """Levels over time in steps of 10 ms; the last 2.56 s."""

    def __init__(self) -> None:
        self._levels = [SILENT_DBOV] * _STEPS
        self._steps = [-1] * _STEPS

    def write(self, first: int, count: int, level_dbov: float) -> None:
        """The level of `count` steps from step `first`."""
        for step in range(first, first + count):
            at = step % _STEPS
            self._levels[at], self._steps[at] = level_dbov, step

    def read(self, first: int, count: int, stride: int = 1) -> list[float]:
        """The levels of steps first, first + stride …; silence where none was written."""
        levels, steps = self._levels, self._steps
        return [
            levels[step % _STEPS] if steps[step % _STEPS] == step else SILENT_DBOV
            for step in range(first, first + count, stride)
        ]

    def forget_from(self, first: int) -> None:
        """Nothing from step `first` on was heard after all."""
        self._steps = [-1 if step >= first else step for step in self._steps]


@dataclass(frozen=True, slots=True)
class EchoPath:
    """How the line returns what is played.

    lag_ms later, loss_db lower (the echo return loss); `certain` once more than
    a second of playing has shown it.
    """

    lag_ms: int
    loss_db: float
    certain: bool


class EchoGuard:
    """Tells one leg's echo from its caller.

    All times are in seconds of one clock, the one given to `Playout.due`.

    Args:
        watches: the line is looked at as it is played to; else, until an echo is found,
            when somebody asks only (`look`, `explains`).
    """

    def __init__(self, *, watches: bool = True) -> None:
        self.path: EchoPath | None = None
        self._watches = watches
        self._returns_nothing = False
        self._played, self._heard = Envelope(), Envelope()
        self._heard_to = 0
        self._searched_at = -_STEPS
        self._unsearched_ms = 0
        self._doubts = 0

    @property
    def known(self) -> bool:
        """It is known what the line returns, if anything."""
        return self.path is not None or self._returns_nothing

    def played(self, starts_s: float, duration_ms: int, level_dbov: float) -> None:
        """A frame was handed to the leg, which plays it from `starts_s` on."""
        self._played.write(_step(starts_s), _count(duration_ms), level_dbov)
        self._unsearched_ms += duration_ms
        certain = self.path.certain if self.path else self._returns_nothing
        watches = self._watches or self.path is not None
        if watches and self._unsearched_ms >= (_CHECK_EVERY_MS if certain else _SEARCH_EVERY_MS):
            self.look()

    def stopped(self, now_s: float) -> None:
        """Playout was cut: what was handed out and not played never sounds."""
        self._played.forget_from(_step(now_s))
        self._returns_nothing = False  # it may have been cut for a new echo

    def heard(self, starts_s: float, duration_ms: int, level_dbov: float) -> None:
        """The caller's side sent a frame; every frame is to be told."""
        first, count = _step(starts_s), _count(duration_ms)
        self._heard.write(first, count, max(level_dbov, _NOTHING_DBOV))
        self._heard_to = first + count

    def explains(self, starts_s: float, duration_ms: int, level_dbov: float) -> bool:
        """True when what was heard in this frame can be echo, all of it."""
        first, count = _step(starts_s), _count(duration_ms)
        loudest = max(self._played.read(first - _LAG_STEPS, _LAG_STEPS + count))
        if loudest < _AUDIBLE_DBOV:
            return False
        if self._foresees(first, count, level_dbov):
            return True
        if first - self._searched_at >= _SEARCH_EVERY_STEPS:
            self.look()
            if self._foresees(first, count, level_dbov):
                return True
        return not self.known and level_dbov <= loudest - _UNKNOWN_LOSS_DB

    def foresees(self, starts_s: float, duration_ms: int, level_dbov: float) -> bool:
        """As `explains`, by nothing but a path that is certain."""
        if self.path is None or not self.path.certain:
            return False
        return self._foresees(_step(starts_s), _count(duration_ms), level_dbov)

    def _foresees(self, first: int, count: int, level_dbov: float) -> bool:
        if self.path is None:
            return False
        begins = first - self.path.lag_ms // _STEP_MS - 2
        around = self._played.read(begins, count + 3)
        return level_dbov <= max(around) - self.path.loss_db + _MARGIN_DB

    def look(self) -> None:
        """Compares the last 1.5 s of both envelopes at every lag."""
        self._searched_at, self._unsearched_ms = self._heard_to, 0
        played, heard = self._envelopes()
        if self.path is None and _is_quiet(played, heard):
            self._returns_nothing = True
            return
        lags = _lags(played, heard)
        fewest = min(len(pairs) for pairs in lags.values())
        if fewest < _SOME_PAIRS:
            return
        lag = max(lags, key=lambda lag: _correlation(lags[lag]))
        loss_db, spread_db = _loss(lags[lag])
        alike = _correlation(lags[lag]) >= _ALIKE and spread_db <= _SPREAD_DB
        if alike and loss_db > 0:
            lag_ms, before = lag * _STEP_MS, self.path
            same = before is not None and before.certain and abs(before.lag_ms - lag_ms) <= 20
            certain = same or len(lags[lag]) >= _MANY_PAIRS
            self.path = EchoPath(lag_ms, loss_db, certain)
            self._returns_nothing, self._doubts = False, 0
            return
        self._doubts += 1
        if self.path is not None and (not self.path.certain or self._doubts >= _DOUBTS):
            self.path = None
        self._returns_nothing = self.path is None and fewest >= _ENOUGH_PAIRS

    def _envelopes(self) -> tuple[list[float], list[float]]:
        """The last 1.5 s of what was played, the longest lag before it included, in steps,
        and of what was heard, in strides."""
        begin = self._heard_to - _WINDOW_STEPS
        heard = self._heard.read(begin, _WINDOW_STEPS, _STRIDE)
        steps = self._played.read(begin - _LAG_STEPS, _WINDOW_STEPS + _LAG_STEPS + 1)
        # A frame heard begins anywhere in a frame played: the mean of two steps.
        return [(one + other) / 2 for one, other in pairwise(steps)], heard


def _lags(played: list[float], heard: list[float]) -> dict[int, list[Pair]]:
    """Levels played and heard, by lag in steps: every other lag, and those beside the
    likeliest."""
    lags = {lag: _pairs(played, heard, lag) for lag in range(0, _LAG_STEPS + 1, _STRIDE)}
    likeliest = max(lags, key=lambda lag: _correlation(lags[lag]))
    for lag in (likeliest - 1, likeliest + 1):
        if 0 <= lag <= _LAG_STEPS:
            lags[lag] = _pairs(played, heard, lag)
    return lags


def _pairs(
    played: list[float], heard: list[float], lag: int, above_dbov: float = _NOTHING_DBOV
) -> list[Pair]:
    """What was played and what was heard so much later, where something was."""
    return [
        (out, back)
        for out, back in zip(played[_LAG_STEPS - lag :: _STRIDE], heard, strict=False)
        if out > _AUDIBLE_DBOV and back > above_dbov
    ]


def _is_quiet(played: list[float], heard: list[float]) -> bool:
    """Whatever the lag, next to nothing comes back; frames without any sound count."""
    for lag in range(0, _LAG_STEPS + 1, _STRIDE):
        pairs = _pairs(played, heard, lag, SILENT_DBOV)
        if len(pairs) < _SOME_PAIRS or _loss(pairs)[0] < _QUIET_LOSS_DB:
            return False
    return True


def _step(at_s: float) -> int:
    return round(at_s * 1000 / _STEP_MS)


def _count(duration_ms: int) -> int:
    return max(1, duration_ms // _STEP_MS)


def _correlation(pairs: list[Pair]) -> float:
    """Pearson's, of levels; 0 where one of them never changes."""
    count = max(1, len(pairs))
    out, back = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    sum_out, sum_back = sum(out), sum(back)
    var_out = sum(map(mul, out, out)) - sum_out * sum_out / count
    var_back = sum(map(mul, back, back)) - sum_back * sum_back / count
    if var_out < 1e-6 or var_back < 1e-6:
        return 0.0
    cov = sum(map(mul, out, back)) - sum_out * sum_back / count
    return float(cov / (var_out * var_back) ** 0.5)


def _loss(pairs: list[Pair]) -> tuple[float, float]:
    """What the louder half of the played lost: the median, and the span of the
    middle three fifths, in dB."""
    louder = sorted(pairs, reverse=True)[: (len(pairs) + 1) // 2]
    losses = sorted(out - back for out, back in louder)
    count = len(losses)
    return losses[count // 2], losses[count * 4 // 5] - losses[count // 5]
