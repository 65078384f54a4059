"""Spending to the end of each window, with an interval, and when a limit is hit; of a
rolling window to one length of it from now.

What is claimed: of the intervals that are given, `COVERAGE` hold what was spent
at the window's end (each moment of a window alike). They are made from errors of
earlier forecasts (`calibration.py`); `python -m benchmarks forecast` measures
the claim on generated years. Before there is enough, the answer is "unknown":
nothing for a week, then as far ahead as errors are known: a day after 12 days, a
week after four weeks, a month after 14 weeks (its second half after seven).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from reception.money.forecast.calibration import EVERY_HOURS, HORIZONS, Calibration
from reception.money.forecast.model import WEEK, Method, SeasonalModel, running_sums
from reception.money.forecast.outlook import HOUR_S, Outlook
from reception.money.forecast.rolling import Bounds, Point, RollingBudget, course, highest, moments
from reception.money.windows import SLOT_S, Budget, Window

COVERAGE = 0.9
SLOTS = HOUR_S // SLOT_S
MAX_GAP_SLOTS = 4 * WEEK * SLOTS
"""After so long without any history it begins anew."""


@dataclass(frozen=True, slots=True)
class WindowForecast:
    """A window's end, seen from now. Micro-dollars, with what is posted; None
    is "unknown".

    Attributes:
        low_micros, high_micros: `COVERAGE` of the truth is between them.
        hit_at_s: when the limit is spent, as expected; None when not before
            the window ends, or unknown.
        hit_earliest_s: the same should spending go as high as the interval.
        method: how it was made.
        course: of a rolling window that is not unknown, to its end.
    """

    window: Window
    limit_micros: int
    posted_micros: int
    method: Method
    expected_micros: int | None = None
    low_micros: int | None = None
    high_micros: int | None = None
    hit_at_s: float | None = None
    hit_earliest_s: float | None = None
    course: tuple[Point, ...] = ()


class Forecaster:
    """Learns from what was spent in each slot (of SLOT_S); a year of them is
    learnt in half a second, and takes about a megabyte.

    Args:
        zone: whose weeks spending follows, as `windows_at`.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._begin()

    def _begin(self) -> None:
        self._model = SeasonalModel()
        self._calibration = Calibration(COVERAGE)
        self._next: int | None = None  # the slot that is not yet learnt
        self._spent = 0  # in all hours before
        self._this_hour = 0

    @property
    def method(self) -> Method:
        return self._model.method

    def learn(self, history: Iterable[tuple[float, int]], until_s: float) -> None:
        """Slots that are over.

        Args:
            history: (UNIX time of the slot's beginning, micro-dollars), in
                order. Slots that are left out had no spending; those that are
                known already are passed over.
            until_s: UNIX time up to which the history is whole.
        """
        for start_s, micros in history:
            slot = int(start_s // SLOT_S)
            if self._next is None or slot - self._next > MAX_GAP_SLOTS:
                self._begin()
                self._next = slot // SLOTS * SLOTS
            self._nothing_until(slot)
            if self._next == slot:
                self._slot(slot, micros)
        self._nothing_until(int(until_s // SLOT_S))

    def _nothing_until(self, slot: int) -> None:
        while self._next is not None and self._next < slot:
            self._slot(self._next, 0)

    def _slot(self, slot: int, micros: int) -> None:
        hour, part = divmod(slot, SLOTS)
        kept = hour % EVERY_HOURS == 0 and self._model.method is not Method.UNKNOWN
        if kept and part:
            self._expect_rest(hour, part / SLOTS)
        elif kept:
            self._expect_hours(hour)
        self._this_hour += micros
        if part == SLOTS - 1:
            self._model.observe(self._index(hour), self._this_hour)
            self._spent += self._this_hour
            self._this_hour = 0
            self._calibration.observe(hour + 1, self._spent)
        self._next = slot + 1

    def _expect_hours(self, hour: int) -> None:
        sums = running_sums(self._model.path(self._index(hour), int(HORIZONS[-1])))
        for hours in HORIZONS:
            if hours >= 1:
                amount = sums[int(hours)]
                self._calibration.expect(
                    hours, hour + int(hours), self._spent, amount, self._model.mean
                )

    def _expect_rest(self, hour: int, elapsed: float) -> None:
        (whole,) = self._model.path(self._index(hour), 1, self._this_hour, elapsed)
        spent, rest = self._spent + self._this_hour, 1 - elapsed
        self._calibration.expect(rest, hour + 1, spent, rest * whole, self._model.mean)

    def _index(self, hour: int) -> int:
        at = datetime.fromtimestamp(hour * HOUR_S, self._zone)
        return at.weekday() * 24 + at.hour

    def outlook(self, now_s: float, hour_micros: int, hours: int) -> Outlook | None:
        """What is expected of the rest of this hour and the `hours` after it.

        Args:
            now_s: UNIX time.
            hour_micros: what was spent in this hour (of UNIX time) so far.

        Returns:
            None while nothing is known.
        """
        if self._model.method is Method.UNKNOWN:
            return None
        hour = int(now_s // HOUR_S)
        elapsed = now_s / HOUR_S - hour
        path = self._model.path(self._index(hour), hours + 1, hour_micros, elapsed)
        path[0] *= 1 - elapsed
        times_s = (now_s, *(float((hour + each) * HOUR_S) for each in range(1, hours + 2)))
        return Outlook(times_s, tuple(running_sums(path)))

    def forecast(
        self, now_s: float, hour_micros: int, budgets: Sequence[Budget]
    ) -> tuple[WindowForecast, ...]:
        """The end of each calendar window that holds `now_s`.

        Args:
            hour_micros: as `outlook`.
            budgets: windows with their limits and what is posted in them.
        """
        longest_s = max((budget.window.end_s for budget in budgets), default=now_s)
        outlook = self.outlook(now_s, hour_micros, math.ceil((longest_s - now_s) / HOUR_S))
        return tuple(self._window(now_s, budget, outlook) for budget in budgets)

    def _window(self, now_s: float, budget: Budget, outlook: Outlook | None) -> WindowForecast:
        window, posted = budget.window, budget.posted_micros
        hours = max(1.0, window.end_s - now_s) / HOUR_S
        rest = outlook.spent_by(window.end_s) if outlook else 0.0
        bounds = self._calibration.bounds(rest, hours, self._model.mean)
        if outlook is None or bounds is None:
            return WindowForecast(window, budget.limit_micros, posted, Method.UNKNOWN)
        room = budget.limit_micros - posted
        high = outlook.times(bounds[1] / rest) if rest else outlook
        return WindowForecast(
            window,
            budget.limit_micros,
            posted,
            self._model.method,
            expected_micros=posted + round(rest),
            low_micros=posted + round(bounds[0]),
            high_micros=posted + round(bounds[1]),
            hit_at_s=outlook.when(room, window.end_s),
            hit_earliest_s=high.when(room, window.end_s),
        )

    def rolling(
        self, now_s: float, hour_micros: int, budgets: Sequence[RollingBudget]
    ) -> tuple[WindowForecast, ...]:
        """What is in each rolling window, for one length of it from now on.

        Args:
            hour_micros: as `outlook`.
        """
        longest_s = max((budget.period.length_s for budget in budgets), default=0)
        outlook = self.outlook(now_s, hour_micros, longest_s // HOUR_S)
        return tuple(self._rolling(now_s, budget, outlook) for budget in budgets)

    def _rolling(
        self, now_s: float, budget: RollingBudget, outlook: Outlook | None
    ) -> WindowForecast:
        window, posted = budget.window(now_s), budget.kept(now_s)
        at = moments(budget, now_s)
        bounds = self._bounds(now_s, outlook, at) if outlook else []
        if outlook is None or len(bounds) < len(at):
            return WindowForecast(window, budget.limit_micros, posted, Method.UNKNOWN)
        points = course(budget, outlook, at, bounds)
        return WindowForecast(
            window,
            budget.limit_micros,
            posted,
            self._model.method,
            expected_micros=points[-1].expected_micros,
            low_micros=points[-1].low_micros,
            high_micros=points[-1].high_micros,
            hit_at_s=budget.when(outlook, now_s),
            hit_earliest_s=budget.when(highest(outlook, at, bounds), now_s),
            course=points,
        )

    def _bounds(self, now_s: float, outlook: Outlook, at: Sequence[float]) -> list[Bounds]:
        """Of what is spent from now to each of these moments; those that are known."""
        found = (
            self._calibration.bounds(
                outlook.spent_by(at_s), (at_s - now_s) / HOUR_S, self._model.mean, least_hours=1
            )
            for at_s in at
        )
        return [bounds for bounds in found if bounds is not None]
