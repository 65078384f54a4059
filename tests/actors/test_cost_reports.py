"""Reports of the cost singleton, over calls that were really billed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from actors.cost import CostController
from actors.settings import Settings
from actors.storage import reports as stored
from actors.storage.calls import CallStore
from reception.call.record import CallRecord, CallSpec
from reception.errors import InvalidRequest
from reception.money.invoice import Item
from reception.money.scopes import Owner
from reception.provider.base import Usage
from tests.fakes.clock import Clock

MODEL = "gpt-realtime-2.1-mini"
NOON_S = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
TURN = Usage(
    input_text=1_000, input_audio=200, cached_text=512, cached_audio=64, output_text=20,
    output_audio=100,
)  # fmt: skip


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON_S)


@pytest.fixture
def cost(
    database_url: str, settings_for: Callable[..., Settings], clock: Clock
) -> Iterator[CostController]:
    settings = settings_for(database_url, budget_timezone="Europe/Berlin")
    controller = CostController(settings, clock)
    yield controller
    assert asyncio.run(controller.check()) == []
    controller.close()


def record(owner: Owner, began_s: float, lasted_s: float, cost: int, why: str) -> CallRecord:
    spec = CallSpec(
        owner.call_id, owner.session_id, "l", "tel:+1", owner.number, "inbound", "pcmu", 8_000, 20,
        False, owner.profile, {}, owner.tenant, owner.key_id, "n", began_s,
    )  # fmt: skip
    return CallRecord(spec, "ended", "", MODEL, began_s + lasted_s, why, cost_micros=cost)


async def talk(
    cost: CostController,
    clock: Clock,
    nth: int,
    *,
    at_s: float,
    turns: int = 1,
    lasted_s: float | None = 60.0,
    why: str = "caller_hangup",
    stats: dict[str, int] | None = None,
    **owner: Any,
) -> int:
    """One call from its hold to its record; what it cost. lasted_s None: it goes on."""
    named = {"tenant": "acme", "key_id": "k", "number": "tel:+49301", "profile": "day"} | owner
    caller = Owner(f"s{nth}", f"c{nth}", model=MODEL, **named)
    clock.now_s = at_s
    assert (await cost.open_call(caller)).admitted
    total = 0
    for turn in range(turns):
        total = (await cost.usage(f"s{nth}", f"r{turn}", MODEL, TURN)).call_total_micros
    if lasted_s is not None:
        total = (await cost.close_call(f"s{nth}")).total_micros
        over = replace(record(caller, at_s, lasted_s, total, why), stats=stats or {})
        CallStore(cost._store).save_call(over)
    return total


async def test_what_was_saved_is_in_the_records_of_calls_that_are_over(
    cost: CostController, clock: Clock
) -> None:
    for nth, stats in enumerate([{}, {"saved_micros": 300}, {"saved_micros": 4_000}]):
        await talk(cost, clock, nth, at_s=NOON_S - 100 + nth, stats=stats)
    live = await talk(cost, clock, 9, at_s=NOON_S - 80, lasted_s=None)
    clock.now_s = NOON_S
    assert live > 0
    found = await cost.report("call")
    assert [row["saved_micros"] for row in found["rows"]] == [0, 300, 4_000, 0]
    assert found["total"]["saved_micros"] == 4_300
    [day] = (await cost.report("day"))["rows"]
    [tenant] = (await cost.report("tenant"))["rows"]
    assert (day["saved_micros"], tenant["saved_micros"]) == (4_300, 4_300)


async def test_transcriptions_have_their_own_columns(cost: CostController, clock: Clock) -> None:
    """By time, by tokens, and what corrects one."""
    spoken = await talk(cost, clock, 1, at_s=NOON_S - 100, lasted_s=None)
    by_time = await cost.transcription("s1", "i1", "gpt-4o-mini-transcribe", 4.0, 0, 0)
    tokens = await cost.transcription("s1", "i2", MODEL, 0.0, 42, 9)
    in_all = tokens.call_total_micros - spoken
    assert by_time.call_total_micros < tokens.call_total_micros
    clock.now_s = NOON_S
    expected = {
        "transcriptions": 2, "transcribed_ms": 4_000, "transcription_input": 42,
        "transcription_output": 9, "transcription_micros": in_all, "responses": 1,
        "input_audio": TURN.input_audio, "cost_micros": spoken + in_all,
    }  # fmt: skip
    for by in ("call", "tenant", "day"):
        found = await cost.report(by)
        for row in (*found["rows"], found["total"]):
            assert {name: row[name] for name in expected} == expected
    invoiced = Item("transcription", "i2", MODEL, Usage(input_audio=40, output_text=10))
    await cost.reconcile([invoiced], "test")
    [row] = (await cost.report("call"))["rows"]
    assert (row["transcription_input"], row["transcription_output"]) == (40, 10)
    assert row["transcription_micros"] == row["cost_micros"] - spoken


async def test_images_are_billed_and_told_apart(cost: CostController, clock: Clock) -> None:
    """4,000 tokens, of which 1,000 came from the cache, at 0.80 and 0.08 dollars a million."""
    first = await talk(cost, clock, 1, at_s=NOON_S - 100, lasted_s=None)
    seen = replace(TURN, input_image=4_000, cached_image=1_000)
    after = (await cost.usage("s1", "pictures", MODEL, seen)).call_total_micros
    assert after - first == first + 3_000 * 800_000 // 10**6 + 1_000 * 80_000 // 10**6
    closed = await cost.close_call("s1")
    assert (closed.input_text, closed.input_image, closed.cached_image) == (2_000, 4_000, 1_000)
    clock.now_s = NOON_S
    [row] = (await cost.report("call"))["rows"]
    assert (row["input_text"], row["input_image"], row["cached_image"]) == (2_000, 4_000, 1_000)
    sums = (await cost.totals())["models"][MODEL]
    assert (sums["input_image"], sums["cached_image"]) == (4_000, 1_000)


async def test_by_tenant_number_and_profile(cost: CostController, clock: Clock) -> None:
    one = await talk(cost, clock, 1, at_s=NOON_S - 100)
    two = await talk(cost, clock, 2, at_s=NOON_S - 90, turns=3, why="provider_unavailable")
    live = await talk(cost, clock, 3, at_s=NOON_S - 80, lasted_s=None)
    await talk(cost, clock, 4, at_s=NOON_S - 70, tenant="b", number="tel:+49302", profile="night")
    await cost.transcription("s4", "i1", "gpt-4o-mini-transcribe", 4.0, 0, 0)
    clock.now_s = NOON_S
    found = await cost.report("tenant")
    acme, other = found["rows"]
    assert (acme["tenant"], other["tenant"]) == ("acme", "b")
    assert (acme["calls"], acme["ended"], acme["completed"]) == (3, 2, 1)
    assert (acme["talk_ms"], acme["cost_micros"]) == (120_000, one + two + live)
    assert acme["micros_per_minute"] == round((one + two) / 2)
    assert acme["micros_per_completed"] == one + two
    assert (acme["responses"], acme["input_text"], acme["cached_audio"]) == (5, 5_000, 5 * 64)
    assert acme["cache_percent"] == 48.0
    assert other["transcribed_ms"] == 4_000
    assert other["cost_micros"] == one + 200
    total = found["total"]
    assert total["cost_micros"] == acme["cost_micros"] + other["cost_micros"]
    assert (await cost.totals())["posted_micros"] == total["cost_micros"]
    for by, names in (
        ("number", ["tel:+49301", "tel:+49302"]), ("profile", ["day", "night"]), ("key", ["k"]),
        ("provider", ["embedded"]),
    ):  # fmt: skip
        again = await cost.report(by)
        assert [row[by] for row in again["rows"]] == names
        assert again["total"] == total


async def test_by_hour_and_day_of_the_budgets_zone(cost: CostController, clock: Clock) -> None:
    midnight_s = NOON_S - 13 * 3_600  # in Berlin
    for number, at_s in enumerate((midnight_s - 1, midnight_s, midnight_s + 3_599, NOON_S - 1)):
        await talk(cost, clock, number, at_s=at_s)
    clock.now_s = NOON_S
    days = (await cost.report("day"))["rows"]
    assert [(row["day"], row["calls"]) for row in days] == [("2026-11-23", 1), ("2026-11-24", 3)]
    hours = await cost.report("hour", since="2026-11-24")
    assert [(row["hour"], row["calls"]) for row in hours["rows"]] == [
        ("2026-11-24T00:00+01:00", 2), ("2026-11-24T12:00+01:00", 1),
    ]  # fmt: skip
    assert (hours["since"], hours["until"]) == ("2026-11-23T23:00:00Z", "2026-11-24T12:00:00Z")
    assert hours["total"]["calls"] == 3


async def test_calls_are_paged_as_of_the_first_page(cost: CostController, clock: Clock) -> None:
    for number in range(5):
        await talk(cost, clock, number, at_s=NOON_S - 100 + number // 2)
    clock.now_s = NOON_S
    first = await cost.report("call", page_size=2)
    await talk(cost, clock, 9, at_s=NOON_S + 1)
    pages = [first]
    while token := pages[-1]["next_page_token"]:
        pages.append(await cost.report("call", page_size=2, page_token=token))
    rows = [row for page in pages for row in page["rows"]]
    assert [row["session_id"] for row in rows] == [f"s{number}" for number in range(5)]
    assert {page["total"]["calls"] for page in pages} == {5}
    assert rows[0] | {"cost_micros": 0} == rows[0] | {
        "call_id": "c0", "tenant": "acme", "key_id": "k", "number": "tel:+49301",
        "profile": "day", "provider": "embedded", "model": MODEL, "cost_micros": 0,
        "began": "2026-11-24T11:58:20Z", "end_reason": "caller_hangup", "talk_ms": 60_000,
        "output_audio": 100, "completed": 1,
    }  # fmt: skip


async def test_a_hold_that_became_no_call_is_none(cost: CostController, clock: Clock) -> None:
    await cost.open_call(Owner("s1", "c1", "acme", model=MODEL))
    await cost.close_call("s1")
    clock.now_s += 1
    found = await cost.report("tenant")
    assert (found["rows"], found["total"]["calls"]) == ([], 0)


async def test_the_cheapest_groups_are_left_out_and_counted(
    cost: CostController, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MAX_GROUPS", 2)
    for number in range(4):
        await talk(cost, clock, number, at_s=NOON_S - 9, turns=1 + number, tenant=f"t{number}")
    clock.now_s = NOON_S
    found = await cost.report("tenant")
    assert [row["tenant"] for row in found["rows"]] == ["t3", "t2"]
    assert (found["left_out"], found["total"]["calls"]) == (2, 4)


async def test_a_correction_counts_in_its_calls_cost(cost: CostController, clock: Clock) -> None:
    was = await talk(cost, clock, 1, at_s=NOON_S - 100)
    await cost.adjust("s1", "a1", -5, "anna", "goodwill")
    clock.now_s = NOON_S
    assert (await cost.report("day"))["total"]["cost_micros"] == was - 5


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"by": "week"}, "by is 'week'"),
        ({"since": "soon"}, "since is 'soon'"),
        ({"page_size": 0}, "page_size is 0: must be 1 to 1000"),
        ({"page_token": "x"}, "page_token was not given"),
        ({"page_token": "WzFd"}, "page_token was not given"),
    ],
)
async def test_what_cannot_be_asked_for(
    cost: CostController, wrong: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidRequest, match=text) as caught:
        await cost.report(**({"by": "day"} | wrong))
    assert caught.value.field == next(iter(wrong))


def test_a_line_is_made_of_every_sum() -> None:
    assert set(stored._SUMS) == {each.key for each in (*stored._MONEY, *stored._USED)}
    assert replace(stored._line({}), calls=1).calls == 1
