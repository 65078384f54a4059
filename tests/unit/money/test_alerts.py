"""Alerts when money nears a limit."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.money.alerts import LEVELS_PERCENT, Alert, LimitAlerts, Measure, Reading
from reception.money.windows import Window

HOUR = Window("hour", 3_600.0, 7_200.0)
NEXT = Window("hour", 7_200.0, 10_800.0)
DOLLAR = 1_000_000
LIMIT = 100 * DOLLAR


def reading(
    posted: float,
    held: float = 0.0,
    *,
    limit: int = LIMIT,
    window: Window = HOUR,
    scope: str = "all",
) -> Reading:
    """Dollars, so percent of the usual limit."""
    return Reading(scope, window, limit, int(posted * DOLLAR), int(held * DOLLAR))


def seen(alerts: tuple[Alert, ...]) -> list[tuple[str, int, int]]:
    return [(alert.measure.value, alert.from_percent, alert.percent) for alert in alerts]


def both(from_percent: int, percent: int) -> list[tuple[str, int, int]]:
    """What is seen when nothing is held: spent is committed."""
    return [("posted", from_percent, percent), ("committed", from_percent, percent)]


@pytest.fixture
def alerts() -> LimitAlerts:
    return LimitAlerts(cooldown_s=300.0)


def test_each_level_is_told_once_when_it_is_reached(alerts: LimitAlerts) -> None:
    told = [
        (percent, alert.percent)
        for percent in range(101)
        for alert in alerts.observe(4_000.0 + percent, [reading(0, percent)])
    ]
    assert told == [(level, level) for level in LEVELS_PERCENT]


def test_what_is_held_warns_before_it_is_spent(alerts: LimitAlerts) -> None:
    assert seen(alerts.observe(4_000.0, [reading(60, 12)])) == [("committed", 0, 70)]
    assert seen(alerts.observe(4_010.0, [reading(70, 2)])) == [("posted", 0, 70)]
    assert seen(alerts.observe(4_020.0, [reading(71, 2)])) == []


def test_several_levels_at_once_are_one_alert_of_the_highest(alerts: LimitAlerts) -> None:
    assert seen(alerts.observe(4_000.0, [reading(96)])) == both(0, 95)
    assert seen(alerts.observe(4_001.0, [reading(97)])) == []


def test_spending_past_one_level_and_holds_past_another_are_two(alerts: LimitAlerts) -> None:
    told = [("posted", 0, 70), ("committed", 0, 95)]
    assert seen(alerts.observe(4_000.0, [reading(75, 20)])) == told


def test_it_falls_only_well_below_a_level(alerts: LimitAlerts) -> None:
    alerts.observe(4_000.0, [reading(0, 91)])
    assert seen(alerts.observe(4_001.0, [reading(0, 85)])) == []
    assert seen(alerts.observe(4_002.0, [reading(0, 84.9)])) == [("committed", 90, 70)]
    assert seen(alerts.observe(4_003.0, [reading(0, 10)])) == [("committed", 70, 0)]
    assert seen(alerts.observe(4_004.0, [reading(0, 10)])) == []


def test_what_was_told_waits_for_the_cooldown_and_is_not_lost(alerts: LimitAlerts) -> None:
    alerts.observe(4_000.0, [reading(0, 91)])
    alerts.observe(4_010.0, [reading(0, 10)])
    assert seen(alerts.observe(4_020.0, [reading(0, 92)])) == []  # 70 was told with 90
    assert seen(alerts.observe(4_299.0, [reading(0, 92)])) == []
    assert seen(alerts.observe(4_300.0, [reading(0, 92)])) == [("committed", 0, 90)]


def test_a_higher_level_does_not_wait(alerts: LimitAlerts) -> None:
    alerts.observe(4_000.0, [reading(0, 91)])
    alerts.observe(4_010.0, [reading(0, 10)])
    assert seen(alerts.observe(4_020.0, [reading(0, 96)])) == [("committed", 0, 95)]


def test_a_new_window_tells_anew_and_clears_the_old_one(alerts: LimitAlerts) -> None:
    alerts.observe(7_190.0, [reading(96)])
    over = alerts.observe(7_200.0, [reading(72, window=NEXT)])
    assert seen(over) == both(95, 0) + both(0, 70)
    assert [alert.window for alert in over] == [HOUR, HOUR, NEXT, NEXT]


def test_readings_of_a_window_that_is_over_tell_nothing(alerts: LimitAlerts) -> None:
    assert alerts.observe(7_200.0, [reading(99)]) == ()


def test_a_raised_limit_clears_and_may_be_neared_again(alerts: LimitAlerts) -> None:
    alerts.observe(4_000.0, [reading(96)])
    assert seen(alerts.observe(4_001.0, [reading(96, limit=2 * LIMIT)])) == both(95, 0)
    near = reading(190, limit=2 * LIMIT)
    assert seen(alerts.observe(4_002.0, [near])) == []
    assert seen(alerts.observe(4_300.0, [near])) == both(0, 95)


def test_a_lowered_limit_alerts_at_once(alerts: LimitAlerts) -> None:
    assert alerts.observe(4_000.0, [reading(50)]) == ()
    assert seen(alerts.observe(4_001.0, [reading(50, limit=LIMIT // 2)])) == both(0, 95)


def test_a_limit_of_nothing_alerts_with_the_first_money(alerts: LimitAlerts) -> None:
    assert alerts.observe(4_000.0, [reading(0, limit=0)]) == ()
    assert seen(alerts.observe(4_001.0, [reading(0, 1, limit=0)])) == [("committed", 0, 95)]
    (cleared,) = alerts.observe(4_002.0, [reading(0, limit=0)])
    assert cleared.text == "all's hour: $0.00 of $0.00 spent or held, below 95 % again"


def test_limits_do_not_mix(alerts: LimitAlerts) -> None:
    day = Window("day", 0.0, 86_400.0)
    first = [reading(75), reading(75, scope="tenant"), reading(75, window=day)]
    assert len(alerts.observe(4_000.0, first)) == 6
    then = alerts.observe(4_001.0, [reading(75), reading(91, scope="tenant")])
    assert {alert.scope for alert in then} == {"tenant"}


def test_a_clock_that_steps_back_over_a_window_does_not_tell_again(alerts: LimitAlerts) -> None:
    alerts.observe(7_195.0, [reading(96)])
    assert len(alerts.observe(7_201.0, [])) == 2
    assert alerts.observe(7_199.0, [reading(97)]) == ()


def test_what_is_long_over_is_forgotten(alerts: LimitAlerts) -> None:
    alerts.observe(7_195.0, [reading(96)])
    alerts.observe(7_499.0, [])
    assert len(alerts.snapshot()) == 2
    alerts.observe(7_500.0, [])
    assert alerts.snapshot() == []


def test_a_clock_that_was_far_ahead_delays_by_one_cooldown(alerts: LimitAlerts) -> None:
    month = Window("month", 0.0, 2_592_000.0)
    alerts.observe(1_000_000.0, [reading(0, 91, window=month)])
    alerts.observe(1_000_001.0, [reading(0, 0, window=month)])
    assert alerts.observe(4_000.0, [reading(0, 91, window=month)]) == ()
    assert seen(alerts.observe(4_300.0, [reading(0, 91, window=month)])) == [("committed", 0, 90)]


def test_a_successor_does_not_tell_again(alerts: LimitAlerts) -> None:
    alerts.observe(4_000.0, [reading(75, 20)])
    successor = LimitAlerts(cooldown_s=300.0)
    successor.restore(json.loads(json.dumps(alerts.snapshot())))
    assert successor.observe(4_001.0, [reading(75, 20)]) == ()
    assert seen(successor.observe(4_002.0, [reading(91, 5)])) == [("posted", 70, 90)]


@pytest.mark.parametrize(
    "row",
    [
        None,
        ["all", "hour", 0.0, "posted", 1.0, 70],
        ["all", "hour", 0.0, "posted", 1.0, 71, None, None, None],
        ["all", "hour", 0.0, "wished", 1.0, 70, None, None, None],
        ["all", "hour", 0.0, "posted", "soon", 70, None, None, None],
    ],
)
def test_a_strange_state_is_refused_and_changes_nothing(alerts: LimitAlerts, row: object) -> None:
    alerts.observe(4_000.0, [reading(75)])
    before = alerts.snapshot()
    with pytest.raises(InvalidRequest, match="alert state"):
        alerts.restore([*before, row])
    assert alerts.snapshot() == before


def test_the_text_says_whose_limit_and_how_much(alerts: LimitAlerts) -> None:
    told = [
        *alerts.observe(4_000.0, [reading(71, 25)]),
        *alerts.observe(4_001.0, [reading(71, 1)]),
        *alerts.observe(7_200.0, []),
    ]
    assert [alert.text for alert in told] == [
        "all's hour: $71.00 of $100.00 spent, 70 % reached",
        "all's hour: $96.00 of $100.00 spent or held, 95 % reached",
        "all's hour: $72.00 of $100.00 spent or held, below 95 % again",
        "all's hour is over: alert at 70 % cleared",
        "all's hour is over: alert at 70 % cleared",
    ]


steps = st.lists(
    st.tuples(st.integers(-60, 400), st.integers(0, 110), st.integers(0, 40)), max_size=30
)


@given(steps)
def test_never_twice_within_a_cooldown_and_never_silent(
    moves: list[tuple[int, int, int]],
) -> None:
    """However money and clock move: alerts of one limit link up (each begins at
    the level where the last ended), rises of a level are a cooldown apart unless
    the clock stepped back, what is in force was reached, and the state is small."""
    alerts = LimitAlerts(cooldown_s=300.0)
    now_s, chains = 3_600.0, dict[tuple[float, Measure], list[Alert]]()
    for step_s, posted, held in moves:
        now_s = max(0.0, now_s + step_s)
        start_s = now_s // 3_600 * 3_600
        window = Window("hour", start_s, start_s + 3_600)
        for alert in alerts.observe(now_s, [reading(posted, held, window=window)]):
            chains.setdefault((alert.window.start_s, alert.measure), []).append(alert)
            if alert.raised:
                assert alert.micros * 100 >= alert.percent * alert.limit_micros
        assert len(alerts.snapshot()) <= 4
    steady = all(step_s >= 0 for step_s, _, _ in moves)
    for chain in chains.values():
        assert [each.from_percent for each in chain] == [0, *(each.percent for each in chain[:-1])]
        for level in LEVELS_PERCENT:
            raised = [each.at_s for each in chain if each.raised and each.percent == level]
            assert not steady or all(after - before >= 300 for before, after in pairwise(raised))


def test_the_scopes_of_which_something_was_told(alerts: LimitAlerts) -> None:
    alerts.observe(4_000.0, [reading(10, scope="tenant:a"), reading(70, scope="tenant:b")])
    assert alerts.scopes() == {"tenant:b"}
