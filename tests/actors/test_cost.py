"""The cost singleton over real databases: holds, bills, limits, restarts."""

from __future__ import annotations

import asyncio
import pickle
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from actors.cost import HOLD_MARGIN_S, CostController
from actors.settings import Settings
from actors.storage import schema
from reception.errors import Fenced, InvalidRequest
from reception.money.account import CallCost
from reception.money.policy import Step
from reception.money.scopes import Owner
from reception.provider.base import Usage
from tests.fakes.clock import Clock

MODEL = "gpt-realtime-2.1-mini"
NOON_S = datetime(2026, 11, 24, 12, 0, tzinfo=UTC).timestamp()
SLICE, TAIL = 40_000, 20_000  # 30 and 15 s at 0.08 dollars a minute
HELD = SLICE + TAIL
TURN = Usage(input_text=1_000, input_audio=50, output_text=20, output_audio=100)
TURN_COST = 600 + 500 + 48 + 2_000

SettingsFor = Callable[..., Settings]


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON_S)


def owner(session: str, **named: Any) -> Owner:
    return Owner(session, f"call-{session}", "acme", "key", named.pop("model", MODEL), **named)


async def start(cost: CostController, session: str = "s1", **named: Any) -> None:
    hold = await cost.open_call(owner(session, **named))
    assert hold.admitted, hold


def ledger_of(cost: CostController, session: str) -> list[tuple[str, int]]:
    table = schema.ledger
    with cost._store.reading() as connection:
        rows = connection.execute(
            sa.select(table.c.kind, table.c.amount_micros)
            .where(table.c.session_id == session)
            .order_by(table.c.id)
        )
        return [(row.kind, row.amount_micros) for row in rows]


async def test_a_call_from_hold_to_settlement(cost: CostController) -> None:
    hold = await cost.open_call(owner("s1"))
    assert (hold.admitted, hold.message, hold.held_micros) == (True, "", HELD)
    charge = await cost.usage("s1", "r1", MODEL, TURN)
    assert (charge.cost_micros, charge.call_total_micros, charge.wrap_up) == (
        TURN_COST, TURN_COST, False,
    )  # fmt: skip
    spoken = await cost.transcription("s1", "i1", "gpt-4o-mini-transcribe", 4.0, 0, 0)
    assert (spoken.cost_micros, spoken.call_total_micros) == (200, TURN_COST + 200)
    total = await cost.close_call("s1")
    assert total == CallCost(
        TURN_COST + 200, 0, True, 1, input_text=1_000, input_audio=50, output_text=20,
        output_audio=100,
    )  # fmt: skip
    assert ledger_of(cost, "s1") == [
        ("hold", HELD), ("settle", TURN_COST), ("settle", 200), ("release", HELD - TURN_COST - 200),
    ]  # fmt: skip


async def test_a_hold_is_filled_again_at_half(cost: CostController) -> None:
    await start(cost)
    for number in range(3):
        await cost.usage("s1", f"r{number}", MODEL, Usage(output_audio=400))
    assert ledger_of(cost, "s1") == [
        ("hold", HELD), ("settle", 8_000), ("settle", 8_000), ("settle", 8_000), ("extend", 24_000),
    ]  # fmt: skip


async def test_warming_up_moves_no_money(cost: CostController) -> None:
    before = await cost.totals()
    await cost.warm_up()
    assert await cost.totals() == before
    assert await cost.check() == []


async def test_everything_sent_twice_counts_once(cost: CostController) -> None:
    for _ in range(2):
        assert (await cost.open_call(owner("s1"))).held_micros == HELD
    charges = [await cost.usage("s1", "r1", MODEL, TURN) for _ in range(2)]
    assert charges[0] == charges[1]
    spoken = [await cost.transcription("s1", "r1", "whisper-1", 1.0, 0, 0) for _ in range(2)]
    assert spoken[0] == spoken[1]
    closed = [await cost.close_call("s1") for _ in range(2)]
    assert closed[0] == closed[1] == await cost.call_cost("s1")
    assert closed[0].total_micros == TURN_COST + 100
    totals = await cost.totals()
    assert (totals["posted_micros"], totals["held_micros"]) == (TURN_COST + 100, 0)


async def test_usage_after_the_end_is_billed(cost: CostController) -> None:
    await start(cost)
    await cost.close_call("s1")
    charge = await cost.usage("s1", "r9", MODEL, TURN)
    assert (charge.call_total_micros, charge.wrap_up) == (TURN_COST, False)
    assert await cost.usage("s1", "r9", MODEL, TURN) == charge
    assert (await cost.close_call("s1")).total_micros == TURN_COST
    assert ledger_of(cost, "s1")[-1] == ("usage", TURN_COST)
    assert (await cost.totals())["held_micros"] == 0


async def test_usage_before_the_opening_is_billed(cost: CostController) -> None:
    charge = await cost.usage("s1", "r1", MODEL, TURN)
    assert charge.call_total_micros == TURN_COST
    assert (await cost.open_call(owner("s1"))).admitted
    assert (await cost.close_call("s1")).total_micros == TURN_COST


async def test_a_call_given_up_before_its_opening_came_holds_nothing(cost: CostController) -> None:
    assert await cost.close_call("s1") == CallCost(closed=True)
    late = await cost.open_call(owner("s1"))
    assert (late.admitted, late.message) == (False, "this call is over")
    assert (await cost.usage("s1", "r1", MODEL, TURN)).call_total_micros == TURN_COST


async def test_an_unknown_call_costs_nothing(cost: CostController) -> None:
    assert await cost.call_cost("nobody") == CallCost()


async def test_an_unknown_model_is_refused_everywhere(cost: CostController) -> None:
    for asking in (
        cost.open_call(owner("s1", model="gpt-9")),
        cost.usage("s1", "r1", "gpt-9", TURN),
        cost.transcription("s1", "i1", "gpt-9", 1.0, 0, 0),
    ):
        with pytest.raises(InvalidRequest, match="gpt-9"):
            await asking
    assert (await cost.totals())["calls"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("session_id", ""), ("session_id", "s" * 257), ("call_id", "c" * 257),
        ("tenant", "t" * 129), ("key_id", "k" * 33), ("number", "tel:\x00"),
        ("number", "tel:\ud800"), ("profile", "p" * 129), ("provider", "p" * 65),
    ],
)  # fmt: skip
async def test_what_describes_a_call_has_bounds(
    cost: CostController, field: str, value: str
) -> None:
    changed: dict[str, Any] = {field: value}
    with pytest.raises(InvalidRequest) as caught:
        await cost.open_call(replace(owner("s1"), **changed))
    assert caught.value.field == field


async def test_bills_have_bounds(cost: CostController) -> None:
    with pytest.raises(InvalidRequest, match="used_id"):
        await cost.usage("s1", "", MODEL, TURN)
    with pytest.raises(InvalidRequest, match="count"):
        await cost.usage("s1", "r1", MODEL, Usage(output_text=10**12 + 1))
    with pytest.raises(InvalidRequest, match="count"):
        await cost.transcription("s1", "i1", "whisper-1", 1e10, 0, 0)


async def test_a_commit_has_as_many_statements_for_fifty_holds_as_for_one(
    cost: CostController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.alerts.LOOK_S", 3_600.0)  # it has a statement of its own
    await start(cost, "first")
    reached, opened = threading.Event(), threading.Event()
    statements: list[str] = []

    def gate(_: object) -> None:
        reached.set()
        assert opened.wait(30)

    async def held_together(names: list[str]) -> int:
        reached.clear()
        opened.clear()
        gated = asyncio.ensure_future(cost._writer.run(gate))
        await asyncio.to_thread(reached.wait, 30)
        waiting = [asyncio.ensure_future(cost.open_call(owner(name))) for name in names]
        await asyncio.sleep(0)
        statements.clear()
        opened.set()
        await asyncio.gather(gated, *waiting)
        return len(statements)

    sa.event.listen(
        cost._store.engine, "before_cursor_execute", lambda *args: statements.append(args[2])
    )
    one = await held_together(["s1"])
    fifty = await held_together([f"t{number}" for number in range(50)])
    assert fifty == one == 5, statements  # epoch, revision, accounts; accounts, ledger


# ------------------------------------------------------------------ limits


async def test_calls_are_admitted_up_to_the_limit(make: Callable[..., CostController]) -> None:
    cost = make(cost_limit_hourly=Decimal("0.13"))
    await start(cost, "s1")
    await start(cost, "s2")
    refused = await cost.open_call(owner("s3"))
    assert (refused.admitted, refused.held_micros, refused.retry_after_s) == (False, 0, 5.0)
    assert "hour" in refused.message
    await cost.close_call("s1")
    await start(cost, "s3")


async def test_exactly_the_limit_is_enough(make: Callable[..., CostController]) -> None:
    cost = make(cost_limit_daily=Decimal("0.12"))
    await start(cost, "s1")
    await start(cost, "s2")
    assert not (await cost.open_call(owner("s3"))).admitted


async def test_many_at_once_never_pass_the_limit(make: Callable[..., CostController]) -> None:
    cost = make(cost_limit_hourly=Decimal("0.6"))
    holds = await asyncio.gather(*(cost.open_call(owner(f"s{n}")) for n in range(40)))
    assert sum(hold.admitted for hold in holds) == 10
    assert (await cost.totals())["held_micros"] == 10 * HELD


async def test_a_call_wraps_up_when_nothing_more_can_be_held(
    make: Callable[..., CostController],
) -> None:
    cost = make(cost_limit_weekly=Decimal("0.07"))
    await start(cost)
    first = await cost.usage("s1", "r1", MODEL, Usage(output_audio=500))
    assert (first.cost_micros, first.wrap_up) == (10_000, False)
    second = await cost.usage("s1", "r2", MODEL, Usage(output_audio=501))
    assert (second.wrap_up, second.step) == (True, Step.WRAP_UP)
    assert await cost.usage("s1", "r2", MODEL, Usage(output_audio=501)) == second
    goodbye = await cost.usage("s1", "r3", MODEL, Usage(output_audio=1_500))  # the tail is for it
    assert (goodbye.cost_micros, goodbye.wrap_up) == (30_000, True)
    assert ledger_of(cost, "s1")[-1] == ("settle", 30_000)
    await cost.close_call("s1")
    refused = await cost.open_call(owner("s2"))
    assert not refused.admitted
    assert "week" in refused.message
    assert refused.retry_after_s == 5.5 * 86_400


async def test_a_window_that_ends_frees_its_budget(
    make: Callable[..., CostController], clock: Clock
) -> None:
    cost = make(cost_limit_hourly=Decimal("0.07"))
    await start(cost, "s1")
    await cost.usage("s1", "r1", MODEL, Usage(output_audio=1_500))
    await cost.close_call("s1")
    refused = await cost.open_call(owner("s2"))
    assert (refused.admitted, refused.retry_after_s) == (False, 3_600.0)
    clock.now_s += refused.retry_after_s
    await start(cost, "s2")


async def test_a_hold_is_given_back_when_its_call_vanished(
    make: Callable[..., CostController], clock: Clock
) -> None:
    cost = make(cost_limit_hourly=Decimal("0.07"), max_call_s=600)
    await start(cost, "s1")
    clock.now_s += 600 + HOLD_MARGIN_S
    assert not (await cost.open_call(owner("s2"))).admitted
    clock.now_s += 1
    await start(cost, "s2")
    assert ledger_of(cost, "s1")[-1] == ("release", HELD)
    assert (await cost.usage("s1", "r1", MODEL, TURN)).wrap_up


async def test_totals(cost: CostController) -> None:
    await start(cost, "s1")
    await start(cost, "s2")
    await cost.usage("s1", "r1", MODEL, TURN)
    await cost.transcription("s1", "i1", "whisper-1", 1.0, 0, 0)
    await cost.close_call("s1")
    totals = await cost.totals()
    assert (totals["calls"], totals["open_calls"]) == (2, 1)
    assert (totals["posted_micros"], totals["held_micros"]) == (TURN_COST + 100, HELD)
    assert totals["windows"]["month"] == {
        "posted_micros": TURN_COST + 100,
        "held_micros": HELD,
        "limit_micros": 8_000_000_000,
        "left_micros": 8_000_000_000 - TURN_COST - 100 - HELD,
        "percent": 0.0,
        "ends_at_s": datetime(2026, 12, 1, tzinfo=UTC).timestamp(),
    }
    assert totals["models"][MODEL]["responses"] == 1
    assert totals["models"][MODEL]["output_audio"] == 100
    assert totals["models"]["whisper-1"]["transcriptions"] == 1


# ------------------------------------------------------------------ restarts


async def test_a_restart_remembers_everything_and_fences_the_old_one(
    make: Callable[..., CostController],
) -> None:
    old = make()
    assert await old.ping() == {"epoch": 1}
    await start(old)
    await old.usage("s1", "r1", MODEL, TURN)
    new = make()
    assert await new.ping() == {"epoch": 2}
    with pytest.raises(Fenced):
        await old.usage("s1", "r2", MODEL, TURN)
    with pytest.raises(Fenced):
        await old.ping()
    assert (await new.usage("s1", "r1", MODEL, TURN)).call_total_micros == TURN_COST
    assert (await new.usage("s1", "r2", MODEL, TURN)).call_total_micros == 2 * TURN_COST


async def test_who_only_looks_replaces_nobody(make: Callable[..., CostController]) -> None:
    working = make()
    await start(working)
    looking = make()
    assert (await looking.totals())["open_calls"] == 1
    await working.usage("s1", "r1", MODEL, TURN)


async def test_a_random_history_is_conserved(
    make: Callable[..., CostController], clock: Clock
) -> None:
    """Many calls at once with retries, restarts, zombies, odd clocks, limits that
    change and corrections."""
    dice = random.Random(7)
    named: dict[str, Any] = {"cost_limit_hourly": Decimal("0.3"), "max_call_s": 600}
    cost = zombie = make(**named)
    bills: dict[tuple[str, str], int] = {}
    for step in range(150):
        session = f"s{dice.randrange(12)}"
        clock.now_s += dice.choice((0, 1, 60, 1_000, -500))
        match dice.randrange(12):
            case 0 | 1 | 2:
                await cost.open_call(owner(session))
            case 3:
                await cost.close_call(session)
            case 4 if step % 2 == 0:
                zombie, cost = cost, make(**named)
            case 5 if zombie is not cost and (await cost.ping())["epoch"]:
                with pytest.raises(Fenced):
                    await zombie.usage(session, "zombie", MODEL, TURN)
            case 6:
                await cost.set_limit("tenant:*", "rolling-hour", dice.randrange(300_000), "test")
            case 7 if (await cost.call_cost(session)).total_micros:
                change = dice.randrange(-20, 20)
                bills.setdefault((session, f"adjust{step % 5}"), change)
                change = bills[session, f"adjust{step % 5}"]
                if (await cost.call_cost(session)).total_micros + change < 0:
                    continue
                await cost.adjust(session, f"a{step % 5}", change, "test", "why not")
            case _:
                response = f"r{dice.randrange(8)}"
                used = Usage(output_audio=dice.randrange(2_000))
                charge = await cost.usage(session, response, MODEL, used)
                assert charge.cost_micros == bills.setdefault(
                    (session, response), charge.cost_micros
                )
                total = sum(micros for (of, _), micros in bills.items() if of == session)
                assert charge.call_total_micros == total
        assert await cost.check() == []
    assert (await cost.totals())["posted_micros"] == sum(bills.values())


# ------------------------------------------------------------------ settings


def test_settings_travel_between_processes(settings_for: SettingsFor, sqlite_url: str) -> None:
    settings = settings_for(sqlite_url, cost_limit_hourly=Decimal("1.5"), key_pepper="x" * 40)
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert Settings(**settings.model_dump()) == settings


@pytest.mark.parametrize(
    ("text", "complaint"),
    [(None, "No such file"), ("a: [", "prices.yaml"), ("version: 1\nmodels: {}", "empty")],
)
def test_a_bad_price_file_stops_the_start(
    settings_for: SettingsFor, sqlite_url: str, tmp_path: Path, text: str | None, complaint: str
) -> None:
    path = tmp_path / "prices.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidRequest, match=complaint) as caught:
        CostController(settings_for(sqlite_url, prices_path=path))
    assert str(path) in caught.value.message
