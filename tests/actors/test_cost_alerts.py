"""Alerts of the cost singleton: told once, kept with what was told, over restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from actors import alerts as watch
from actors.cost import CostController
from reception.errors import Fenced, InvalidRequest
from reception.money.alerts import Alert, Measure
from reception.money.scopes import Owner
from reception.money.windows import Window
from reception.provider.base import Usage
from tests.fakes.clock import Clock
from tests.waiting import patience

MODEL = "gpt-realtime-2.1-mini"
NOON_S = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
HELD = 60_000  # 45 s at 0.08 dollars a minute
LIMIT = 100_000

Make = Callable[..., CostController]


@pytest.fixture(autouse=True)
def looks_only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 3_600.0)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON_S)


def call(session: str, tenant: str = "acme", **named: Any) -> Owner:
    return Owner(session, "c", tenant, f"key-{tenant}", MODEL, **named)


def spoken(micros: int) -> Usage:
    return Usage(output_audio=micros // 20)


async def rises(cost: CostController) -> list[tuple[str, str, str, int]]:
    """What a look tells: scope, window, measure and level."""
    return [
        (each.scope, each.window.name, each.measure.value, each.percent)
        for each in await cost._watch.look()
    ]


async def test_each_level_once_on_posted_and_on_what_is_held_besides(
    make: Make, clock: Clock
) -> None:
    cost = make()
    await cost.set_limit("tenant:acme", "day", LIMIT, "anna")
    await cost.open_call(call("s1"))
    assert await rises(cost) == []
    await cost.usage("s1", "r1", MODEL, spoken(18_000))
    assert await rises(cost) == []  # it is 18 posted and 42 held
    await cost.usage("s1", "r2", MODEL, spoken(19_000))
    assert await rises(cost) == [("tenant:acme", "day", "committed", 95)]
    assert await rises(cost) == []
    await cost.close_call("s1")
    assert await rises(cost) == [("tenant:acme", "day", "committed", 0)]
    clock.now_s += 299
    await cost.open_call(call("s2"))
    assert await rises(cost) == []  # the cooldown
    clock.now_s += 1
    assert await rises(cost) == [("tenant:acme", "day", "committed", 95)]
    shown = await cost.alerts()
    assert [each["percent"] for each in shown["told"]] == [95, 0, 95]
    assert [(each["measure"], each["percent"]) for each in shown["in_force"]] == [("committed", 95)]
    assert (await cost.totals())["alerts"] == [{"measure": "committed", "percent": 95, "count": 2}]


async def test_a_window_that_ends_clears_and_begins_anew(make: Make, clock: Clock) -> None:
    cost = make()
    await cost.set_limit("tenant:*", "hour", LIMIT, "anna")
    for number, hour in enumerate(range(2)):
        clock.now_s = NOON_S + hour * 3_600
        await cost.open_call(call(f"s{number}"))
        await cost.usage(f"s{number}", "r1", MODEL, spoken(76_000))
        await cost.close_call(f"s{number}")
        told = await rises(cost)
        assert ("tenant:acme", "hour", "posted", 70) in told
        assert (("tenant:acme", "hour", "posted", 0) in told) == (hour == 1)
    texts = [each["text"] for each in (await cost.alerts(since_s=NOON_S + 3_600))["told"]]
    assert texts[0] == "tenant:acme's hour is over: alert at 70 % cleared"
    assert "tenant:acme's hour: $0.08 of $0.10 spent, 70 % reached" in texts


async def test_a_rolling_window_is_one_window(make: Make, clock: Clock) -> None:
    cost = make()
    await cost.set_limit("global", "rolling-hour", LIMIT, "anna")
    await cost.open_call(call("s1"))
    await cost.usage("s1", "r1", MODEL, spoken(80_000))
    await cost.close_call("s1")
    assert await rises(cost) == [
        ("global", "rolling-hour", "posted", 70), ("global", "rolling-hour", "committed", 70),
    ]  # fmt: skip
    clock.now_s += 1_800
    assert await rises(cost) == []
    [first, _] = (await cost.alerts())["in_force"]
    assert first["ends_at_s"] is None
    clock.now_s += 3_600  # nothing changes but the time
    assert await rises(cost) == [
        ("global", "rolling-hour", "posted", 0), ("global", "rolling-hour", "committed", 0),
    ]  # fmt: skip


async def test_a_restarted_singleton_tells_nothing_twice_and_misses_nothing(make: Make) -> None:
    old = make()
    await old.set_limit("tenant:acme", "day", LIMIT, "anna")
    await old.set_limit("key:*", "day", LIMIT, "anna")
    await old.open_call(call("s1"))
    await old.usage("s1", "r1", MODEL, spoken(72_000))
    told = await rises(old)
    await old.usage("s1", "r2", MODEL, spoken(18_000))  # and dies before it looks
    new = make()
    again = await rises(new)
    assert [each for each in again if each in told] == []
    assert ("tenant:acme", "day", "posted", 90) in again
    assert ("key:key-acme", "day", "posted", 90) in again
    with pytest.raises(Fenced):
        await rises(old)


async def test_a_limit_that_is_set_is_looked_at_wherever_something_is(make: Make) -> None:
    cost = make()
    for tenant in ("acme", "other"):
        await cost.open_call(call(f"s-{tenant}", tenant))
    await cost.usage("s-acme", "r1", MODEL, spoken(20_000))
    await rises(cost)
    await make().set_limit("tenant:*", "week", HELD, "anna")
    assert await rises(cost) == [
        ("tenant:acme", "week", "committed", 95), ("tenant:other", "week", "committed", 95),
    ]  # fmt: skip
    await cost.set_limit("tenant:*", "week", 10 * HELD, "anna")
    assert [level for *_, level in await rises(cost)] == [0, 0]


async def test_what_was_told_is_paged(make: Make) -> None:
    cost = make()
    for scope in ("global", "tenant:acme", "key:*"):
        await cost.set_limit(scope, "day", HELD, "anna")
    await cost.open_call(call("s1"))
    await cost._watch.look()
    first = (await cost.alerts(at_most=2))["told"]
    rest = (await cost.alerts(after_id=first[-1]["id"]))["told"]
    assert [each["scope"] for each in (*first, *rest)] == ["global", "key:key-acme", "tenant:acme"]
    for at_most in (0, 1_001):
        with pytest.raises(InvalidRequest, match="must be 1 to 1000"):
            await cost.alerts(at_most=at_most)


async def test_it_looks_by_itself_and_logs_no_telephone_number(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    monkeypatch.setattr(watch, "log", structlog.get_logger())
    cost = make()
    await cost.set_limit("number:*", "day", HELD, "anna")
    with capture_logs() as logs:
        await cost.open_call(call("s1", number="tel:+4930123"))
        async with patience():
            while not [each for each in logs if each["event"] == "a limit is near"]:
                await asyncio.sleep(0.01)
        await cost.close_call("s1")
        async with patience():
            while not [each for each in logs if each["event"] == "a limit is near no more"]:
                await asyncio.sleep(0.01)
    [near] = [each for each in logs if each["event"] == "a limit is near"]
    assert (near["log_level"], near["scope"], near["percent"]) == ("warning", "number", 95)
    assert "4930123" not in str(logs)


async def test_alerts_are_delivered_once_they_are_durable(make: Make) -> None:
    cost = make()
    delivered: list[tuple[Alert, int]] = []

    def deliver(alerts: Sequence[Alert]) -> None:
        with cost._store.reading() as connection:
            count = connection.exec_driver_sql("SELECT count(*) FROM alerts").scalar_one()
        delivered.extend((alert, count) for alert in alerts)

    cost._watch._deliver = deliver
    await cost.set_limit("global", "day", HELD, "anna")
    await cost.open_call(call("s1"))
    await cost._watch.look()
    assert [(alert.scope, count) for alert, count in delivered] == [("global", 1)]


async def test_limits_of_single_calls_are_told_once_for_each_call_and_level(make: Make) -> None:
    cost = make()
    await cost.set_limit("global", "call", 200_000, "anna")
    await cost.set_limit("tenant:acme", "call", LIMIT, "anna")  # the tighter one
    await cost.set_limit("tenant:acme", "call-minute", 4 * LIMIT, "anna")
    await cost.open_call(call("s1"))
    await cost.usage("s1", "r1", MODEL, spoken(18_000))
    assert await rises(cost) == []
    await cost.usage("s1", "r2", MODEL, spoken(19_000))
    assert await rises(cost) == [("call:c", "call", "committed", 95)]
    assert await rises(make()) == []  # after a restart
    again = make()
    await again.usage("s1", "r3", MODEL, spoken(36_000))
    assert await rises(again) == [("call:c", "call", "posted", 70)]
    told = (await again.alerts())["told"]
    assert told[-1]["text"] == "call:c's call: $0.07 of $0.10 spent, 70 % reached"
    assert told[-1]["ends_at_s"] is None
    await again.close_call("s1")
    assert await rises(again) == []


async def test_counts_that_differ_are_an_alert_of_the_provider(make: Make, clock: Clock) -> None:
    delivered: list[Alert] = []
    cost = make()
    cost._watch._deliver = delivered.extend
    await cost.open_call(call("s1"))
    for _ in range(2):
        await cost.count_differs("s1", "output_audio", 100, 130)
        await make().count_differs("unknown", "output_audio", 100, 130)
        cost = make()
        cost._watch._deliver = delivered.extend
    clock.now_s += 86_400.0
    await cost.count_differs("s1", "output_audio", 100, 140)
    assert [(each.scope, each.percent) for each in delivered] == [
        ("provider:embedded", 30), ("provider:embedded", 40),
    ]  # fmt: skip
    [first, _] = (await cost.alerts())["told"]
    assert first == {
        "id": first["id"], "at_s": NOON_S, "scope": "provider:embedded", "measure": "usage",
        "what": "output_audio", "percent": 30, "tokens": 130, "own_tokens": 100,
        "text": "provider:embedded counts 130 tokens of output audio, we count 100: 30 % apart",
    }  # fmt: skip
    assert (await cost.totals())["alerts"] == []
    for what, count in (("words", 1), ("output_audio", -1)):
        with pytest.raises(InvalidRequest, match="must be one of output_audio, input_audio"):
            await cost.count_differs("s1", what, count, 1)


async def test_that_counts_differ_is_written_in_the_log() -> None:
    window = Window("output_audio", NOON_S, NOON_S)
    alert = Alert(NOON_S, "provider:p", window, Measure.USAGE, 30, 0, 130, 100)
    with capture_logs() as logs:
        watch.to_log([alert])
    [line] = logs
    assert (line["scope"], line["what"], line["percent"]) == ("provider:p", "output_audio", 30)
