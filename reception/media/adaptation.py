"""How much an audio worker does for its calls: the level that its load allows.

`Adaptation` is given a `Load` about once a second and answers with a
`LevelChanged` when the worker is to do less or may do more. It goes up fast
(2 s past a bound, straight to the level whose bounds were passed all that
time) and comes back slowly, one level at a time, after calm that grows with
each return that did not last (`hysteresis.Patience`).

One `observe` takes about 6 us; `plan` is read without any work.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum, StrEnum
from math import inf, isfinite

from reception.errors import InvalidRequest
from reception.hysteresis import Patience, Sustained

FRAME_MS = 20
# Below so much of a level's bounds there may be room for the level before. What a
# node has in memory hardly follows the level, so a little less is enough there.
CALM, CALM_MEMORY = 0.7, 0.95
LAG_OF_TARGET, LEAST_LAG_MS = 0.1, 5.0  # a frame on its way meets the lag several times


class Level(IntEnum):
    """The higher, the less is done for each call."""

    QUALITY = 0
    BALANCED = 1
    ECONOMY = 2
    SURVIVAL = 3

    @classmethod
    def of(cls, name: str) -> Level:
        """By its name, as in "economy". Raises InvalidRequest."""
        for level in cls:
            if level.name.lower() == name:
                return level
        names = ", ".join(level.name.lower() for level in cls)
        raise InvalidRequest(f"level is {name!r}: must be one of {names}", field="level")

    def __str__(self) -> str:
        return self.name.lower()


class Way(StrEnum):
    """full: all signal processing; light: voice activity, keys and level
    statistics; pass_through: only what the formats demand."""

    PASS_THROUGH = "pass_through"  # noqa: S105  # nosec B105 - no password
    LIGHT = "light"
    FULL = "full"


class Resampler(StrEnum):
    """Which quality of rate conversion."""

    HIGH = "high"
    MEDIUM = "medium"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker does for each call.

    chunk_ms: caller audio per message to the provider.
    suppression: noise suppression, where the profile asks for it.
    recording: the codecs a new recording may have, best first; one that asks
        for another gets the first of these.
    """

    level: Level
    chunk_ms: int
    way: Way
    suppression: bool
    resampler: Resampler
    recording: tuple[str, ...]

    def recording_for(self, asked: str) -> str:
        """The codec of a new recording."""
        return asked if asked in self.recording else self.recording[0]


_ANY_CODEC = ("opus", "flac", "wav")
PLANS = (
    Plan(Level.QUALITY, 20, Way.FULL, True, Resampler.HIGH, _ANY_CODEC),
    Plan(Level.BALANCED, 40, Way.FULL, True, Resampler.MEDIUM, ("flac", "wav")),
    Plan(Level.ECONOMY, 60, Way.LIGHT, False, Resampler.MEDIUM, ("wav",)),
    Plan(Level.SURVIVAL, 100, Way.PASS_THROUGH, False, Resampler.MEDIUM, ("wav",)),
)


@dataclass(frozen=True, slots=True)
class Load:
    """What a worker measured since its last report.

    lag_p95_ms: how late its event loop woke up.
    cpu_percent: of the one core that it can use.
    added_delay_ms: p95, from the last frame of a chunk in to the chunk sent on;
        that a chunk has to fill is the plan's own doing and does not count.
    memory_percent: of the node.
    missed_percent: frames for callers that went out later than their time.

    Raises:
        InvalidRequest: a value is negative or not a number.
    """

    lag_p95_ms: float = 0.0
    cpu_percent: float = 0.0
    added_delay_ms: float = 0.0
    memory_percent: float = 0.0
    missed_percent: float = 0.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not (isfinite(value) and value >= 0):
                raise InvalidRequest(f"{each.name} is {value}: must be 0 or more", field=each.name)


@dataclass(frozen=True, slots=True)
class Targets:
    """REALTIME_TARGET_LATENCY_MS, REALTIME_CPU_THRESHOLD and
    REALTIME_MEMORY_THRESHOLD; and how patient the worker is.

    rise_s: past a bound for so long, it does less.
    calm_s: below `CALM` of the bounds for so long, it does more again, at first;
        longest_calm_s after returns that did not last.
    gap_s: without a load for so long, what was seen before no longer counts.
    """

    latency_ms: float = 100.0
    cpu_percent: float = 70.0
    memory_percent: float = 80.0
    missed_percent: float = 1.0
    rise_s: float = 2.0
    calm_s: float = 30.0
    longest_calm_s: float = 960.0
    gap_s: float = 10.0


@dataclass(frozen=True, slots=True)
class LevelChanged:
    """The level is another one from now on; `reason` has the numbers."""

    at_s: float
    before: Level
    after: Level
    reason: str


class Adaptation:
    """The level of one worker. `now_s` is any monotonic clock."""

    def __init__(self, targets: Targets, level: Level = Level.QUALITY) -> None:
        self._targets = targets
        self._level = level
        self._pinned = False
        self._plans = _plans(targets)
        self._bounds = _bounds(targets)
        self._over = [Sustained(targets.gap_s) for _ in self._bounds]
        self._calm = Sustained(targets.gap_s)
        self._patience = [Patience(targets.calm_s, targets.longest_calm_s) for _ in self._bounds]

    @property
    def level(self) -> Level:
        return self._level

    @property
    def pinned(self) -> bool:
        return self._pinned

    @property
    def plan(self) -> Plan:
        """What to do for each call, as long as `observe` says nothing else."""
        return self._plans[self._level]

    def pin(self, level: Level, now_s: float, by: str) -> LevelChanged | None:
        """An operator sets the level; loads change nothing until `release`."""
        self._pinned = True
        return self._change(level, now_s, f"pinned by {by}")

    def release(self, now_s: float) -> None:
        """The load decides again, beginning with the level that there is."""
        if self._pinned:
            self._pinned = False
            self._restart()

    def observe(self, load: Load, now_s: float) -> LevelChanged | None:
        """The change that this load causes, which is made already; None mostly."""
        if self._pinned:
            return None
        return self._rise(load, now_s) or self._return(load, now_s)

    def _rise(self, load: Load, now_s: float) -> LevelChanged | None:
        due: Level | None = None
        for level in list(Level)[self._level + 1 :]:
            held_s = self._over[level - 1].observe(
                _passed(load, self._bounds[level - 1]) != "", now_s
            )
            if held_s >= self._targets.rise_s:
                due = level
        if due is None:
            return None
        for patience in self._patience[self._level : due]:
            patience.relapsed(now_s)
        passed = _passed(load, self._bounds[due - 1])
        return self._change(due, now_s, f"{passed} for {self._targets.rise_s:g} s")

    def _return(self, load: Load, now_s: float) -> LevelChanged | None:
        if self._level is Level.QUALITY:
            return None
        bounds, patience = self._bounds[self._level - 1], self._patience[self._level - 1]
        below = _calm(bounds)
        if self._calm.observe(_passed(load, below) == "", now_s) < patience.wait_s:
            return None
        patience.returned(now_s)
        reason = f"{_compared(load, below)} for {patience.wait_s:g} s"
        return self._change(Level(self._level - 1), now_s, reason)

    def _change(self, level: Level, now_s: float, reason: str) -> LevelChanged | None:
        self._restart()
        if level is self._level:
            return None
        before, self._level = self._level, level
        return LevelChanged(now_s, before, level, reason)

    def _restart(self) -> None:
        """What was measured so far was measured under another plan."""
        for each in (*self._over, self._calm):
            each.restart()


def _plans(targets: Targets) -> tuple[Plan, ...]:
    """The plans, their chunks no longer than leaves the wait for them within the
    target: the first frame of a chunk waits for the others."""
    longest_ms = max(
        each.chunk_ms for each in PLANS if each.chunk_ms - FRAME_MS <= targets.latency_ms
    )
    return tuple(replace(each, chunk_ms=min(each.chunk_ms, longest_ms)) for each in PLANS)


def _bounds(targets: Targets) -> tuple[dict[str, float], ...]:
    """Where balanced, economy and survival begin.

    CPU is spread between its threshold and all of the core. Memory asks for
    economy at most: cutting into the sound of calls would free none.
    """
    cpu, memory, missed = targets.cpu_percent, targets.memory_percent, targets.missed_percent
    delay_ms = targets.latency_ms
    lag_ms = max(LEAST_LAG_MS, LAG_OF_TARGET * delay_ms)
    return tuple(
        {
            "lag_p95_ms": lag_ms * 2**step,
            "cpu_percent": cpu + (100 - cpu) * step / 3,
            "added_delay_ms": delay_ms * (1 + step / 2),
            "memory_percent": (memory, (memory + 100) / 2, inf)[step],
            "missed_percent": missed * 2**step,
        }
        for step in range(3)
    )


def _calm(bounds: dict[str, float]) -> dict[str, float]:
    return {
        name: bound * (CALM_MEMORY if name == "memory_percent" else CALM)
        for name, bound in bounds.items()
    }


def _passed(load: Load, bounds: dict[str, float]) -> str:
    """The measures at or past their bounds, with the numbers; "" for none."""
    return ", ".join(
        f"{name} {getattr(load, name):.1f} >= {bound:.1f}"
        for name, bound in bounds.items()
        if getattr(load, name) >= bound
    )


def _compared(load: Load, bounds: dict[str, float]) -> str:
    return ", ".join(
        f"{name} {getattr(load, name):.1f} < {bound:.1f}"
        for name, bound in bounds.items()
        if bound < inf
    )
