"""How large the simulated cluster is, and what its calls and messages are like."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from cluster.load.holding import LogNormal
from reception.errors import InvalidRequest
from reception.placement.admission.priority import Priority

SIZES = ((1.0, 0.5), (1.5, 0.3), (2.0, 0.2))  # of nodes: capacity, and how many have it


@dataclass(frozen=True, slots=True)
class Model:
    """calls: at once, on average; load: that, as a share of the capacity.
    minutes: that are measured, after warm_s.
    hold_s, hold_sigma: calls' lengths, log-normal.
    policy: the picker of the doors; subset: nodes that a door knows at least.
    report_s: how often a node reports; its answer has the others' reports.
    response_s: how often a call has a response, which is billed.
    emergency: share of the calls that are; the others are normal.
    failures: whether there are any; kill, slow, join: shares of the nodes that die,
        become slow, are added.

    Raises:
        InvalidRequest: a value is out of its bounds.
    """

    nodes: int = 1_000
    calls: int = 100_000
    load: float = 0.7
    seed: int = 1
    minutes: float = 12.0
    warm_s: float = 60.0
    hold_s: float = 180.0
    hold_sigma: float = 0.8
    policy: str = "headroom_of_two"
    subset: int = 32
    report_s: float = 1.0
    response_s: float = 10.0
    emergency: float = 0.01
    failures: bool = True
    kill: float = 0.1
    slow: float = 0.01
    join: float = 0.1

    def __post_init__(self) -> None:
        if not (self.nodes >= 1 and self.calls >= self.nodes):
            raise InvalidRequest(
                f"calls is {self.calls}: must be nodes ({self.nodes}, at least 1) or more",
                field="calls",
            )
        if not 0 < self.load < 1:
            raise InvalidRequest(f"load is {self.load}: must be above 0, and below 1", field="load")
        for name in ("kill", "slow", "join", "emergency"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise InvalidRequest(f"{name} is {value}: must be 0 or more, below 1", field=name)

    @property
    def arrivals_per_s(self) -> float:
        """Little's law."""
        return self.calls / self.hold_s

    @property
    def end_s(self) -> float:
        return self.warm_s + 60 * self.minutes

    def capacities(self, rng: Random) -> list[int]:
        """Of the nodes, in calls; the sizes are mixed."""
        sizes = [size for size, share in SIZES for _ in range(round(share * self.nodes))]
        sizes = (sizes + [SIZES[0][0]] * self.nodes)[: self.nodes]
        rng.shuffle(sizes)
        one = self.calls / self.load / sum(sizes)
        return [max(1, round(size * one)) for size in sizes]

    def length_s(self, rng: Random) -> float:
        """Of a call that begins."""
        return LogNormal(self.hold_s, self.hold_sigma).draw_s(rng)

    def rest_s(self, rng: Random) -> float:
        """Of a call that is met somewhere in its middle. Long calls are met more
        often: those lengths are log-normal too, with mu + sigma ** 2, and the
        moment is anywhere in them."""
        longer = LogNormal(self.hold_s * math.exp(self.hold_sigma**2), self.hold_sigma)
        return rng.random() * longer.draw_s(rng)

    def priority(self, rng: Random) -> Priority:
        return Priority.EMERGENCY if rng.random() < self.emergency else Priority.NORMAL


def delay_s(rng: Random) -> float:
    """One way between two nodes, with the wait for the process that is asked: an
    actor call's round trip was measured at 3 ms, 3.5 ms for one in twenty."""
    return 0.001 + rng.expovariate(1 / 0.002)
