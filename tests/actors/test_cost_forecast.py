"""The forecast of the cost singleton, from the database's history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from actors.cost import CostController
from actors.settings import Settings
from actors.storage import schema
from reception.errors import InvalidRequest
from reception.money.forecast.forecaster import Forecaster
from reception.money.forecast.model import Method
from reception.money.windows import Budget, windows_at
from tests.fakes.clock import Clock

HOUR_S, DAY_S, WEEK_S = 3_600, 86_400, 604_800
MONDAY_S = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
NOW_S = MONDAY_S + 16 * WEEK_S + 2 * DAY_S + 10 * HOUR_S + 900.0
LIMITS = {"hour": 50_000_000, "day": 500_000_000, "week": 2_500_000_000, "month": 6_000_000_000}


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW_S)


@pytest.fixture
def make(
    database_url: str, settings_for: Callable[..., Settings], clock: Clock
) -> Iterator[Callable[[], CostController]]:
    made: list[CostController] = []

    def build() -> CostController:
        settings = settings_for(database_url, cost_limit_monthly=Decimal(6_000))
        made.append(CostController(settings, clock))
        return made[-1]

    yield build
    for controller in made:
        controller.close()


def history(until_s: float) -> list[tuple[int, int]]:
    """Four dollars a quarter of an hour by day, one by night, a little uneven."""
    return [
        (slot_s, (4 if 8 <= slot_s % DAY_S // HOUR_S < 18 else 1) * 1_000_000 + slot_s % 7_001)
        for slot_s in range(MONDAY_S, int(until_s), 900)
    ]


def spend(cost: CostController, scope: str, slots: list[tuple[int, int]]) -> None:
    with cost._store.transaction() as connection:
        connection.execute(
            sa.insert(schema.spending),
            [{"scope": scope, "slot_s": slot_s, "micros": micros} for slot_s, micros in slots],
        )


def talk(cost: CostController, number: int, ended_at_s: float, seconds: float, micros: int) -> None:
    """A call that is over, with its account."""
    account = {
        "session_id": f"s{number}", "call_id": "c", "tenant": f"t{number % 2}", "key_id": "k",
        "model": "m", "held_micros": 0, "total_micros": micros, "closed": True,
        "opened_at_s": ended_at_s - seconds, "active_at_s": ended_at_s, "entries": 0,
    }  # fmt: skip
    call = {
        "session_id": f"s{number}", "call_id": "c", "tenant": f"t{number % 2}", "node_id": "n",
        "profile": "p", "model": "m", "state": "ended", "end_reason": "completed",
        "accepted_at_s": ended_at_s - seconds, "ended_at_s": ended_at_s, "cost_micros": micros,
        "turns": 1, "record": "{}",
    }  # fmt: skip
    with cost._store.transaction() as connection:
        connection.execute(sa.insert(schema.accounts), account)
        connection.execute(sa.insert(schema.calls), call)


def expected(now_s: float, budgets: list[Budget]) -> list[dict[str, Any]]:
    """The same from memory."""
    forecaster = Forecaster(UTC)
    until_s = now_s // 900 * 900
    over = [(float(slot_s), micros) for slot_s, micros in history(until_s)]
    forecaster.learn(over, until_s)
    hour = sum(micros for slot_s, micros in history(now_s) if slot_s >= now_s // 3_600 * 3_600)
    return [
        {
            "expected_micros": each.expected_micros,
            "low_micros": each.low_micros,
            "high_micros": each.high_micros,
            "hit_at_s": each.hit_at_s,
            "hit_earliest_s": each.hit_earliest_s,
            "posted_micros": each.posted_micros,
            "limit_micros": each.limit_micros,
            "ends_at_s": each.window.end_s,
        }
        for each in forecaster.forecast(now_s, hour, budgets)
    ]


def budgets_at(now_s: float, limits: dict[str, int]) -> list[Budget]:
    return [
        Budget(
            window,
            limits[window.name],
            sum(micros for slot_s, micros in history(now_s) if slot_s >= window.start_s),
        )
        for window in windows_at(now_s, UTC)
        if window.name in limits
    ]


async def test_it_is_what_the_history_says(make: Callable[[], CostController]) -> None:
    cost = make()
    spend(cost, "global", history(NOW_S))
    found = await cost.forecast()
    assert (found["scope"], found["zone"], found["at_s"]) == ("global", "UTC", NOW_S)
    assert found["method"] == Method.HOLT_WINTERS
    assert [each["window"] for each in found["windows"]] == ["hour", "day", "week", "month"]
    wanted = expected(NOW_S, budgets_at(NOW_S, LIMITS))
    for shown, want in zip(found["windows"], wanted, strict=True):
        assert {name: shown[name] for name in want} == want
        assert shown["low_micros"] <= shown["expected_micros"] <= shown["high_micros"]
    by_window = {each["window"]: each for each in found["windows"]}
    assert by_window["day"]["hit_at_s"] is None
    assert NOW_S < by_window["month"]["hit_earliest_s"] <= by_window["month"]["hit_at_s"]


async def test_what_comes_later_is_learnt_as_if_it_had_been_there(
    make: Callable[[], CostController], clock: Clock
) -> None:
    cost = make()
    clock.now_s = NOW_S - WEEK_S
    spend(cost, "global", history(clock.now_s))
    await cost.forecast()
    spend(cost, "global", history(NOW_S)[len(history(clock.now_s)) :])
    clock.now_s = NOW_S
    assert await cost.forecast() == await make().forecast()


async def test_a_tenants_limits_are_its_own_and_those_of_each(
    make: Callable[[], CostController],
) -> None:
    cost = make()
    spend(cost, "tenant:acme", history(NOW_S))
    await cost.set_limit("tenant:*", "day", 300_000_000, "anna")
    await cost.set_limit("tenant:acme", "week", 1_000_000_000, "anna")
    found = await cost.forecast("tenant:acme")
    limits = {"day": 300_000_000, "week": 1_000_000_000}
    wanted = expected(NOW_S, budgets_at(NOW_S, limits))
    for shown, want in zip(found["windows"], wanted, strict=True):
        assert {name: shown[name] for name in want} == want


async def test_a_rolling_window_is_told_as_it_moves_on(make: Callable[[], CostController]) -> None:
    cost = make()
    spend(cost, "tenant:acme", history(NOW_S))
    for window, limit in (("rolling-hour", 10_000_000), ("rolling-day", 230_000_000)):
        await cost.set_limit("tenant:acme", window, limit, "anna")
    await cost.set_limit("tenant:acme", "call", 1_000_000, "anna")
    found = await cost.forecast("tenant:acme")
    assert [each["window"] for each in found["windows"]] == ["rolling-hour", "rolling-day"]
    hour, day = found["windows"]
    for shown, length_s in ((hour, HOUR_S), (day, DAY_S)):
        start_s = (NOW_S - length_s) // 900 * 900
        posted = sum(micros for slot_s, micros in history(NOW_S) if slot_s >= start_s)
        assert shown["posted_micros"] == posted
        assert (shown["starts_at_s"], shown["ends_at_s"]) == (start_s, NOW_S + length_s)
        assert shown["expected_micros"] == pytest.approx(posted, rel=0.05)
        assert shown["low_micros"] <= shown["expected_micros"] <= shown["high_micros"]
        last = shown["course"][-1]
        assert (len(shown["course"]), last["at_s"]) == (12, NOW_S + length_s)
        assert last["expected_micros"] == shown["expected_micros"]
    assert (hour["hit_at_s"], hour["hit_earliest_s"]) == (NOW_S, NOW_S)
    assert (day["hit_at_s"], day["one_more"]) == (None, None)
    for number in range(40):
        talk(cost, 2 * number, NOW_S - 600 * number, 300, 20_000)
    with cost._store.transaction() as connection:
        for table in (schema.calls, schema.accounts):
            connection.execute(sa.update(table).values(tenant="acme"))
    day = (await cost.forecast("tenant:acme"))["windows"][1]
    assert day["one_more"]["micros"] == 24 * 240_000


async def test_nothing_is_known_before_there_is_enough(make: Callable[[], CostController]) -> None:
    cost = make()
    spend(cost, "global", [each for each in history(NOW_S) if each[0] > NOW_S - 5 * DAY_S])
    talk(cost, 1, NOW_S - 60, 3_599, 1_000)
    found = await cost.forecast()
    assert (found["method"], found["micros_per_call_hour"]) == ("unknown", None)
    for window in found["windows"]:
        names = ("expected_micros", "low_micros", "high_micros", "hit_at_s", "one_more")
        assert [window[name] for name in names] == [None] * 5
        assert window["posted_micros"] > 0


async def test_what_one_more_call_costs(make: Callable[[], CostController]) -> None:
    cost = make()
    spend(cost, "global", history(NOW_S))
    for number in range(40):
        talk(cost, number, NOW_S - 600 * number, 300, 20_000 + 20_000 * (number % 2))
    found = await cost.forecast()
    per_hour = found["micros_per_call_hour"]
    assert per_hour == pytest.approx(30_000 * 12, rel=0.01)
    for window in found["windows"]:
        hours = (window["ends_at_s"] - NOW_S) / HOUR_S
        assert window["one_more"]["micros"] == round(per_hour * hours)
    month = found["windows"][3]
    assert month["one_more"]["hit_at_s"] < month["hit_at_s"]
    assert (await cost.forecast("tenant:t1"))["micros_per_call_hour"] == pytest.approx(40_000 * 12)


@pytest.mark.parametrize("scope", ["tenant:*", "nobody", "call"])
async def test_a_forecast_is_of_one_scope(make: Callable[[], CostController], scope: str) -> None:
    with pytest.raises(InvalidRequest, match="scope is"):
        await make().forecast(scope)
