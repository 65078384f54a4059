"""`verify`: the ledger, the call records and a provider's count against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from actors.cost import CostController
from actors.settings import Settings
from actors.storage import records_check, schema
from reception.money.scopes import Owner
from reception.money.usage_export import parse_rows
from reception.provider.base import Usage
from tests.fakes.clock import Clock

MODEL = "gpt-realtime-2.1-mini"
MIDNIGHT_S = datetime(2026, 11, 24, tzinfo=UTC).timestamp()
TURN = Usage(100, 50, 40, 10, 7, 70)
COUNTS = {
    "input_text": 100, "input_audio": 50, "cached_text": 40, "cached_audio": 10,
    "output_text": 7, "output_audio": 70,
}  # fmt: skip


@pytest.fixture
def clock() -> Clock:
    return Clock(MIDNIGHT_S + 100)


@pytest.fixture
def cost(
    database_url: str, settings_for: Callable[..., Settings], clock: Clock
) -> Iterator[CostController]:
    controller = CostController(settings_for(database_url), clock)
    yield controller
    controller.close()


def keep(
    cost: CostController, session: str, ended_at_s: float | None, micros: int, state: str = "ended"
) -> None:
    row = {
        "session_id": session, "call_id": f"call-{session}", "tenant": "", "node_id": "n",
        "profile": "", "model": MODEL, "state": state, "end_reason": "completed",
        "accepted_at_s": MIDNIGHT_S, "ended_at_s": ended_at_s, "cost_micros": micros, "turns": 1,
        "record": "{}",
    }  # fmt: skip
    with cost._store.transaction() as connection:
        connection.execute(sa.insert(schema.calls), row)


async def call(cost: CostController, session: str) -> int:
    await cost.open_call(Owner(session, "c", "acme", "k", MODEL))
    await cost.usage(session, "r1", MODEL, TURN)
    return (await cost.close_call(session)).total_micros


async def test_records_have_their_accounts_cost(cost: CostController, clock: Clock) -> None:
    for session in ("s1", "s2"):
        keep(cost, session, clock.now_s + 1, await call(cost, session))
    keep(cost, "live", None, 5, "active")
    assert await cost.verify() == []
    clock.now_s += 60
    await cost.usage("s1", "late", MODEL, TURN)
    await cost.adjust("s2", "a1", -5, "anna", "goodwill")
    assert await cost.verify() == []


async def test_a_record_that_was_corrected_after_all_is_good_too(
    cost: CostController, clock: Clock
) -> None:
    total = await call(cost, "s1")
    await cost.adjust("s1", "a1", 7, "anna", "more")
    keep(cost, "s1", clock.now_s + 1, total + 7)
    assert await cost.verify() == []


async def test_each_difference_is_named(cost: CostController, clock: Clock) -> None:
    total = await call(cost, "s1")
    keep(cost, "s1", clock.now_s, total - 1)
    keep(cost, "s2", clock.now_s, 9)
    keep(cost, "s3", clock.now_s, 0)  # none was needed
    await cost.open_call(Owner("s4", "c", "acme", "k", MODEL))
    keep(cost, "s4", clock.now_s, 0)
    assert await cost.verify() == [
        f"call call-s1 (session s1): its record costs {total - 1}, its account {total} "
        "(micro-dollars)",
        "call call-s2 (session s2): its record costs 9, there is no account of it",
        "call call-s4 (session s4): it is over, its account is not closed",
    ]
    with cost._store.transaction() as connection:
        connection.execute(sa.update(schema.accounts).values(total_micros=1))
    found = await cost.verify()
    assert any("its account has 0 held" in each for each in found)


async def test_of_many_the_rest_is_counted(
    cost: CostController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_check, "MAX_SHOWN", 2)
    for number in range(5):
        keep(cost, f"s{number}", MIDNIGHT_S, 1 + number)
    assert (await cost.verify())[2:] == ["and 3 more calls"]
    with cost._store.transaction() as connection:
        connection.execute(sa.delete(schema.calls).where(schema.calls.c.cost_micros > 2))
    assert len(await cost.verify()) == 2


async def test_a_providers_count_by_day_and_model(cost: CostController, clock: Clock) -> None:
    clock.now_s = MIDNIGHT_S - 1
    await call(cost, "before")
    clock.now_s = MIDNIGHT_S
    for session in ("s1", "s2"):
        await call(cost, session)
    await cost.usage("s1", "r2", f"{MODEL}", TURN)
    await cost.transcription("s1", "i1", "gpt-4o-mini-transcribe", 4.0, 40, 12)
    await cost.adjust("s1", "a1", 5, "anna", "more")
    row: dict[str, Any] = {"day": "2026-11-24", "model": f"{MODEL}-2026-05-06"}
    right = row | {name: 3 * count for name, count in COUNTS.items()}
    assert await cost.against_export(parse_rows([right])) == []
    assert await cost.against_export(parse_rows([right]), "embedded") == []
    [text] = await cost.against_export(parse_rows([right | {"output_audio": 211}]))
    assert text == f"2026-11-24 {MODEL} output_audio: the provider counts 211 tokens, we 210 (-1)"
    assert len(await cost.against_export(parse_rows([right]), "openai")) == 6
    transcribed = {
        "day": "2026-11-24",
        "model": "gpt-4o-mini-transcribe",
        "input": 40,
        "output": 12,
    }
    assert await cost.against_export(parse_rows([right, transcribed])) == []
    both = parse_rows([right, {**row, "day": "2026-11-23", "output": 77, "input": 150}])
    assert await cost.against_export(both) == []
