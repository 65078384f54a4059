"""The forecast keeps its word on generated years (`python -m benchmarks forecast`)."""

from __future__ import annotations

import pytest

from benchmarks.forecast import FORECAST, LAST_WEEK, LINE, Score, backtest
from benchmarks.spending import WEEK, YEAR, Traffic, quarters
from reception.money.forecast.forecaster import COVERAGE
from reception.money.windows import WINDOWS

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


def test_without_noise_it_is_nearly_right() -> None:
    """The test can tell a good forecast from a bad one."""
    calm = Traffic(
        growth_a_year=0.0, yearly_wave=0.0, day_noise=0.0, hour_noise=0.0, holidays_a_year=0,
        bursts_a_month=0.0,
    )  # fmt: skip
    found = backtest(quarters(20 * WEEK, 1, calm), 12 * WEEK, ("day", "week"))
    assert found["day"].error(FORECAST) < 0.01
    assert found["day"].error(LINE) > 0.2
