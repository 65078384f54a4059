"""The forecast of spending, back-tested on generated years.

At three moments of every window (a quarter, a half and three quarters of it are
over) its end is forecast from what was known then. Compared: a straight line
through what the window has spent so far, and the same hours of last week.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate

from benchmarks.spending import QUARTERS, WEEK, YEAR, Traffic, quarters
from reception.money.forecast.forecaster import COVERAGE, Forecaster
from reception.money.forecast.outlook import HOUR_S
from reception.money.windows import SLOT_S, WINDOWS, Budget, Window, windows_at

YEARS, SEEDS = 3, range(1, 6)
WARM_UP_HOURS = 12 * WEEK
START_S = datetime(2024, 1, 1, tzinfo=UTC).timestamp()  # a Monday
MOMENTS = (0.25, 0.5, 0.75)


@dataclass(slots=True)
class Score:
    """Sums of one window: amounts in micro-dollars."""

    actual: int = 0
    cases: int = 0
    unknown: int = 0
    inside: int = 0
    width: int = 0
    errors: dict[str, float] = field(default_factory=dict)

    def add(self, other: Score) -> None:
        self.actual += other.actual
        self.cases += other.cases
        self.unknown += other.unknown
        self.inside += other.inside
        self.width += other.width
        for name, error in other.errors.items():
            self.errors[name] = self.errors.get(name, 0.0) + error

    @property
    def coverage(self) -> float:
        return self.inside / self.cases

    def error(self, name: str) -> float:
        """The sum of absolute errors as a share of what was spent."""
        return self.errors[name] / self.actual


FORECAST, LINE, LAST_WEEK = "forecast", "straight line", "last week"


def backtest(
    by_quarter: list[int],
    warm_up_hours: int,
    names: tuple[str, ...] = WINDOWS,
    every_hours: int = 7,
) -> dict[str, Score]:
    """Scores by window, of all whole windows after `warm_up_hours`; of the hours
    only each of so many, which says the same."""
    spent = [0, *accumulate(by_quarter)]
    scores = {name: Score() for name in names}
    forecaster, learnt = Forecaster(UTC), 0
    for at, window in _moments(len(by_quarter), warm_up_hours, names, every_hours):
        hour = at // QUARTERS
        now_s = START_S + at * SLOT_S
        forecaster.learn(((START_S + q * SLOT_S, by_quarter[q]) for q in range(learnt, at)), now_s)
        learnt = at
        first, last = (_quarter(each) for each in (window.start_s, window.end_s))
        posted, actual = spent[at] - spent[first], spent[last] - spent[first]
        this_hour = spent[at] - spent[hour * QUARTERS]
        budget = Budget(window, 0, posted)
        (found,) = forecaster.forecast(now_s, this_hour, [budget])
        score = scores[window.name]
        if found.expected_micros is None:
            score.unknown += 1
            continue
        assert found.low_micros is not None
        assert found.high_micros is not None
        back = WEEK * QUARTERS * -(-(last - at) // (WEEK * QUARTERS))
        guesses = {
            FORECAST: float(found.expected_micros),
            LINE: posted * (last - first) / (at - first),
            LAST_WEEK: float(posted + spent[last - back] - spent[at - back]),
        }
        score.add(
            Score(
                actual, 1, 0,
                found.low_micros <= actual <= found.high_micros,
                found.high_micros - found.low_micros,
                {name: abs(guess - actual) for name, guess in guesses.items()},
            )
        )  # fmt: skip
    return scores


def _quarter(at_s: float) -> int:
    return round((at_s - START_S) / SLOT_S)


def _moments(
    quarters: int, warm_up_hours: int, names: tuple[str, ...], every_hours: int
) -> Iterator[tuple[int, Window]]:
    """(number of the quarter, window), in the order of time."""
    found = []
    for name in names:
        at_s = START_S + warm_up_hours * HOUR_S
        while True:
            window = next(w for w in windows_at(at_s, UTC) if w.name == name)
            last = _quarter(window.end_s)
            if last > quarters:
                break
            if window.start_s >= START_S + warm_up_hours * HOUR_S:
                first = _quarter(window.start_s)
                found += [(first + int((last - first) * m), window) for m in MOMENTS]
            at_s = window.end_s + ((every_hours - 1) * HOUR_S if name == "hour" else 0)
    return iter(sorted(found, key=lambda each: each[0]))


def run() -> None:
    totals = {name: Score() for name in WINDOWS}
    for seed in SEEDS:
        by_quarter = quarters(YEARS * YEAR, seed, Traffic())
        for name, score in backtest(by_quarter, WARM_UP_HOURS).items():
            totals[name].add(score)
    print(f"{len(SEEDS)} x {YEARS} years; claimed: {COVERAGE:.0%} inside the interval")
    print("window  cases unknown  inside  width  forecast  straight line  last week")
    for name, score in totals.items():
        print(
            f"{name:6} {score.cases:6} {score.unknown:7}  {score.coverage:6.1%} "
            f"{score.width / score.actual:6.1%}  {score.error(FORECAST):8.2%} "
            f"{score.error(LINE):14.2%} {score.error(LAST_WEEK):10.2%}"
        )
    by_quarter = quarters(YEAR, 1)
    began_s = time.process_time()
    history = [(START_S + q * SLOT_S, each) for q, each in enumerate(by_quarter)]
    Forecaster(UTC).learn(history, START_S + YEAR * HOUR_S)
    print(f"a year is learnt in {time.process_time() - began_s:.2f} s")
