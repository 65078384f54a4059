"""What the next hours will cost, from the hours before: level, week and trend.

The season is the week: 168 indices around 1, one for each hour of it. In the
second week they are the first week's, and the level follows by exponential
weights (EWMA); from two whole weeks on it is Holt-Winters with a multiplicative
season and a damped trend. What is unusual just now (a burst, a holiday) is a
ratio to what was expected, which fades with the hours ahead.

Estimates are floats of micro-dollars; nothing here is a balance.

Sources: Holt (1957), Winters (1960); Hyndman and Athanasopoulos, Forecasting:
Principles and Practice, 3rd edition, 8.3 (seasonal) and 8.2 (damped trend);
clipped errors as in Gelper, Fried and Croux, Robust forecasting with exponential
and Holt-Winters smoothing (2010).
"""

from __future__ import annotations

from enum import StrEnum
from itertools import accumulate
from statistics import fmean

WEEK = 168
"""Hours in a season."""


class Method(StrEnum):
    """How the future is made of the past. unknown: there is less than a week."""

    UNKNOWN = "unknown"
    EWMA = "EWMA with hour-of-week season"
    HOLT_WINTERS = "Holt-Winters"


# How much of an hour's error goes into the level, the trend and its own index:
# the memory of the level is three weeks, of an index seven. Tuned on generated
# years (other seeds than `python -m benchmarks forecast` has), where halving or
# doubling any of these changes the error by less than a twentieth of it.
_LEVEL = 1 / 504
_TREND = _LEVEL / 5_000
_SEASON = 0.15
_DAMPING = 0.999  # an hour; half of a trend is gone after a month
_CLIP = 3.0  # mean absolute errors; what is further away counts as this far
_FORGETS = 0.85  # an hour: the weight of the hours that say what is unusual now
_FADES = 0.95  # an hour ahead: what is unusual now
_USUAL_HOURS = 0.5  # mean hours of what is usual, against which the unusual counts
_PRIOR_HOURS = 0.25  # of what is expected of an hour, against what it has shown


class SeasonalModel:
    """One series of hourly amounts. Hours come in order, without gaps."""

    def __init__(self) -> None:
        self._first: list[float] = []  # two weeks, from the index of the first hour
        self._first_index = 0
        self._hours = 0
        self._level = 0.0
        self._trend = 0.0
        self._season = [1.0] * WEEK
        self._error = 0.0
        self._actual = 0.0  # what came of late, and what was expected then
        self._expected = 0.0

    @property
    def method(self) -> Method:
        if self._hours < WEEK:
            return Method.UNKNOWN
        return Method.EWMA if self._hours < 2 * WEEK else Method.HOLT_WINTERS

    @property
    def mean(self) -> float:
        """What an average hour costs now."""
        return self._level

    def observe(self, index: int, amount: float) -> None:
        """The next hour is over.

        Args:
            index: its place in the week, 0 to 167.
            amount: what was spent in it, 0 or more.
        """
        if self._hours < 2 * WEEK:
            if not self._first:
                self._first_index = index
            self._first.append(amount)
        if self._hours >= WEEK:
            self._learn(index, amount)
        self._hours += 1
        if self._hours in (WEEK, 2 * WEEK):
            self._begin()

    def _begin(self) -> None:
        """Level, trend and season of the first week, or the first two."""
        weeks = [self._first[start : start + WEEK] for start in range(0, self._hours, WEEK)]
        means = [fmean(week) for week in weeks]
        self._level = means[-1]
        # the middles of the two weeks are a week apart; half of it may be chance
        self._trend = (means[-1] - means[0]) / WEEK / 2 / WEEK
        sums = [sum(hours) for hours in zip(*weeks, strict=True)]
        total = sum(sums)
        if total:
            cells = [WEEK * each / total for each in sums]
            smooth = _smoothed(cells)
            own = len(weeks) / (len(weeks) + 1)
            mixed = [own * c + (1 - own) * s for c, s in zip(cells, smooth, strict=True)]
            begin = self._first_index
            self._season = [mixed[(hour - begin) % WEEK] for hour in range(WEEK)]
        self._error = self._error or 0.5 * self._level

    def _learn(self, index: int, amount: float) -> None:
        expected = max(0.0, self._level + self._trend) * self._season[index]
        error = amount - expected
        bound = _CLIP * self._error
        clipped = max(-bound, min(bound, error))
        self._error += (abs(error) - self._error) / WEEK
        self._actual = _FORGETS * self._actual + amount
        self._expected = _FORGETS * self._expected + expected
        before = self._level
        self._level = max(0.0, before + self._trend + _LEVEL * clipped)
        if self._hours < 2 * WEEK:
            return
        self._trend = _DAMPING * self._trend + _TREND * clipped
        if before:
            self._season[index] += _SEASON * clipped / before
            self._season[index] = max(0.0, self._season[index])
        if index == WEEK - 1:
            self._normalise()

    def _normalise(self) -> None:
        """The season's mean is 1; the level has the rest."""
        mean = fmean(self._season) or 1.0
        self._season = [each / mean for each in self._season]
        self._level *= mean
        self._trend *= mean

    def path(
        self, index: int, hours: int, spent: float = 0.0, elapsed_hours: float = 0.0
    ) -> list[float]:
        """Amounts that are expected of the next hours.

        Args:
            index: the first hour's place in the week.
            hours: how many.
            spent: what was spent in the first hour already: it says what is
                unusual now; the first hour's whole amount is answered.
            elapsed_hours: how much of the first hour is over, 0 to 1.
        """
        forgets = _FORGETS**elapsed_hours
        first = max(0.0, self._level + self._trend) * self._season[index]
        usual = _USUAL_HOURS * self._level
        expected = forgets * self._expected + elapsed_hours * first + usual
        actual = forgets * self._actual + spent + usual
        unusual = actual / expected - 1 if expected > 0 else 0.0
        level, trend, season = self._level, self._trend, self._season
        amounts = []
        for hour in range(hours):
            trend *= _DAMPING
            level += trend
            amounts.append(max(0.0, level * season[(index + hour) % WEEK] * (1 + unusual)))
            unusual *= _FADES
        if elapsed_hours and amounts:
            prior = _PRIOR_HOURS * amounts[0]
            amounts[0] = (spent + prior) / (elapsed_hours + _PRIOR_HOURS)
        return amounts


def _smoothed(cells: list[float]) -> list[float]:
    """The week made of a day's shape and each day's size: less of chance in it."""
    days = [cells[start : start + 24] for start in range(0, WEEK, 24)]
    shape = [fmean(hours) for hours in zip(*days, strict=True)]
    return [fmean(day) * hour for day in days for hour in shape]


def running_sums(amounts: list[float]) -> list[float]:
    """What is spent after 0, 1, 2 … hours."""
    return [0.0, *accumulate(amounts)]
