"""The forecast keeps its word on generated years (`python -m benchmarks forecast`)."""

from __future__ import annotations

from datetime import UTC
from itertools import accumulate

import pytest

from benchmarks.forecast import FORECAST, LAST_WEEK, LINE, START_S, Score, backtest
from benchmarks.spending import QUARTERS, WEEK, YEAR, Traffic, quarters
from reception.money.forecast.forecaster import COVERAGE, Forecaster
from reception.money.forecast.rolling import STEPS, RollingBudget
from reception.money.windows import LONGEST_S, SLOT_S, WINDOWS, Rolling

pytestmark = pytest.mark.simulation

BUSY = Traffic()
NOISY = Traffic(hour_noise=0.5, day_noise=0.2)


@pytest.fixture(scope="module", params=[BUSY, NOISY], ids=["usual", "noisy"])
def scores(request: pytest.FixtureRequest) -> dict[str, Score]:
    totals = {name: Score() for name in WINDOWS}
    for seed in (101, 102):
        by_quarter = quarters(2 * YEAR, seed, request.param)
        for name, score in backtest(by_quarter, 12 * WEEK, every_hours=19).items():
            totals[name].add(score)
    return totals


@pytest.mark.parametrize("window", WINDOWS)
def test_the_interval_holds_what_it_claims(scores: dict[str, Score], window: str) -> None:
    """Within what chance allows: a month's cases are few, and err together."""
    allowed = {"hour": 0.03, "day": 0.05, "week": 0.06, "month": 0.12}[window]
    assert abs(scores[window].coverage - COVERAGE) <= allowed


@pytest.mark.parametrize("window", WINDOWS)
def test_the_error_is_below_a_straight_line_s(scores: dict[str, Score], window: str) -> None:
    score = scores[window]
    assert score.error(FORECAST) < score.error(LINE)
    assert score.cases > 30
    if window != "month":  # of much noise, four weeks ago know as much
        assert score.error(FORECAST) < score.error(LAST_WEEK)


@pytest.fixture(scope="module")
def inside() -> dict[tuple[str, int], float]:
    """Of rolling windows, the share of cases in their intervals, by the steps ahead."""
    by_quarter = quarters(2 * YEAR, 103, BUSY)
    slots = [(int(START_S) + q * SLOT_S, micros) for q, micros in enumerate(by_quarter)]
    spent = [0, *accumulate(by_quarter)]
    periods = [Rolling(f"rolling-{name}") for name in WINDOWS]
    forecaster, learnt = Forecaster(UTC), 0
    hits: dict[tuple[str, int], list[bool]] = {}
    for at in range(14 * WEEK * QUARTERS, len(slots) - LONGEST_S // SLOT_S, 37 * QUARTERS + 1):
        now_s = float(slots[at][0])
        forecaster.learn([(float(s), micros) for s, micros in slots[learnt:at]], now_s)
        learnt = at
        lengths = [period.length_s // SLOT_S for period in periods]
        budgets = [
            RollingBudget(period, 0, tuple(slots[at - length : at]))
            for period, length in zip(periods, lengths, strict=True)
        ]
        this_hour = spent[at] - spent[at // QUARTERS * QUARTERS]
        found = forecaster.rolling(now_s, this_hour, budgets)
        for name, length, each in zip(WINDOWS, lengths, found, strict=True):
            for step in (STEPS // 2, STEPS) if each.course else ():
                until = at + length * step // STEPS
                actual = spent[until] - spent[until - length]
                point = each.course[step - 1]
                within = point.low_micros <= actual <= point.high_micros
                hits.setdefault((name, step), []).append(within)
    assert min(map(len, hits.values())) > 300
    return {key: sum(of) / len(of) for key, of in hits.items()}


@pytest.mark.parametrize("window", WINDOWS)
def test_the_interval_of_a_rolling_window_holds_what_it_claims(
    inside: dict[tuple[str, int], float], window: str
) -> None:
    """And half of its length ahead not less; half an hour is given the errors of a whole
    one, which are rather more."""
    allowed = {"hour": 0.06, "day": 0.05, "week": 0.06, "month": 0.12}[window]
    assert abs(inside[window, STEPS] - COVERAGE) <= allowed
    assert inside[window, STEPS // 2] >= COVERAGE - allowed


def test_without_noise_it_is_nearly_right() -> None:
    """The test can tell a good forecast from a bad one."""
    calm = Traffic(
        growth_a_year=0.0, yearly_wave=0.0, day_noise=0.0, hour_noise=0.0, holidays_a_year=0,
        bursts_a_month=0.0,
    )  # fmt: skip
    found = backtest(quarters(20 * WEEK, 1, calm), 12 * WEEK, ("day", "week"))
    assert found["day"].error(FORECAST) < 0.01
    assert found["day"].error(LINE) > 0.2
