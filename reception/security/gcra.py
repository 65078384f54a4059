"""Rate limits by the generic cell rate algorithm, in integer nanoseconds.

GCRA (ITU-T I.371, annex A) keeps one number for each key and layer, the
theoretical arrival time (TAT): a request is let in when it comes no earlier
than TAT - tolerance, and moves TAT on by one interval. At most `count`
requests pass at once, and at most `count` more in each period after that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` requests (1 or more) in `period_ns`."""

    name: str
    count: int
    period_ns: int

    @property
    def interval_ns(self) -> int:
        """Between two requests in the long run, rounded up: never too many."""
        return -(-self.period_ns // self.count)

    @property
    def tolerance_ns(self) -> int:
        """How far TAT may run ahead before a request is refused."""
        return self.interval_ns * (self.count - 1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`tats` are the new ones by rate name (unchanged when refused);
    `refused_by` names the rate to wait longest for, "" when let in."""

    tats: Mapping[str, int]
    refused_by: str = ""
    retry_after_ns: int = 0


def take(rates: tuple[Rate, ...], tats: Mapping[str, int], now_ns: int) -> Verdict:
    """One request against all rates: all are asked, then all are taken from.

    Args:
        tats: by rate name; a missing one was never used.
        now_ns: may go backwards between calls, which only refuses more.
    """
    waits = {rate.name: tats.get(rate.name, now_ns) - rate.tolerance_ns - now_ns for rate in rates}
    slowest = max(waits, key=lambda name: waits[name], default="")
    if slowest and waits[slowest] > 0:
        return Verdict(tats, slowest, waits[slowest])
    return Verdict(
        {rate.name: max(tats.get(rate.name, now_ns), now_ns) + rate.interval_ns for rate in rates}
    )
