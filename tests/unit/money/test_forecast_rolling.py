"""Rolling windows: what leaves them is known, what comes is foreseen."""

from __future__ import annotations

from datetime import UTC
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.money.forecast.calls import one_more_rolling
from reception.money.forecast.forecaster import Forecaster
from reception.money.forecast.model import WEEK, Method
from reception.money.forecast.outlook import HOUR_S, Outlook
from reception.money.forecast.rolling import (
    STEPS,
    RollingBudget,
    course,
    highest,
    moments,
)
from reception.money.windows import SLOT_S, WINDOWS, Rolling, slot_of, span_at
from tests.unit.money.weeks import DOLLAR, MONDAY_S, Weeks

PERIODS = tuple(Rolling(f"rolling-{name}") for name in WINDOWS)
HOUR, DAY, ROLLING_WEEK, MONTH = PERIODS

NOW_S = float(MONDAY_S)
SLOTS = ((MONDAY_S - 3_600, 30), (MONDAY_S - 1_800, 20), (MONDAY_S, 10))
STEADY = Outlook((NOW_S, NOW_S + 7_200), (0.0, 200.0))  # 25 a slot


def hour_of(limit: int, slots: tuple[tuple[int, int], ...] = SLOTS) -> RollingBudget:
    return RollingBudget(HOUR, limit, slots)


# ---------------------------------------------------------------- what is in it


@pytest.mark.parametrize(
    ("after_s", "kept"), [(0, 60), (899, 60), (900, 30), (2_699, 30), (2_700, 10), (3_600, 10)]
)
def test_slots_leave_when_the_whole_of_them_is_over(after_s: int, kept: int) -> None:
    assert hour_of(1).kept(NOW_S + after_s) == kept


def test_the_window_is_told_from_what_counts_now_to_as_long_ahead() -> None:
    window = hour_of(1).window(NOW_S + 60)
    assert (window.name, window.start_s, window.end_s) == (
        "rolling-hour", NOW_S - 3_600, NOW_S + 3_660,
    )  # fmt: skip


def test_the_course_is_what_stays_and_what_comes() -> None:
    at = moments(hour_of(1), NOW_S)
    assert at == [NOW_S + 300 * step for step in range(1, STEPS + 1)]
    bounds = [(STEADY.spent_by(at_s) / 2, 2 * STEADY.spent_by(at_s)) for at_s in at]
    points = course(hour_of(1), STEADY, at, bounds)
    assert [point.at_s for point in points] == at
    assert [point.expected_micros for point in points] == [
        68, 77, 55, 63, 72, 80, 88, 97, 85, 93, 102, 110,
    ]  # fmt: skip
    assert (points[-1].low_micros, points[-1].high_micros) == (60, 210)


# ---------------------------------------------------------------- when its limit is hit


@pytest.mark.parametrize(
    ("limit", "after_s"),
    [
        (60, 0),
        (61, 36),
        (84, 864),
        (85, 1_980),  # it would be hit at the very moment at which a slot leaves
        (100, 2_520),
        (105, 3_420),  # the slot that leaves at 2,700 puts it off
        (109, 3_564),
        (110, None),
        (190, None),
    ],
)
def test_it_is_hit_where_what_stays_and_what_comes_reach_it(
    limit: int, after_s: int | None
) -> None:
    hit_s = hour_of(limit).when(STEADY, NOW_S)
    assert hit_s == (None if after_s is None else pytest.approx(NOW_S + after_s))


def test_a_credit_that_leaves_may_hit_it() -> None:
    slots = ((MONDAY_S - 3_600, -200), (MONDAY_S, 10))
    assert hour_of(20, slots).when(STEADY, NOW_S) == NOW_S + SLOT_S


def test_what_was_written_by_a_clock_ahead_stays() -> None:
    slots = ((MONDAY_S + 7_200, 50),)
    assert hour_of(51, slots).when(STEADY, NOW_S) == pytest.approx(NOW_S + 36)


def test_as_high_as_the_interval_it_is_hit_earlier() -> None:
    at = moments(hour_of(1), NOW_S)
    flat = Outlook((NOW_S, NOW_S + 1_800, NOW_S + 7_200), (0.0, 50.0, 200.0))
    bounds = [(0.0, 2 * flat.spent_by(at_s)) for at_s in at]
    high = highest(flat, at, bounds)
    assert high.times_s == flat.times_s
    assert high.sums == pytest.approx((0.0, 100.0, 300.0))  # it goes on as far above
    assert hour_of(61).when(high, NOW_S) == pytest.approx(NOW_S + 18)
    falls = [(0.0, 90.0), *((0.0, 60.0) for _ in at[1:])]
    assert list(highest(flat, at, falls).sums) == sorted(highest(flat, at, falls).sums)


def test_one_more_call_brings_it_nearer() -> None:
    more = one_more_rolling(NOW_S, hour_of(110), 100, STEADY)
    assert (more.micros, more.window.end_s) == (100, NOW_S + 3_600)
    assert more.hit_at_s == pytest.approx(NOW_S + 1_440)  # 80 are free, at twice the rate
    assert one_more_rolling(NOW_S, hour_of(110), 100, None).hit_at_s is None


# ---------------------------------------------------------------- properties


@given(
    st.sampled_from(PERIODS),
    st.integers(0, 10**9),
    st.floats(0.0, 7 * 86_400.0, allow_nan=False),
)
def test_at_a_constant_rate_what_is_in_it_stays(
    period: Rolling, per_slot: int, after_s: float
) -> None:
    """To a slot: the one in which the window begins counts whole."""
    now_s = MONDAY_S + after_s
    first, this = span_at(period, now_s).start_s, slot_of(now_s)
    begun = round(per_slot * (now_s - this) / SLOT_S)
    slots = (*((slot_s, per_slot) for slot_s in range(first, this, SLOT_S)), (this, begun))
    hours = period.length_s // HOUR_S + 1
    outlook = Outlook((now_s, now_s + hours * HOUR_S), (0.0, 4.0 * per_slot * hours))
    whole = per_slot * period.length_s // SLOT_S
    budget = RollingBudget(period, whole + per_slot + 2, slots)
    at = moments(budget, now_s)
    bounds = [(outlook.spent_by(at_s), outlook.spent_by(at_s)) for at_s in at]
    for point in course(budget, outlook, at, bounds):
        assert whole - 2 <= point.expected_micros <= whole + per_slot + 2
        assert point.low_micros == point.expected_micros == point.high_micros
    assert budget.when(outlook, now_s) is None


AMOUNTS = st.lists(st.integers(0, 10**7), min_size=5, max_size=5)


@given(
    slots=AMOUNTS, hourly=st.lists(st.integers(0, 10**7), min_size=2, max_size=2),
    within=st.integers(0, SLOT_S - 1), limit=st.integers(0, 10**8), low=st.floats(0.0, 1.0),
    high=st.floats(1.0, 3.0),
)  # fmt: skip
def test_nothing_is_negative_and_a_hit_is_the_first(
    slots: list[int], hourly: list[int], within: int, limit: int, low: float, high: float
) -> None:
    now_s = NOW_S + within
    starts = range(MONDAY_S - 3_600, MONDAY_S + 1, SLOT_S)
    budget = RollingBudget(HOUR, limit, tuple(zip(starts, slots, strict=True)))
    times = (now_s, NOW_S + 3_600, NOW_S + 7_200)
    outlook = Outlook(times, tuple(accumulate(map(float, hourly), initial=0.0)))
    at = moments(budget, now_s)
    bounds = [(low * outlook.spent_by(at_s), high * outlook.spent_by(at_s)) for at_s in at]
    for point in course(budget, outlook, at, bounds):
        assert 0 <= point.low_micros <= point.expected_micros <= point.high_micros
    hit_s = budget.when(outlook, now_s)
    earliest_s = budget.when(highest(outlook, at, bounds), now_s)
    if hit_s is None:
        hit_s = now_s + HOUR_S
    else:
        assert budget.kept(hit_s) + outlook.spent_by(hit_s) >= limit - 1
        assert earliest_s is not None
        assert earliest_s <= hit_s + 1e-3
    for at_s in range(int(now_s) + 1, int(hit_s), 60):
        assert budget.kept(at_s) + outlook.spent_by(at_s) < limit + 1


# ---------------------------------------------------------------- the forecast


WEEKS = Weeks(8, 2)
week, history, learnt = WEEKS.dollars, WEEKS.history, WEEKS.learnt


@pytest.fixture(scope="module")
def three_weeks() -> Forecaster:
    return learnt(3 * WEEK)


def at_hour(hour: int) -> float:
    return float(MONDAY_S + hour * HOUR_S)


def budget_at(hour: int, period: Rolling, limit: int) -> RollingBudget:
    start_s = span_at(period, at_hour(hour)).start_s
    slots = tuple(each for each in history(hour) if each[0] >= start_s)
    return RollingBudget(period, limit * DOLLAR, slots)


def test_a_day_is_foreseen_with_its_limit(three_weeks: Forecaster) -> None:
    """Sunday's midnight: 48 dollars are in it, and 96 at that of Monday."""
    hour = 3 * WEEK
    (found,) = three_weeks.rolling(at_hour(hour), 0, [budget_at(hour, DAY, 80)])
    assert (found.method, found.posted_micros) == (Method.HOLT_WINTERS, 48 * DOLLAR)
    assert found.window.end_s == at_hour(hour + 24)
    by_step = [point.expected_micros / DOLLAR for point in found.course]
    assert by_step[:4] == pytest.approx([48] * 4, rel=0.05)
    assert by_step[4] == pytest.approx(54, rel=0.05)  # at 10: one busy hour
    assert by_step[8:] == pytest.approx([96] * 4, rel=0.05)
    last = found.course[-1]
    assert (found.expected_micros, found.low_micros, found.high_micros) == (
        last.expected_micros, last.low_micros, last.high_micros,
    )  # fmt: skip
    assert last.low_micros <= last.expected_micros <= last.high_micros < 125 * DOLLAR
    assert found.hit_at_s == pytest.approx(at_hour(hour) + (9 + 32 / 6) * HOUR_S, abs=1_800)
    assert found.hit_earliest_s is not None
    assert found.hit_at_s is not None
    assert found.hit_earliest_s <= found.hit_at_s


def test_a_limit_that_is_far_is_not_hit_and_one_that_is_spent_is_now(
    three_weeks: Forecaster,
) -> None:
    hour = 3 * WEEK
    far, spent = three_weeks.rolling(
        at_hour(hour), 0, [budget_at(hour, DAY, 1_000), budget_at(hour, HOUR, 2)]
    )
    assert (far.hit_at_s, far.hit_earliest_s) == (None, None)
    assert (spent.hit_at_s, spent.hit_earliest_s) == (at_hour(hour), at_hour(hour))


@pytest.mark.parametrize(
    ("hours", "known"),
    [
        (WEEK - 1, []),
        (11 * 24, [HOUR]),
        (12 * 24, [HOUR, DAY]),
        (28 * 24, [HOUR, DAY, ROLLING_WEEK]),
        (101 * 24, [HOUR, DAY, ROLLING_WEEK, MONTH]),
    ],
)
def test_what_is_not_known_is_said(hours: int, known: list[Rolling]) -> None:
    budgets = [budget_at(hours, period, 10_000) for period in PERIODS]
    found = learnt(hours).rolling(at_hour(hours), 0, budgets)
    for period, each in zip(PERIODS, found, strict=True):
        assert each.posted_micros > 0
        if period in known:
            assert len(each.course) == STEPS
            assert each.expected_micros is not None
        else:
            assert each.method is Method.UNKNOWN
            assert (each.expected_micros, each.hit_at_s, each.course) == (None, None, ())


def test_without_spending_nothing_is_foreseen() -> None:
    forecaster = Forecaster(UTC)
    forecaster.learn([(MONDAY_S, 0)], at_hour(300))
    (found,) = forecaster.rolling(at_hour(300), 0, [RollingBudget(DAY, 1, ())])
    assert (found.low_micros, found.expected_micros, found.high_micros) == (0, 0, 0)
    assert (found.hit_at_s, found.hit_earliest_s) == (None, None)


def test_no_budgets_are_no_fault(three_weeks: Forecaster) -> None:
    assert three_weeks.rolling(NOW_S, 0, []) == ()
