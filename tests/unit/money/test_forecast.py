"""Spending to the end of each window."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.money.forecast.calibration import KEPT, MIN_ERRORS, Calibration
from reception.money.forecast.calls import HALF_LIFE_S, CallRate, one_more
from reception.money.forecast.forecaster import MAX_GAP_SLOTS, Forecaster
from reception.money.forecast.model import WEEK, Method, SeasonalModel
from reception.money.forecast.outlook import HOUR_S, Outlook
from reception.money.windows import SLOT_S, Budget, Window, windows_at
from tests.unit.money.weeks import DOLLAR, MONDAY_S, Weeks

WEEKS = Weeks(10, 1)
week, history, learnt = WEEKS.dollars, WEEKS.history, WEEKS.learnt


@pytest.fixture(scope="module")
def three_weeks() -> Forecaster:
    return learnt(3 * WEEK)


def at(hour: float) -> float:
    return MONDAY_S + hour * HOUR_S


def day_of(hour: float, limit: int = 200, posted: int = 0) -> Budget:
    """That day's budget in dollars."""
    window = next(w for w in windows_at(at(hour), UTC) if w.name == "day")
    return Budget(window, limit * DOLLAR, posted * DOLLAR)


def dollars(micros: int | None) -> float:
    assert micros is not None
    return micros / DOLLAR


# ---------------------------------------------------------------- the model


@pytest.mark.parametrize(
    ("hours", "method"),
    [
        (WEEK - 1, Method.UNKNOWN),
        (WEEK, Method.EWMA),
        (2 * WEEK - 1, Method.EWMA),
        (2 * WEEK, Method.HOLT_WINTERS),
    ],
)
def test_the_method_follows_from_how_much_is_known(hours: int, method: Method) -> None:
    assert learnt(hours).method is method


@pytest.mark.parametrize("weeks", [1, 2, 4])
def test_a_week_that_repeats_is_foreseen(weeks: int) -> None:
    model = SeasonalModel()
    for hour in range(weeks * WEEK):
        model.observe(hour % WEEK, week(hour))
    # the first week's indices are mixed with their smoothed form
    allowed = {1: 2.0, 2: 1.5, 4: 1.0}[weeks]
    for hour, amount in enumerate(model.path(0, WEEK)):
        assert amount == pytest.approx(week(hour), abs=allowed)


def test_a_series_may_begin_anywhere_in_the_week() -> None:
    model = SeasonalModel()
    for hour in range(50, 50 + 2 * WEEK):
        model.observe(hour % WEEK, week(hour))
    busy, quiet = model.path(10, 1)[0], model.path(3, 1)[0]
    assert busy > 5 * quiet > 0


def test_growth_is_followed() -> None:
    model = SeasonalModel()
    for hour in range(8 * WEEK):
        model.observe(hour % WEEK, 10.0 * 1.02 ** (hour / WEEK))
    next_week = sum(model.path(0, WEEK)) / WEEK
    assert next_week == pytest.approx(10.0 * 1.02**8.5, rel=0.05)
    assert next_week > 10.0 * 1.02**6  # a mean of the last four weeks


def test_a_burst_counts_for_the_next_hours_and_hardly_for_next_week() -> None:
    model = SeasonalModel()
    for hour in range(4 * WEEK):
        model.observe(hour % WEEK, 10.0)
    for hour in range(4):
        model.observe(hour, 40.0)
    path = model.path(4, WEEK)
    assert path[0] > 20.0
    assert path[-1] < 11.5


def test_what_an_hour_has_shown_counts_for_it() -> None:
    model = SeasonalModel()
    for hour in range(4 * WEEK):
        model.observe(hour % WEEK, 10.0)
    half_over = [model.path(0, 1, spent, 0.5)[0] for spent in (0.0, 5.0, 20.0)]
    assert half_over[0] < 5.0
    assert half_over[1] == pytest.approx(10.0, rel=0.01)
    assert half_over[2] > 30.0
    assert model.path(0, 0, 1.0, 0.5) == []


def test_nothing_spent_is_no_fault_and_nothing_is_expected() -> None:
    model = SeasonalModel()
    for hour in range(3 * WEEK):
        model.observe(hour % WEEK, 0.0)
    assert model.path(0, 5) == [0.0] * 5
    for hour in range(WEEK):
        model.observe(hour, 1.0)
    assert model.path(0, 1)[0] > 0


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=40), st.integers(1, 2))
def test_no_amount_is_ever_negative_or_absurd(amounts: list[int], weeks: int) -> None:
    model = SeasonalModel()
    for hour in range(weeks * WEEK + 5):
        model.observe(hour % WEEK, amounts[hour % len(amounts)])
    bound = 60 * max(amounts)
    assert all(0 <= each <= bound for each in model.path(5, WEEK, amounts[0], 0.3))


# ---------------------------------------------------------------- intervals


def calibrated(errors: int, hours: float = 1) -> Calibration:
    """Forecasts of 100 in the mean hour, off by 1, 2, 3 … at most 100."""
    calibration = Calibration(0.9)
    for number in range(errors):
        calibration.expect(hours, number + 1, 0.0, 100.0, 0.0)
        calibration.observe(number + 1, 100.0 + number % 100)
    return calibration


def test_nothing_is_claimed_of_few_errors() -> None:
    assert calibrated(MIN_ERRORS - 1).bounds(100.0, 1, 0.0) is None


def test_few_errors_are_spanned() -> None:
    few = Calibration(0.9)
    for number in range(MIN_ERRORS):
        for hours in (0.5, 0.75, 1):
            few.expect(hours, number + 1, 0.0, 100.0, 0.0)
        few.observe(number + 1, 100.0 + number)
    for hours in (0.75, 0.9, 1):
        assert few.bounds(100.0, hours, 0.0) == pytest.approx((100.0, 118.0))


def test_the_interval_scales_with_the_amount_and_never_goes_below_nothing() -> None:
    calibration = Calibration(0.9)
    for number in range(MIN_ERRORS):
        calibration.expect(0.25, number + 1, 0.0, 100.0, 0.0)
        calibration.observe(number + 1, 0.0 if number % 2 else 300.0)
    assert calibration.bounds(10.0, 0.25, 0.0) == pytest.approx((0.0, 30.0))
    quarter = calibration.bounds(10.0, 0.0625, 0.0)
    assert quarter == pytest.approx((0.0, 50.0))  # errors are twice as large, as shares


def test_less_than_an_hour_that_is_no_rest_of_one_has_the_errors_of_an_hour() -> None:
    calibration = Calibration(0.9)
    for number in range(MIN_ERRORS):
        for hours, spent in ((0.25, 0.0), (0.75, 0.0), (1, number - 9.0)):
            calibration.expect(hours, number + 1, spent, 100.0, 0.0)
        calibration.observe(number + 1, 100.0)
    assert calibration.bounds(10.0, 0.25, 0.0) == (10.0, 10.0)
    whole = calibration.bounds(10.0, 1, 0.0)
    assert whole == pytest.approx((9.1, 10.9))
    assert calibration.bounds(10.0, 0.25, 0.0, least_hours=1) == whole
    minutes = calibration.bounds(10.0, 0.0625, 0.0, least_hours=1)
    assert minutes == pytest.approx((8.2, 11.8))


def test_a_year_of_errors_is_kept() -> None:
    calibration = calibrated(KEPT + 50, hours=0.25)
    found = calibration.bounds(100.0, 0.25, 0.0)
    assert found == pytest.approx((104.0, 195.0), abs=1.01)


def test_forecasts_that_overlap_count_less() -> None:
    for errors, known in ((200, False), (300, True)):
        calibration = Calibration(0.9)
        for number in range(errors):
            for hours in (504, 744):
                calibration.expect(hours, number + 1, 0.0, 100.0, 0.0)
            calibration.observe(number + 1, 100.0)
        assert (calibration.bounds(1.0, 744, 0.0) is not None) is known


# ---------------------------------------------------------------- windows


def test_a_day_is_foreseen_with_its_limit(three_weeks: Forecaster) -> None:
    hour = 3 * WEEK + 9
    three_weeks.learn(history(hour, 3 * WEEK), at(hour))
    (found,) = three_weeks.forecast(at(hour), 0, [day_of(hour, limit=50, posted=9)])
    assert found.method is Method.HOLT_WINTERS
    assert dollars(found.expected_micros) == pytest.approx(96, rel=0.05)
    assert dollars(found.low_micros) <= dollars(found.expected_micros)
    assert dollars(found.expected_micros) <= dollars(found.high_micros) < 125
    assert found.hit_at_s is not None
    assert found.hit_at_s == pytest.approx(at(hour + 4.1), abs=900)
    assert found.hit_earliest_s is not None
    assert found.hit_earliest_s <= found.hit_at_s


def test_a_limit_that_is_far_is_not_hit(three_weeks: Forecaster) -> None:
    (found,) = three_weeks.forecast(at(3 * WEEK + 9), 0, [day_of(3 * WEEK, limit=1_000, posted=9)])
    assert (found.hit_at_s, found.hit_earliest_s) == (None, None)


def test_a_limit_that_is_spent_is_hit_now(three_weeks: Forecaster) -> None:
    now_s = at(3 * WEEK + 9)
    (found,) = three_weeks.forecast(now_s, 0, [day_of(3 * WEEK, limit=5, posted=9)])
    assert (found.hit_at_s, found.hit_earliest_s) == (now_s, now_s)


@pytest.mark.parametrize(
    ("hours", "known"),
    [
        (WEEK - 1, []),
        (11 * 24, ["hour"]),
        (12 * 24, ["hour", "day"]),
        (21 * 24 + 24, ["hour", "day"]),
        (28 * 24 + 24, ["hour", "day", "week", "month"]),
    ],
)
def test_what_is_not_known_is_said(hours: int, known: list[str]) -> None:
    """The month that began on Sunday, March 1st, ends soon at the last."""
    now_s = at(hours)
    budgets = [Budget(window, 0, 0) for window in windows_at(now_s, UTC)]
    found = learnt(hours).forecast(now_s, 0, budgets)
    assert [each.window.name for each in found if each.expected_micros is not None] == known
    for each in found:
        assert (each.method is Method.UNKNOWN) is (each.window.name not in known)


def test_no_budgets_are_no_fault() -> None:
    assert Forecaster(UTC).forecast(MONDAY_S, 0, []) == ()


def test_history_comes_in_any_portions_and_twice() -> None:
    whole, parts = learnt(280), Forecaster(UTC)
    for hours in (1, 30, 200, 200, 280):
        parts.learn(history(hours, max(0, hours - 260)), at(hours))
    parts.learn(history(3), 0.0)
    ask = at(280), 0, [day_of(280)]
    assert parts.forecast(*ask) == whole.forecast(*ask)


def test_slots_that_are_left_out_had_no_spending() -> None:
    idle = learnt(280)
    idle.learn([], at(286))
    said = Forecaster(UTC)
    silent = [(at(280) + slot * SLOT_S, 0) for slot in range(24)]
    said.learn([*history(280), *silent], at(286))
    ask = at(286), 0, [day_of(280)]
    assert idle.forecast(*ask) == said.forecast(*ask)
    assert idle.outlook(*ask[:2], 4) == said.outlook(*ask[:2], 4)


def test_after_a_long_gap_it_begins_anew() -> None:
    forecaster = learnt(WEEK)
    later_s = at(WEEK) + (MAX_GAP_SLOTS + 1) * SLOT_S
    forecaster.learn([(later_s, DOLLAR)], later_s + SLOT_S)
    assert forecaster.method is Method.UNKNOWN


def test_without_spending_the_interval_is_nothing() -> None:
    forecaster = Forecaster(UTC)
    forecaster.learn([(MONDAY_S, 0)], at(300))
    (found,) = forecaster.forecast(at(300), 0, [day_of(300, limit=1, posted=0)])
    assert (found.low_micros, found.expected_micros, found.high_micros) == (0, 0, 0)
    assert (found.hit_at_s, found.hit_earliest_s) == (None, None)


def test_the_week_is_the_zone_s() -> None:
    """Busy from 9 to 17 in Kathmandu, 5:45 ahead of UTC."""
    zone = ZoneInfo("Asia/Kathmandu")
    monday_s = datetime(2026, 3, 2, tzinfo=zone).timestamp()
    shift_s = monday_s - MONDAY_S
    forecaster = Forecaster(zone)
    now_s = monday_s + WEEK * HOUR_S
    forecaster.learn([(s + shift_s, m) for s, m in history(WEEK)], now_s)
    outlook = forecaster.outlook(now_s, 0, 12)
    assert outlook is not None
    sums = [outlook.spent_by(now_s + hour * HOUR_S) for hour in range(13)]
    hours = [after - before for before, after in pairwise(sums)]
    assert hours[10] > 5 * hours[4] > 0


# ---------------------------------------------------------------- the outlook, one more call

OUTLOOK = Outlook((0.0, 1_800.0, 5_400.0), (0.0, 10.0, 30.0))


def test_an_outlook_is_a_line() -> None:
    assert [OUTLOOK.spent_by(at_s) for at_s in (-1.0, 0.0, 900.0, 3_600.0, 9_000.0)] == [
        0.0, 0.0, 5.0, 20.0, 30.0,
    ]  # fmt: skip
    assert OUTLOOK.when(0.0, 5_400.0) == 0.0
    assert OUTLOOK.when(20.0, 5_400.0) == 3_600.0
    assert OUTLOOK.when(20.0, 3_600.0) is None
    assert OUTLOOK.when(30.1, 9_000.0) is None
    assert OUTLOOK.plus(20.0).sums == (0.0, 20.0, 60.0)
    assert OUTLOOK.times(2.0).sums == (0.0, 20.0, 60.0)


def test_one_more_call_brings_a_limit_nearer() -> None:
    budget = Budget(Window("hour", -1_800.0, 3_600.0), limit_micros=45, posted_micros=15)
    outlook = Outlook((0.0, 3_600.0), (0.0, 20.0))
    assert outlook.when(30, 3_600.0) is None
    more = one_more(0.0, budget, 20, outlook)
    assert (more.micros, more.hit_at_s) == (20, 2_700.0)
    assert one_more(0.0, budget, 20, None).hit_at_s is None
    assert one_more(9_999.0, budget, 20, None).micros == 0


def test_the_price_of_talk_is_of_late() -> None:
    rate = CallRate()
    rate.observe(0.0, 1_800.0, 1_000)
    assert rate.micros_per_hour is None
    rate.observe(0.0, 1_800.0, 3_000)
    assert rate.micros_per_hour == 4_000
    rate.observe(HALF_LIFE_S, 1_800.0, 1_000)
    assert rate.micros_per_hour == 3_000  # (4,000 / 2 + 1,000) for half an hour and half of one
    rate.observe(0.0, 3_600.0, 2_000)  # the clock stepped back
    assert rate.micros_per_hour == 2_500
    rate.observe(9 * HALF_LIFE_S, 0.0, 0)
    assert rate.micros_per_hour is None
