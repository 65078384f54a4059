"""How many messages each singleton gets, beside what it was measured to take."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from benchmarks.scaling.cluster import Outcome
from benchmarks.scaling.measures import Sample, between


class Money(Protocol):
    """How calls ask for money; beside it doors lease budget (`leases.py`)."""

    name: str

    def messages(self, began: int, ended: int, live: int, response_s: float) -> float:
        """To the cost singleton, in a second in which so many calls began and
        ended, while so many were live."""
        ...


class EachCall:
    """As it is: a hold for each call, a bill for each response and for each thing that
    the caller said, and the rest given back."""

    name = "a hold and bills for each call"

    def messages(self, began: int, ended: int, live: int, response_s: float) -> float:
        return began + ended + 2 * live / response_s


RAY_MS = 0.8  # of CPU for whoever answers an actor call: half of 1.6 (docs/performance.md)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a singleton was measured to take, in one process without Ray: messages a
    second, and ms of CPU each."""

    per_s: float
    cpu_ms: float

    @property
    def by_ray_per_s(self) -> float:
        """When they come from other nodes as actor calls, and a core is all used."""
        return min(self.per_s, 1000 / (self.cpu_ms + RAY_MS))


@dataclass(frozen=True, slots=True)
class Messages:
    """To one singleton in each second of a run, as points (minute, messages)."""

    singleton: str
    formula: str
    per_s: list[tuple[float, float]]

    def mean(self, outcome: Outcome) -> float:
        """While nothing goes wrong."""
        when = outcome.when
        until_s = when.away_s if outcome.model.failures else when.end_s
        calm = [each for at, each in self.per_s if when.warm_s <= 60 * at < until_s]
        return sum(calm) / max(1, len(calm))

    @property
    def peak(self) -> float:
        return max(each for _, each in self.per_s)

    def queue_s(self, can_per_s: float) -> float:
        """The longest that a message waits, at the end of a second, before so many
        were handled a second; it grows for ever when they are too few."""
        waiting = longest = 0.0
        for _, each in self.per_s:
            waiting = max(0.0, waiting + each - can_per_s)
            longest = max(longest, waiting)
        return longest / can_per_s


def messages(outcome: Outcome, money: Money) -> list[Messages]:
    """Whoever comes back to another door is let in by security again."""
    seconds = list(pairwise(between(outcome.samples, outcome.when.warm_s, outcome.when.end_s)))
    response_s = outcome.model.response_s

    def cost(before: Sample, now: Sample) -> float:
        began, ended = now.arrived - before.arrived, now.ended - before.ended
        return money.messages(began, ended, now.live, response_s)

    def security(before: Sample, now: Sample) -> float:
        return now.arrived - before.arrived + now.resumed - before.resumed

    def health(before: Sample, now: Sample) -> float:
        return now.health - before.health

    formulas = {
        "health": (health, "nodes / report_s"),
        "security": (security, "arrivals + callers who come back"),
        "cost": (cost, "arrivals + ends + 2 * calls / response_s"),
    }
    return [
        Messages(name, formula, [(now.at_s / 60, count(before, now)) for before, now in seconds])
        for name, (count, formula) in formulas.items()
    ]
