"""`reconcile`: the ledger becomes what an itemised invoice says, on real databases."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from actors import reconciling
from actors.cost import CostController
from actors.settings import Settings
from actors.storage import audit, schema
from reception.errors import InvalidRequest, NotFound
from reception.money.invoice import MAX_ITEMS, Item, parse_items
from reception.money.scopes import Owner
from reception.money.usage_export import Export, parse_rows
from reception.provider.base import Usage
from tests.fakes.clock import Clock

MODEL, WORDS = "gpt-realtime-2.1-mini", "whisper-1"
MIDNIGHT_S = datetime(2026, 11, 24, tzinfo=UTC).timestamp()
DAY_S = 86_400
TURN = Usage(100, 50, 40, 10, 7, 70)
MORE = Usage(100, 50, 40, 10, 7, 80)
NOTHING = {"corrected": 0, "added": 0, "micros": 0, "corrections": []}


@pytest.fixture
def clock() -> Clock:
    return Clock(MIDNIGHT_S + 100)


@pytest.fixture
def make(
    database_url: str, settings_for: Callable[..., Settings], clock: Clock
) -> Iterator[Callable[[], CostController]]:
    made: list[CostController] = []

    def one() -> CostController:
        made.append(CostController(settings_for(database_url, provider="openai"), clock))
        return made[-1]

    yield one
    for each in made:
        each.close()


@pytest.fixture
def cost(make: Callable[[], CostController]) -> CostController:
    return make()


async def call(cost: CostController, session: str, *used: str) -> None:
    await cost.open_call(Owner(session, f"c-{session}", "acme", "k", MODEL))
    for each in used:
        await cost.usage(session, each, MODEL, TURN)
    await cost.close_call(session)


def answer(id_: str, usage: Usage = TURN, at: str = "2026-11-24T00:10:00Z") -> dict[str, Any]:
    return {"kind": "response", "id": id_, "model": MODEL, "at": at} | asdict(usage)


def said(id_: str, seconds: float) -> dict[str, Any]:
    return {"kind": "transcription", "id": id_, "model": WORDS, "seconds": seconds}


def sum_of(cost: CostController, items: tuple[Item, ...]) -> int:
    return sum(item.cost(item.model, cost._prices, MIDNIGHT_S) for item in items)


def entries(cost: CostController) -> list[tuple[str, str, dict[str, Any]]]:
    with cost._store.reading() as connection:
        return [
            (each.actor, each.action, json.loads(each.detail))
            for each in audit.page(connection, 0, 100)
        ]


def by_day(items: tuple[Item, ...], day: str = "2026-11-24") -> Export:
    return parse_rows(
        {"day": day, "model": item.model} | asdict(item.tokens)
        for item in items
        if item.kind == "response"
    )


async def test_the_ledger_becomes_the_invoice(cost: CostController, clock: Clock) -> None:
    await call(cost, "s1", "r1", "r2")
    await call(cost, "s2", "r3")
    await cost.transcription("s2", "i1", WORDS, 3.0, 0, 0)
    items = parse_items([answer("r1"), answer("r2", MORE), answer("r3"), answer("lost"),
                         said("i1", 4.5), said("i2", 1.0)])  # fmt: skip
    before = await cost.totals()
    clock.now_s += 3 * DAY_S
    dry = await cost.reconcile(items, "anna", dry_run=True)
    assert await cost.totals() | {"windows": 0} == before | {"windows": 0}
    found = await cost.reconcile(items, "anna")
    assert found == dry
    assert (found["items"], found["corrected"], found["added"]) == (6, 2, 2)
    assert found["differences"] == []
    assert found["corrections"][0] == (
        f"response r2: billed otherwise (+10 tokens, +0 ms, {10 * 20:+d} micro-dollars)"
    )
    totals = await cost.totals()
    assert totals["posted_micros"] == sum_of(cost, items)
    assert totals["posted_micros"] == before["posted_micros"] + found["micros"]
    assert (totals["calls"], totals["open_calls"], totals["held_micros"]) == (2, 0, 0)
    assert totals["models"][MODEL]["responses"] == 4
    assert totals["windows"]["day"]["posted_micros"] == found["micros"]
    assert await cost.verify() == []
    assert (await cost.call_cost("s1")).output_audio == 150
    [entry] = entries(cost)
    assert entry == (
        "anna", "reconcile",
        {"provider": "openai", "micros": found["micros"], "items": [
            "response r2", "response lost", "transcription i1", "transcription i2"]},
    )  # fmt: skip
    again = await cost.reconcile(items, "anna")
    assert again == {"items": 6, "differences": []} | NOTHING
    assert len(entries(cost)) == 1


async def test_counts_by_day_agree_then(cost: CostController, clock: Clock) -> None:
    await call(cost, "s1", "r1", "r2")
    items = parse_items([answer("r1", MORE), answer("r2"), answer("lost")])
    assert await cost.against_export(by_day(items), "openai") != []
    clock.now_s += 3 * DAY_S
    await cost.reconcile(items, "anna")
    assert await cost.against_export(by_day(items), "openai") == []
    later = parse_items([answer("r1"), answer("r2"), answer("lost", MORE)])
    await cost.reconcile(later, "anna")
    assert await cost.against_export(by_day(later)) == []
    assert len(await cost.against_export(by_day(later), "embedded")) == 6
    assert len(await cost.against_export(by_day(later, "2026-11-27"))) == 6
    report = await cost.report("day", "2026-11-24", "2026-11-25")
    assert [row["day"] for row in report["rows"]] == ["2026-11-24"]
    total = report["total"]
    assert (total["calls"], total["responses"], total["output_audio"]) == (1, 3, 220)
    assert total["cost_micros"] == sum_of(cost, later)
    rows = (await cost.report("call", "2026-11-24", "2026-11-25"))["rows"]
    assert [row["session_id"] for row in rows] == ["s1", "invoice:response:lost"]


async def test_what_the_invoice_does_not_have_is_named(
    cost: CostController, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await call(cost, "before", "r0")
    clock.now_s += 1
    await call(cost, "s1", "r1", "r2")
    await cost.transcription("s1", "i1", WORDS, 3.0, 0, 0)
    await cost.open_call(Owner("s2", "c", "acme", "k", MODEL, provider="embedded"))
    await cost.usage("s2", "other", MODEL, TURN)
    await call(cost, "s3", "r3")
    clock.now_s += 1
    await call(cost, "after", "r4")
    items = parse_items([answer("r1"), answer("r3")])
    posted = (await cost.totals())["posted_micros"]
    found = await cost.reconcile(items, "anna")
    assert found == {
        "items": 2, "differences": ["response r2 of session s1: billed, and not in the invoice"],
    } | NOTHING  # fmt: skip
    assert (await cost.totals())["posted_micros"] == posted
    monkeypatch.setattr(reconciling, "MAX_SHOWN", 1)
    whole = parse_items([answer("r0"), answer("r4")])
    assert (await cost.reconcile(whole, "anna"))["differences"] == [
        "response r1 of session s1: billed, and not in the invoice",
        "and 2 more that are billed, and not in the invoice",
    ]
    nothing = await cost.reconcile(parse_items([answer("x")]), "anna", dry_run=True)
    assert (nothing["added"], nothing["differences"]) == (1, [])


async def test_what_cannot_be_corrected_is_named(cost: CostController) -> None:
    await call(cost, "s1", "r1")
    total = (await cost.call_cost("s1")).total_micros
    await cost.adjust("s1", "a1", 1 - total, "anna", "goodwill")
    rows = [answer("r1", Usage()), answer("r2") | {"model": "unknown"}, answer("r3")]
    found = await cost.reconcile(parse_items(rows), "anna")
    assert (found["corrected"], found["added"]) == (0, 1)
    assert [each.split(":")[0] for each in found["differences"]] == ["response r1", "response r2"]
    assert await cost.verify() == []


async def test_in_pieces(cost: CostController, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "BATCH", 3)
    monkeypatch.setattr(reconciling, "LOOK", 5)
    for number in range(4):
        await call(cost, f"s{number}", f"r{number}", f"q{number}")
    rows = [answer(f"{name}{number}", MORE) for name in "rqx" for number in range(4)]
    items = parse_items(rows)
    found = await cost.reconcile(items, "anna")
    assert (found["corrected"], found["added"]) == (8, 4)
    assert (await cost.totals())["posted_micros"] == sum_of(cost, items)
    assert len(entries(cost)) == 4
    assert await cost.verify() == []


async def test_at_once_it_is_done_once(cost: CostController) -> None:
    """Also while calls go on, one of which bills what the invoice has already."""
    await call(cost, "s1", "r1")
    items = parse_items([answer("r1", MORE), answer("r2", MORE), said("i1", 2.0)])
    await asyncio.gather(
        *(cost.reconcile(items, f"b{number}") for number in range(4)), call(cost, "s2", "r2")
    )
    await cost.reconcile(items, "anna")
    assert (await cost.totals())["posted_micros"] == sum_of(cost, items)
    assert (await cost.call_cost("s2")).output_audio == 80
    assert await cost.verify() == []
    again = await cost.reconcile(items, "anna")
    assert (again["corrected"], again["added"]) == (0, 0)


async def test_beside_a_singleton_that_goes_on(
    cost: CostController, make: Callable[[], CostController]
) -> None:
    """The command line replaces nobody; the singleton's book follows."""
    await cost.set_limit("tenant:acme", "day", 1_000_000, "anna")
    await cost.open_call(Owner("s1", "c", "acme", "k", MODEL))
    first = await cost.usage("s1", "r1", MODEL, TURN)
    epoch = (await cost.ping())["epoch"]
    items = parse_items([answer("r1", MORE), answer("lost", MORE)])
    beside = make()
    found = await beside.reconcile(items, "command line")
    assert (found["corrected"], found["added"]) == (1, 1)
    assert beside._writer.epoch == 0
    second = await cost.usage("s1", "r2", MODEL, TURN)
    assert second.call_total_micros == 2 * first.cost_micros + 200
    assert (await cost.ping())["epoch"] == epoch
    total = (await cost.close_call("s1")).total_micros
    assert total == second.call_total_micros
    assert await cost.verify() == []
    [day] = [each for each in await cost.limits() if each["scope"] == "tenant:acme"]
    assert (day["posted_micros"], day["held_micros"]) == (total, 0)
    standing = cost._books.book.sums.of_scope(Owner("", tenant="acme").scopes()[1], MIDNIGHT_S)
    assert [each.posted_micros for each in standing] == [total]


async def test_what_no_invoice_is(cost: CostController) -> None:
    items = parse_items([answer("r1")])
    with pytest.raises(InvalidRequest, match="by has 0"):
        await cost.reconcile(items, "")
    with pytest.raises(InvalidRequest, match="provider has 65"):
        await cost.reconcile(items, "anna", "p" * 65)
    with pytest.raises(InvalidRequest, match=f"items are {MAX_ITEMS + 1}: must be at most"):
        await cost.reconcile(items * (MAX_ITEMS + 1), "anna")
    with pytest.raises(InvalidRequest, match="only an invoice's begin with"):
        await cost.adjust("s1", "invoice:response:r1:0000", 5, "anna", "no")
    with pytest.raises(InvalidRequest, match="no call's begins with 'invoice:'"):
        await cost.open_call(Owner("invoice:response:r1", "c", "acme", "k", MODEL))
    with pytest.raises(NotFound):
        await cost.adjust("s1", "a1", 5, "anna", "no such call")
    with cost._store.reading() as connection:
        assert connection.execute(sa.select(schema.usage)).all() == []
