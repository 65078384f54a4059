"""How far forecasts were off, by how far ahead they looked.

Now and then a forecast of what will be spent in the next 15 minutes to 31 days
is kept; when that time is over, its error is. An interval around a new
forecast takes the quantiles of those errors: split conformal prediction, which
assumes nothing of how errors are distributed, only that they are as they were.

Sources: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World
(2005); Angelopoulos and Bates, A Gentle Introduction to Conformal Prediction
(2021), 2.2 and 5.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

HORIZONS = (0.25, 0.5, 0.75, 1, 2, 4, 8, 12, 24, 48, 96, 168, 336, 504, 744)
"""Hours ahead; those of less than one are the rest of an hour that has begun."""

EVERY_HOURS = 5
"""How often a forecast is kept: no divisor of the week, so that every hour of
it is met."""

KEPT = 365 * 24 // EVERY_HOURS
"""Errors kept of each horizon: a year's."""

MIN_ERRORS = 19
"""Below which nothing is claimed. A new error is outside of 19 others once in ten
times: 9 in 10 are between their extremes."""

MIN_APART = 4.0
"""The same, where forecasts overlap: counted as if they didn't."""

_FLOOR = 0.05


@dataclass(frozen=True, slots=True)
class _Expected:
    """`amount` from `spent` on, until `by_hour` begins; errors are told in `size`."""

    by_hour: int
    spent: float
    amount: float
    size: float


class Calibration:
    """Errors of forecasts of one series.

    Args:
        coverage: the share of cases in which the interval is to hold the truth.
    """

    def __init__(self, coverage: float) -> None:
        self._tail = (1 - coverage) / 2
        self._pending: dict[float, deque[_Expected]] = {hours: deque() for hours in HORIZONS}
        self._errors: dict[float, deque[float]] = {hours: deque(maxlen=KEPT) for hours in HORIZONS}

    def expect(self, hours: float, by_hour: int, spent: float, amount: float, mean: float) -> None:
        """Keeps a forecast.

        Args:
            hours: how far it looks ahead, one of HORIZONS.
            by_hour: the hour (a running number) before which it ends.
            spent: of all hours so far, from any origin.
            amount: what is expected to be spent besides.
            mean: an average hour's amount.
        """
        size = scale(amount, hours, mean)
        self._pending[hours].append(_Expected(by_hour, spent, amount, size))

    def observe(self, hour: int, spent: float) -> None:
        """`spent` of all hours before `hour`."""
        for hours, pending in self._pending.items():
            while pending and pending[0].by_hour <= hour:
                was = pending.popleft()
                self._errors[hours].append((spent - was.spent - was.amount) / was.size)

    def bounds(
        self, amount: float, hours: float, mean: float, least_hours: float = HORIZONS[0]
    ) -> tuple[float, float] | None:
        """The interval of what is spent in the next `hours` (more than 0) when
        `amount` is expected; None while too little is known of errors so far
        ahead. Between two horizons their quantiles are interpolated.

        Args:
            least_hours: the shortest horizon whose errors are taken: 1 where less than
                an hour is not the rest of one, of which more is known than of another.
        """
        at = min(bisect_left(HORIZONS, max(hours, least_hours)), len(HORIZONS) - 1)
        lower, upper = HORIZONS[max(0, at - 1)], HORIZONS[at]
        near, far = self._quantiles(lower), self._quantiles(upper)
        if near is None or far is None:
            return None
        within = min(max(hours, least_hours), upper)
        share = math.log(within / lower) / math.log(upper / lower) if upper > lower else 0.0
        # in the last minutes of an hour errors are relatively larger, as the
        # root of time: they are of parts that know little of each other
        size = scale(amount, hours, mean) * math.sqrt(max(1.0, HORIZONS[0] / hours))
        low, high = (n + share * (f - n) for n, f in zip(near, far, strict=True))
        return max(0.0, amount + low * size), max(0.0, amount + high * size)

    def _quantiles(self, hours: float) -> tuple[float, float] | None:
        errors = sorted(self._errors[hours])
        apart = len(errors) * min(1.0, 2 * EVERY_HOURS / hours)
        if len(errors) < MIN_ERRORS or apart < MIN_APART:
            return None
        # the conformal rank: a new error is as likely to fall into any of the
        # gaps between those that are known, of which there is one more. Forecasts
        # that overlap by more than half err together, and count as one.
        tail = max(0.0, self._tail - (1 - self._tail) / apart)
        cut = int(tail * len(errors))
        return errors[cut], errors[-1 - cut]


def scale(amount: float, hours: float, mean: float) -> float:
    """In which errors of an expected `amount` are told, so that those of quiet
    and busy hours are of one kind."""
    return amount + _FLOOR * mean * hours or 1.0
