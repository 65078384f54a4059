"""Spending in a rolling window, as it moves on: what is in it leaves it, what comes is foreseen.

When a slot that is over leaves the window is known; only what is spent from now
on is a forecast. One window's length ahead is as far as it is told: until then
nothing leaves that was not spent already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from reception.money.forecast.outlook import Outlook, between
from reception.money.windows import SLOT_S, Rolling, Window, span_at

STEPS = 12
"""Of a window's length, at whose ends its spending is told: five minutes to 60 hours."""

Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class RollingBudget:
    """A rolling window, its limit, and what was spent in each slot (its beginning, UNIX
    seconds; micro-dollars) that is in the window now; in order, slots without spending
    may be left out."""

    period: Rolling
    limit_micros: int
    slots: tuple[tuple[int, int], ...]

    def window(self, now_s: float) -> Window:
        """What is in it now, and how far ahead it is foreseen."""
        start_s = span_at(self.period, now_s).start_s
        return Window(self.period.name, float(start_s), now_s + self.period.length_s)

    def kept(self, at_s: float) -> int:
        """What of `slots` is in the window of `at_s`."""
        start_s = span_at(self.period, at_s).start_s
        return sum(micros for slot_s, micros in self.slots if slot_s >= start_s)

    def when(self, outlook: Outlook, now_s: float) -> float | None:
        """When the limit is spent, if spending follows the outlook (in which now is the
        first moment); None when not in the next window's length.

        Between the moments at which slots leave, spending in the window only rises.
        """
        end_s = now_s + self.period.length_s
        stays_s = SLOT_S + self.period.length_s
        leaves = [(float(slot_s + stays_s), micros) for slot_s, micros in self.slots]
        room, from_s = self.limit_micros - self.kept(now_s), now_s
        for until_s, micros in [*(each for each in leaves if each[0] < end_s), (end_s, 0)]:
            if outlook.spent_by(from_s) >= room:
                return from_s
            hit_s = outlook.when(room, before_s=until_s)
            if hit_s is not None:
                return hit_s
            room, from_s = room + micros, until_s
        return None


@dataclass(frozen=True, slots=True)
class Point:
    """What is foreseen to be in the window of `at_s`; micro-dollars."""

    at_s: float
    expected_micros: int
    low_micros: int
    high_micros: int


def moments(budget: RollingBudget, now_s: float) -> list[float]:
    """For which the course is told: UNIX seconds."""
    return [now_s + step * budget.period.length_s / STEPS for step in range(1, STEPS + 1)]


def course(
    budget: RollingBudget, outlook: Outlook, at: Sequence[float], bounds: Sequence[Bounds]
) -> tuple[Point, ...]:
    """What is in the window at each of these moments.

    Args:
        bounds: of what is spent from now to each; micro-dollars.
    """
    points = []
    for at_s, (low, high) in zip(at, bounds, strict=True):
        kept, spent = budget.kept(at_s), outlook.spent_by(at_s)
        points.append(Point(at_s, *(kept + round(each) for each in (spent, low, high))))
    return tuple(points)


def highest(outlook: Outlook, at: Sequence[float], bounds: Sequence[Bounds]) -> Outlook:
    """The outlook should spending go as high as these bounds; between them its distance
    to what is expected is a straight line's."""
    now_s = outlook.times_s[0]
    above = [0.0, *(b[1] - outlook.spent_by(at_s) for at_s, b in zip(at, bounds, strict=True))]
    raised = (
        spent + between(at_s, (now_s, *at), above)
        for at_s, spent in zip(outlook.times_s, outlook.sums, strict=True)
    )
    return Outlook(outlook.times_s, tuple(accumulate(raised, max)))
