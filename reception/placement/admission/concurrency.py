"""How many live calls a node can carry, learned from how well it carries them.

After Netflix's Gradient2 (concurrency-limits): a limit that shrinks by a part
and grows by a step, and not below half use. Gradient2 compares response times;
a call has none, so here audio deadline misses, event-loop lag and CPU gate it.
A call lasts for minutes and is never shed, so a lower limit takes effect only
as calls end: until then there is nothing new to learn, and it is not cut again.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from reception.hysteresis import Patience, Sustained


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """A node over the last second or so: frames that came too late to be played,
    of all calls; how late its event loops ran (95th percentile, the worst of
    them); CPU of all cores."""

    misses_per_s: float = 0.0
    lag_p95_ms: float = 0.0
    cpu_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class LimitRules:
    """The first three are bounds of NodeLoad (100 calls play 5,000 frames a second;
    a frame has 20 ms).

    floor: so many calls are always taken.
    broken_s: a bound that is broken for so long cuts the limit to `kept_percent`,
        and again after as long.
    calm: all is well below this part of every bound.
    grow_percent: of the capacity (one call at least), after all was well for
        grow_s; longest_grow_s after growth that did not last (`Patience`).
    gap_s: without a load for so long, what was seen before no longer counts.
    """

    misses_per_s: float = 5.0
    lag_p95_ms: float = 20.0
    cpu_percent: float = 85.0
    floor: int = 1
    broken_s: float = 2.0
    kept_percent: int = 90
    calm: float = 0.8
    grow_percent: int = 2
    grow_s: float = 10.0
    longest_grow_s: float = 640.0
    gap_s: float = 10.0


class AdaptiveLimit:
    """The limit of one node: from `floor` to `capacity`, where it begins.
    `now_s` is any monotonic clock."""

    def __init__(self, rules: LimitRules, capacity: int) -> None:
        self._rules, self._capacity = rules, capacity
        self._floor = min(rules.floor, capacity)
        self._step = max(1, capacity * rules.grow_percent // 100)
        self._bounds = {
            "misses_per_s": rules.misses_per_s,
            "lag_p95_ms": rules.lag_p95_ms,
            "cpu_percent": rules.cpu_percent,
        }
        self._broken, self._calm = Sustained(rules.gap_s), Sustained(rules.gap_s)
        self._patience = Patience(rules.grow_s, rules.longest_grow_s)
        self._cut_s = -inf
        self.limit = capacity
        self.past = ""  # the bounds that are broken and have been for broken_s

    def observe(self, load: NodeLoad, live: int, now_s: float) -> None:
        """Looks at a load; wants to be asked about once a second.

        Args:
            live: calls that the node carries.
        """
        rules = self._rules
        past = ", ".join(
            f"{name} {getattr(load, name):.1f} >= {bound:.1f}"
            for name, bound in self._bounds.items()
            if getattr(load, name) >= bound
        )
        well = all(getattr(load, name) < rules.calm * each for name, each in self._bounds.items())
        broken_s = self._broken.observe(past != "", now_s)
        calm_s = self._calm.observe(well and 2 * live > self.limit, now_s)
        self.past = past if broken_s >= rules.broken_s else ""
        if self.past:
            self._cut(live, now_s)
        elif calm_s >= self._patience.wait_s and self.limit < self._capacity:
            self.limit = min(self._capacity, self.limit + self._step)
            self._calm.restart()
            self._patience.returned(now_s)

    def _cut(self, live: int, now_s: float) -> None:
        self._patience.relapsed(now_s)
        if live <= self.limit and now_s - self._cut_s >= self._rules.broken_s:
            self.limit = max(self._floor, self.limit * self._rules.kept_percent // 100)
            self._cut_s = now_s
