"""Limits and policies that are changed while calls go on, and the proof of the sums."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from actors.bills import Delivery, bill
from actors.cost import CostController
from actors.outbox import Outbox
from actors.security import SecurityGuard
from actors.settings import Settings
from actors.storage import ledger_check, schema
from reception.call.messages import ReportUsage
from reception.errors import InvalidRequest, NotFound
from reception.money.leases import Claim
from reception.money.policy import Step
from reception.money.scopes import Owner
from reception.provider.base import Usage
from tests.unit.call.example import SPEC
from tests.waiting import patience

MODEL = "gpt-realtime-2.1-mini"
NOON_S = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
HELD = 60_000  # 45 s at 0.08 dollars a minute

Make = Callable[..., CostController]


@pytest.fixture
def clock() -> Callable[[], float]:
    return lambda: NOON_S


def call(session: str, tenant: str = "acme", **named: Any) -> Owner:
    return Owner(session, "c", tenant, f"key-{tenant}", MODEL, **named)


def spoken(micros: int) -> Usage:
    return Usage(output_audio=micros // 20)


async def audit_of(cost: CostController, action: str) -> list[dict[str, Any]]:
    guard = SecurityGuard(
        Settings(database_url=str(cost._store.engine.url.render_as_string(False)))
    )
    try:
        assert await guard.verify_audit() == ""
        return [each for each in await guard.audit_entries() if each["action"] == action]
    finally:
        guard.close()


# ------------------------------------------------------------------ limits


async def test_a_limit_holds_from_when_it_is_set(cost: CostController) -> None:
    assert (await cost.open_call(call("s1"))).admitted
    await cost.set_limit("tenant:acme", "day", HELD, "anna")
    refused = await cost.open_call(call("s2"))
    assert refused.message == "the day's budget is used up (tenant)"
    assert refused.step is Step.REFUSE
    assert (await cost.open_call(call("s3", "other"))).admitted
    await cost.set_limit("tenant:acme", "day", 2 * HELD, "anna")
    assert (await cost.open_call(call("s2"))).admitted
    await cost.set_limit("tenant:acme", "day", None, "anna")
    assert (await cost.open_call(call("s4"))).admitted


async def test_what_was_spent_before_a_limit_was_set_counts(cost: CostController) -> None:
    where = {"number": "tel:+49301", "profile": "day", "provider": "openai"}
    await cost.open_call(call("s1", **where))
    await cost.usage("s1", "r1", MODEL, spoken(10_000))
    await cost.close_call("s1")
    for scope in (
        "global", "tenant:acme", "tenant:*", "key:key-acme", "number:tel:+49301", "profile:day",
        "provider:*",
    ):  # fmt: skip
        for window in ("day", "rolling-week"):
            await cost.set_limit(scope, window, HELD + 9_999, "anna")
            assert not (await cost.open_call(call("s2", **where))).admitted, (scope, window)
            await cost.set_limit(scope, window, None, "anna")
    assert (await cost.open_call(call("s2", **where))).admitted


async def test_the_deployments_provider_is_a_calls_unless_it_has_another(
    cost: CostController,
) -> None:
    await cost.set_limit("provider:embedded", "day", 0, "anna")
    assert not (await cost.open_call(call("s1"))).admitted
    assert (await cost.open_call(call("s2", provider="openai"))).admitted


async def test_the_default_limits_come_back_when_others_are_taken_away(make: Make) -> None:
    cost = make(cost_limit_hourly=Decimal("0.06"))
    await cost.set_limit("global", "hour", 2 * HELD, "anna")
    for session in ("s1", "s2"):
        assert (await cost.open_call(call(session))).admitted
    await cost.close_call("s1")
    await cost.set_limit("global", "hour", None, "anna")
    assert not (await cost.open_call(call("s3"))).admitted


async def test_a_dearer_model_is_held_for_before_it_goes_on(make: Make) -> None:
    old = make()
    await old.open_call(call("s1"))
    await old.set_limit("tenant:acme", "day", 2 * HELD, "anna")
    assert not await old.change_model("s1", "gpt-realtime-2.1")
    await old.set_limit("tenant:acme", "day", None, "anna")
    assert await old.change_model("s1", "gpt-realtime-2.1")
    new = make()
    held = (await new.call_cost("s1")).held_micros
    assert held > 2 * HELD
    for response in ("r1", "r2"):  # of the model before
        await new.usage("s1", response, MODEL, spoken(40_000))
    assert (await new.call_cost("s1")).held_micros == held
    with pytest.raises(InvalidRequest, match="model"):
        await new.change_model("s1", "gpt-9")


async def test_limits_outlive_a_restart(make: Make) -> None:
    old = make()
    await old.open_call(call("s1"))
    await old.set_limit("key:*", "call", 30_000, "anna")
    new = make()
    assert not (await new.open_call(call("s2"))).admitted


async def test_who_sets_a_limit_beside_the_singleton_replaces_nobody(make: Make) -> None:
    working, beside = make(), make()
    await working.open_call(call("s1"))
    await beside.set_limit("global", "day", HELD, "anna")
    await beside.set_policy("*", {"transfer": 50}, "anna")
    assert not (await working.open_call(call("s2"))).admitted
    assert (await working.usage("s1", "r1", MODEL, spoken(20))).step is Step.TRANSFER
    assert (await working.ping())["epoch"] == 1


async def test_every_change_is_in_the_audit_trail(cost: CostController) -> None:
    await cost.ping()
    for micros in (5, 5, 7, None, None):
        await cost.set_limit("tenant:acme", "day", micros, "anna")
    changes = await audit_of(cost, "set_limit")
    shown = [(each["actor"], each["at_us"], each["detail"]) for each in changes]
    limit = '{"micros":%d,"scope":"tenant:acme","window":"day","zone":"UTC"}'
    change = '{"after":%s,"before":%s,"scope":"tenant:acme","window":"day"}'
    assert shown == [
        ("anna", NOON_S * 1_000_000, change % (limit % 5, "null")),
        ("anna", NOON_S * 1_000_000, change % (limit % 7, limit % 5)),
        ("anna", NOON_S * 1_000_000, change % ("null", limit % 7)),
    ]


async def test_what_is_no_limit_is_refused(cost: CostController) -> None:
    for scope, window, micros, by, field in (
        ("planet", "day", 1, "a", "scope"), ("global", "year", 1, "a", "window"),
        ("global", "day", -1, "a", "micros"), ("global", "day", 1, "", "by"),
    ):  # fmt: skip
        with pytest.raises(InvalidRequest) as caught:
            await cost.set_limit(scope, window, micros, by)
        assert caught.value.field == field
    assert await audit_of(cost, "set_limit") == []


async def test_limits_are_shown_with_what_is_in_them(make: Make) -> None:
    cost = make(budget_timezone="Europe/Berlin")
    await cost.set_limit("tenant:*", "day", 500_000, "anna")
    await cost.set_limit("tenant:acme", "rolling-hour", 400_000, "anna")
    await cost.set_limit("key:*", "call", 300_000, "anna")
    await cost.open_call(call("s1"))
    await cost.open_call(call("s2", "other"))
    await cost.open_call(call("s3", exempt=True))
    await cost.usage("s1", "r1", MODEL, spoken(10_000))
    shown = {
        (each["scope"], each["window"], each.get("of", "")): each for each in await cost.limits()
    }
    day_ends_s = datetime(2026, 11, 24, 23, tzinfo=UTC).timestamp()
    assert shown["tenant:*", "day", "tenant:acme"] == {
        "scope": "tenant:*", "window": "day", "of": "tenant:acme", "limit_micros": 500_000,
        "posted_micros": 10_000, "held_micros": 50_000, "left_micros": 440_000, "percent": 12.0,
        "ends_at_s": day_ends_s,
    }  # fmt: skip
    assert shown["tenant:*", "day", "tenant:other"]["held_micros"] == HELD
    assert shown["tenant:acme", "rolling-hour", ""]["posted_micros"] == 10_000
    assert shown["key:*", "call", ""]["limit_micros"] == 300_000
    assert shown["global", "week", ""]["held_micros"] == 110_000
    assert len(shown) == 4 + 2 + 1 + 1


async def test_a_limit_may_have_a_time_zone_of_its_own(cost: CostController) -> None:
    await cost.open_call(call("s1"))
    await cost.set_limit("tenant:acme", "day", 500_000, "anna", "Asia/Tokyo")
    [shown] = [each for each in await cost.limits() if each["scope"] == "tenant:acme"]
    assert shown["ends_at_s"] == datetime(2026, 11, 24, 15, tzinfo=UTC).timestamp()
    with pytest.raises(InvalidRequest) as caught:
        await cost.set_limit("tenant:acme", "day", 500_000, "anna", "Asia/Atlantis")
    assert caught.value.field == "zone"


# ------------------------------------------------------------------ policies


async def test_a_policy_holds_from_when_it_is_set(cost: CostController) -> None:
    await cost.set_limit("global", "day", 100_000, "anna")
    await cost.open_call(call("s1"))
    assert (await cost.usage("s1", "r1", MODEL, spoken(100))).step is Step.GO_ON
    steps = {"warn": 60, "shorten": 50, "wrap_up": 0, "refuse": 45}
    await cost.set_policy("acme", steps, "anna")
    assert (await cost.usage("s1", "r2", MODEL, spoken(100))).step is Step.SHORTEN
    assert await cost.policies() == {"acme": steps}
    await cost.set_policy("acme", steps, "anna")
    await cost.set_policy("acme", {"wrap_up": 90}, "ben")
    changes = [(each["actor"], each["detail"]) for each in await audit_of(cost, "set_policy")]
    assert changes == [
        ("anna", '{"after":{"refuse":45,"shorten":50,"warn":60,"wrap_up":0},"before":null,'
                 '"tenant":"acme"}'),
        ("ben", '{"after":{"wrap_up":90},"before":{"refuse":45,"shorten":50,"warn":60,'
                '"wrap_up":0},"tenant":"acme"}'),
    ]  # fmt: skip
    assert (await cost.usage("s1", "r3", MODEL, spoken(100))).wrap_up


async def test_what_is_no_policy_is_refused(cost: CostController) -> None:
    with pytest.raises(InvalidRequest):
        await cost.set_policy("acme", {"refuse": 5, "warn": 1}, "anna")
    with pytest.raises(InvalidRequest):
        await cost.set_policy("", {"warn": 1}, "anna")
    assert await cost.policies() == {}


# ------------------------------------------------------------------ prices

OTHER_PRICES = """
version: "2027-01-01"
models:
  gpt-realtime-2.1-mini:
    - valid_from: 2025-08-28
      text: {input: 0.6, cached: 0.06, output: 2.4}
      audio: {input: 10, cached: 0.3, output: 20}
      hold_usd_per_minute: 0.08
    - valid_from: 2026-11-24
      text: {input: 0.6, cached: 0.06, output: 2.4}
      audio: {input: 10, cached: 0.3, output: 40}
      hold_usd_per_minute: 0.16
"""


async def test_prices_of_which_something_is_free_are_refused(make: Make) -> None:
    cost = make()
    with pytest.raises(InvalidRequest, match=r"audio.cached 0: must be above 0"):
        await cost.set_prices(OTHER_PRICES.replace(", cached: 0.3", ""), "anna")
    assert (await cost.totals())["prices"] == "2026-11-01"


REGIONAL = OTHER_PRICES.replace("      hold_usd", "      regional_factor: 1.5\n      hold_usd")


async def test_in_a_region_more_is_held_and_billed_also_by_prices_that_were_set(
    make: Make,
) -> None:
    cost = make(provider_region="eu")
    assert (await cost.open_call(call("s1"))).held_micros == HELD * 11 // 10
    assert (await cost.usage("s1", "r1", MODEL, Usage(output_audio=10))).cost_micros == 220
    await cost.set_prices(REGIONAL, "anna")
    assert (await cost.open_call(call("s2"))).held_micros == 3 * HELD
    assert (await cost.usage("s1", "r2", MODEL, Usage(output_audio=10))).cost_micros == 600
    again = make()  # in no region
    assert (await again.open_call(call("s3"))).held_micros == 2 * HELD
    assert (await again.usage("s1", "r3", MODEL, Usage(output_audio=10))).cost_micros == 400


async def test_a_call_that_would_be_free_does_not_begin(make: Make) -> None:
    cost = make()
    for model in ("whisper-1", "gpt-live-1"):
        with pytest.raises(InvalidRequest, match="billed by time"):
            await cost.open_call(replace(call("s1"), model=model))
    await cost.open_call(call("s2"))
    with pytest.raises(InvalidRequest, match="billed by time"):
        await cost.change_model("s2", "gpt-live-1")


RISING = (
    OTHER_PRICES
    + """  words:
    - {valid_from: 2025-08-28, usd_per_second: 0.0001}
    - {valid_from: 2026-11-24, usd_per_second: 0.0002}
"""
)
RISE_S = datetime(2026, 11, 24, tzinfo=UTC).timestamp()


async def test_a_bill_that_was_kept_over_a_rise_of_prices_has_the_price_of_its_own_time(
    make: Make, clock: Callable[[], float]
) -> None:
    cost = make()
    await cost.set_prices(RISING, "anna")
    await cost.open_call(call("s1"))
    now_s, used = clock(), Usage(output_audio=10)
    assert now_s > RISE_S + 1
    times = [None, RISE_S - 1, RISE_S, now_s + 3_600, 0.0]  # a clock that is ahead; and none
    costs = [
        (await cost.usage("s1", f"r{number}", MODEL, used, None, at_s)).cost_micros
        for number, at_s in enumerate(times)
    ]
    assert costs == [400, 200, 400, 400, 400]
    words = [
        (await cost.transcription("s1", f"i{at_s}", "words", 1.0, 0, 0, None, at_s)).cost_micros
        for at_s in (None, RISE_S - 1)
    ]
    assert words == [200, 100]
    again = await cost.usage("s1", "r1", MODEL, used, None, now_s)
    assert again.cost_micros == 200
    hour = (await cost.totals())["windows"]["hour"]  # they count in that of now
    assert hour["posted_micros"] == sum(costs) + sum(words)


async def test_a_bill_in_the_outbox_keeps_its_price(make: Make, tmp_path: Path) -> None:
    """The singleton was away as the price rose, and the node's process died besides."""
    used = Usage(output_audio=10)
    outbox = Outbox(tmp_path / "outbox")
    kept = bill(ReportUsage("r1", used, MODEL), replace(SPEC, session_id="s1"), "", RISE_S - 1)
    await outbox.add(kept)
    outbox.close()
    cost, charges = make(), []
    await cost.set_prices(RISING, "anna")

    async def deliver(delivery: Delivery) -> bool:
        charges.append(await getattr(cost, delivery.method)(*delivery.args))
        return True

    after = Outbox(tmp_path / "outbox")
    delivering = asyncio.create_task(after.deliver(deliver))
    async with patience():
        while len(after):
            await asyncio.sleep(0.01)
    delivering.cancel()
    after.close()
    assert [each.cost_micros for each in charges] == [200]
    assert (await cost.usage("s2", "r2", MODEL, used)).cost_micros == 400


async def test_prices_are_replaced_while_calls_go_on(make: Make) -> None:
    cost = make()
    await cost.open_call(call("s1"))
    assert (await cost.usage("s1", "r1", MODEL, Usage(output_audio=10))).cost_micros == 200
    assert await cost.set_prices(OTHER_PRICES, "anna") == "2027-01-01"
    assert (await cost.open_call(call("s2"))).held_micros == 2 * HELD
    assert (await cost.usage("s1", "r2", MODEL, Usage(output_audio=10))).cost_micros == 400
    assert (await cost.usage("s1", "r1", MODEL, Usage(output_audio=10))).cost_micros == 200
    [change] = await audit_of(cost, "set_prices")
    assert change["detail"] == '{"after":"2027-01-01","before":"2026-11-01"}'
    again = make()
    assert (await again.totals())["prices"] == "2027-01-01"
    assert (await again.open_call(call("s3"))).held_micros == 2 * HELD


async def test_prices_that_are_set_beside_the_singleton_hold_there_too(make: Make) -> None:
    working, beside = make(), make()
    await working.open_call(call("s1"))
    await beside.set_prices(OTHER_PRICES, "anna")
    await working.ping()
    assert (await working.usage("s1", "r1", MODEL, Usage(output_audio=10))).cost_micros == 400


async def test_a_later_file_counts_again(make: Make, tmp_path: Path) -> None:
    await make().set_prices(OTHER_PRICES, "anna")
    newer = tmp_path / "newer.yaml"
    newer.write_text(OTHER_PRICES.replace("2027-01-01", "2027-02-01"))
    assert (await make(prices_path=newer).totals())["prices"] == "2027-02-01"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("version: [", "prices"),
        ("x" * 1_000_001, "prices"),
        (OTHER_PRICES.replace("2027-01-01", "2026-11-01"), "version"),
        (OTHER_PRICES.replace("2027-01-01", "9" * 65), "version"),
        (OTHER_PRICES.replace("-mini", "-maxi"), "models"),
    ],
)
async def test_prices_that_will_not_do(cost: CostController, text: str, field: str) -> None:
    await cost.open_call(call("s1"))
    with pytest.raises(InvalidRequest) as caught:
        await cost.set_prices(text, "anna")
    assert caught.value.field == field
    assert (await cost.totals())["prices"] == "2026-11-01"
    assert await audit_of(cost, "set_prices") == []


# ------------------------------------------------------------------ emergencies, corrections


async def test_an_emergency_call_goes_on_without_money_and_is_counted(make: Make) -> None:
    cost = make(cost_limit_hourly=Decimal(0))
    assert not (await cost.open_call(call("s1"))).admitted
    assert (await cost.open_call(call("s2", exempt=True))).admitted
    charge = await cost.usage("s2", "r1", MODEL, spoken(900_000))
    assert (charge.wrap_up, charge.step) == (False, Step.GO_ON)
    totals = await cost.totals()
    assert totals["exempt"] == {"calls": 1, "posted_micros": 900_000}
    assert totals["posted_micros"] == 900_000
    assert totals["windows"]["hour"]["posted_micros"] == 0


async def test_an_emergency_that_began_without_the_ledger_is_counted(make: Make) -> None:
    cost = make(cost_limit_hourly=Decimal(0))
    claim = Claim(call("s1", exempt=True))
    charge = await cost.usage("s1", "r1", MODEL, spoken(70_000), claim)
    assert not charge.wrap_up
    assert (await cost.claim(claim)).admitted
    assert (await cost.close_call("s1", claim)).total_micros == 70_000
    totals = await cost.totals()
    assert totals["exempt"] == {"calls": 1, "posted_micros": 70_000}
    assert totals["windows"]["hour"]["posted_micros"] == 0


async def test_what_passes_a_limit_is_posted_and_counted(make: Make) -> None:
    cost = make(cost_limit_hourly=Decimal("0.1"))
    await cost.open_call(call("s1"))
    charge = await cost.usage("s1", "r1", MODEL, spoken(130_000))
    assert (charge.call_total_micros, charge.wrap_up) == (130_000, True)
    totals = await cost.totals()
    assert totals["overdraft_micros"] == 30_000
    assert totals["windows"]["hour"]["posted_micros"] == 130_000


async def test_a_correction_by_hand(cost: CostController) -> None:
    await cost.open_call(call("s1"))
    await cost.usage("s1", "r1", MODEL, spoken(10_000))
    for _ in range(2):
        after = await cost.adjust("s1", "a1", -4_000, "anna", "billed twice")
        assert (after.total_micros, after.responses) == (6_000, 1)
    [change] = await audit_of(cost, "adjust")
    assert (change["actor"], '"reason":"billed twice"' in change["detail"]) == ("anna", True)
    with pytest.raises(InvalidRequest):
        await cost.adjust("s1", "a2", -6_001, "anna", "too much")
    with pytest.raises(NotFound):
        await cost.adjust("s2", "a1", 1, "anna", "nobody's")
    assert (await cost.totals())["posted_micros"] == 6_000


# ------------------------------------------------------------------ proof


async def spent_and_overdrawn(cost: CostController) -> None:
    await cost.open_call(call("s1"))
    await cost.open_call(call("s0", exempt=True))
    await cost.usage("s1", "r1", MODEL, spoken(130_000))
    assert await cost.check() == []


async def test_every_sum_that_does_not_add_up_is_found(make: Make) -> None:
    cost = make(cost_limit_hourly=Decimal("0.1"))
    await spent_and_overdrawn(cost)
    accounts, spending = sa.update(schema.accounts), sa.update(schema.spending)
    changes: list[tuple[sa.Update | sa.Delete, str]] = [
        (accounts.values(held_micros=1), "call s1: its account"),
        (accounts.values(total_micros=1), "call s1: its account"),
        (accounts.values(entries=9), "call s1: its account"),
        (accounts.values(closed=True), "held by closed calls"),
        (accounts.values(tail_micros=60_001), "closing tail"),
        (accounts.values(profile="night"), "profile:night in the slot of"),
        (accounts.values(exempt=True), "exempt in the slot of"),
        (spending.where(schema.spending.c.scope == "tenant:acme").values(micros=1), "tenant:acme"),
        (sa.delete(schema.spending).where(schema.spending.c.scope == "overdraft"), "overdraft"),
        (sa.delete(schema.model_totals), "bills and model totals"),
    ]
    for change, fault in changes:
        with cost._store.transaction() as connection:
            broken = connection.begin_nested()
            connection.execute(change)
            assert any(fault in each for each in ledger_check.faults(connection)), fault
            broken.rollback()


async def test_sums_that_do_not_add_up_stop_new_calls(make: Make) -> None:
    await spent_and_overdrawn(make(cost_limit_hourly=Decimal("0.1")))
    after = make()
    with after._store.transaction() as connection:
        connection.execute(sa.update(schema.model_totals).values(cost_micros=1))
    refused = await after.open_call(call("s2", "other"))
    assert (refused.admitted, refused.step) == (False, Step.REFUSE)
    assert "does not add up" in refused.message
    assert (await after.open_call(call("s0"))).admitted  # it goes on already
    assert (await after.open_call(call("s3", exempt=True))).admitted
    assert (await after.usage("s1", "r2", MODEL, spoken(100))).cost_micros == 100
    with after._store.transaction() as connection:
        connection.execute(sa.update(schema.model_totals).values(cost_micros=130_100))
    assert (await make().open_call(call("s2", "other"))).admitted
