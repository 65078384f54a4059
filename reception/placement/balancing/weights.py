"""How much of the calls a node is to get: its capacity, as far as it is free.

After gRPC's proposal A58 (weighted round robin by reported utilisation), but
capacity times headroom instead of rate over utilisation: calls last for minutes,
so their rate says little of what a node can carry. With n calls on each node of
capacity C, arrivals in proportion to C - n and ends in proportion to n balance
where n / C is the same everywhere, and lead there without overshooting.
"""

from __future__ import annotations

from dataclasses import dataclass

from reception.placement.balancing.bounds import above, within
from reception.placement.balancing.report import NodeReport


@dataclass(frozen=True, slots=True)
class WeightRules:
    """cpu, memory (shares), lag_ms, misses_per_call (a second, for each live call;
    a leg has 50 frames): bounds at which a node is full, as it is at its capacity
    in calls. One that can't be reached only takes weight away, as cpu's: a node
    that is busy with other work still answers.
    error_penalty: what a share of errors takes away; 2 is A58's 1 at half use.
    stale_after_s, expires_after_s: in between a report loses its weight. One of another
        node may be 2.5 s old without anything being late: it is told once a second,
        asked for once a second, and passed on to the front door twice a second.
    slow_start_s: for so long a new node gets less, at first `slow_start_floor` of
    its weight, then more; aggression above 1 sooner, below 1 later (Envoy).

    Raises:
        InvalidRequest: a value is out of its bounds.
    """

    cpu: float = 1.25
    memory: float = 0.95
    lag_ms: float = 100.0
    misses_per_call: float = 2.5
    error_penalty: float = 2.0
    stale_after_s: float = 3.5
    expires_after_s: float = 6.5
    slow_start_s: float = 30.0
    slow_start_floor: float = 0.1
    aggression: float = 1.0

    def __post_init__(self) -> None:
        for name in ("cpu", "memory", "lag_ms", "misses_per_call", "aggression"):
            above(name, getattr(self, name))
        for name in ("error_penalty", "stale_after_s", "slow_start_s"):
            within(name, getattr(self, name), 0)
        within("slow_start_floor", self.slow_start_floor, 0.001, 1)
        above("expires_after_s", self.expires_after_s, self.stale_after_s)


def utilisation(rules: WeightRules, report: NodeReport, active: int) -> float:
    """The largest of its measures as a share of its bound; 1 or more is full.

    Args:
        active: calls that it has, or is about to get.
    """
    if active >= report.capacity:
        return max(1.0, active / max(1, report.capacity))
    return max(
        active / report.capacity,
        report.cpu / rules.cpu,
        report.memory / rules.memory,
        report.lag_ms / rules.lag_ms,
        report.misses_per_s / (rules.misses_per_call * max(1, report.live)),
    )


def error_share(report: NodeReport) -> float:
    """The part of its calls that failed, 0 to 1; 0 while it has none."""
    if report.calls_per_s == 0:
        return 0.0
    return min(1.0, report.errors_per_s / report.calls_per_s)


def headroom(rules: WeightRules, report: NodeReport, active: int) -> float:
    """The share of a node that is free, less for errors; 0 only when it is full."""
    free = max(0.0, 1.0 - utilisation(rules, report, active))
    return free / (1.0 + rules.error_penalty * error_share(report))


def freshness(rules: WeightRules, age_s: float) -> float:
    """What is left of a report's weight: 1 until it is stale, 0 once expired."""
    lasts_s = rules.expires_after_s - rules.stale_after_s
    return min(1.0, max(0.0, (rules.expires_after_s - age_s) / lasts_s))


def slow_start(rules: WeightRules, ready_for_s: float) -> float:
    """What a node gets of its weight that has been ready for so long (Envoy's
    slow start mode)."""
    if ready_for_s >= rules.slow_start_s:
        return 1.0
    grown = max(0.0, ready_for_s / rules.slow_start_s)
    return max(rules.slow_start_floor, float(grown ** (1.0 / rules.aggression)))
