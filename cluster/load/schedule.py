"""The plan of a run, and from it the same calls at the same times everywhere. Pure.

Every process makes the whole schedule from the seed and places its share of it;
nobody waits for anybody, so one slow call delays no other: an open loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from cluster.load.arrivals import Pattern
from cluster.load.holding import Holding
from cluster.load.scenario import Cast
from reception.errors import InvalidRequest

SERIES_POINTS = 300


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does.

    Attributes:
        address: host:port of the front door.
        duration_s: how long calls are begun.
        most_calls: of all processes.
        drain_s: how long calls may take to end after the last began (and, where
            there are holding times, has lasted its time).
        patience_s: how long a call may take to be answered or refused, and to
            end after its caller hung up, before it counts as hung.
        unary_per_s: ListCalls and GetCall in turn; 0 for none.
        most_live: calls at once in one process; more are not placed, and counted.
    """

    address: str
    casts: tuple[Cast, ...]
    pattern: Pattern | None
    holding: Holding | None = None
    duration_s: float = 60.0
    most_calls: int = 1_000_000
    seed: int = 1
    key: str = ""
    to: str = "+15550123"
    profile: str = ""
    drain_s: float = 60.0
    patience_s: float = 10.0
    unary_per_s: float = 0.0
    channels: int = 4
    most_live: int = 1_000

    @property
    def step_s(self) -> float:
        """The width of one point of a time series."""
        return max(1.0, self.duration_s / SERIES_POINTS)


@dataclass(frozen=True, slots=True)
class Call:
    """One call to be placed `at_s` after the run's beginning; hold_s 0: as long as
    its steps take."""

    number: int
    at_s: float
    cast: Cast
    hold_s: float


def schedule(plan: Plan, share: int = 0, shares: int = 1) -> Iterator[Call]:
    """The calls of one share, in order of time.

    Raises:
        InvalidRequest: recorded arrivals name a caller that is not in the scenario.
    """
    if plan.pattern is None:
        return
    # A stream of chance for each question, so that none disturbs another.
    when, who, how_long = (  # of no use to an attacker
        Random(f"{plan.seed} {purpose}")  # noqa: S311 - made-up callers, no secret
        for purpose in ("arrivals", "callers", "holding")
    )
    by_name = {cast.name: cast for cast in plan.casts}
    weights = [cast.weight for cast in plan.casts]
    for number, arrival in enumerate(plan.pattern.arrivals(plan.duration_s, when)):
        if number >= plan.most_calls:
            return
        if arrival.caller and arrival.caller not in by_name:
            raise InvalidRequest(
                f"arrivals: there is no caller {arrival.caller!r} in the scenario, "
                f"only {', '.join(by_name)}",
                field="arrivals",
            )
        cast = by_name.get(arrival.caller) or who.choices(plan.casts, weights)[0]
        hold_s = arrival.hold_s or 0.0
        if arrival.hold_s is None and plan.holding is not None:
            hold_s = plan.holding.draw_s(how_long)
        if number % shares == share:
            yield Call(number, arrival.at_s, cast, hold_s)
