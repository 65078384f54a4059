"""The small model asks for the full one: real links, worker, session, ledger and provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from actors.settings import Settings
from actors.storage import schema
from reception.call.profile import FULL_MODEL_TOOL
from reception.call.record import CallRecord
from tests.actors.stack import Caller, Stack
from voice.interfaces import CallTool, Question, Say

MINI, FULL = "gpt-realtime-2.1-mini", "gpt-realtime-2.1"
HELD = 80_000 * 45 // 60  # for the small model: 30 s and 15 s at 0.08 dollars a minute
MOMENT, ANSWER = "One moment please, let me think about that.", "It is a claim."


class Thinker:
    """Asks for the full model where it may, and knows the answer where it may not."""

    def __init__(self) -> None:
        self.read: list[list[tuple[str, str]]] = []

    async def answer(self, question: Question) -> AsyncIterator[Say | CallTool]:
        self.read.append([(turn.kind, turn.text or turn.name) for turn in question.turns])
        last = question.turns[-1]
        offered = FULL_MODEL_TOOL in [tool["name"] for tool in question.tools]
        if question.exactly:
            yield Say(question.exactly)
        elif last.kind == "tool_result":
            yield Say(MOMENT if '"ok": true' in last.text else "I'm not sure.")
        elif offered:
            yield CallTool(FULL_MODEL_TOOL, "{}")
        else:
            yield Say(ANSWER)


async def one_question(caller: Caller) -> None:
    await caller.until_answered(5)
    caller.ask()
    while not ({ANSWER, "I'm not sure."} & set(caller.said.values()) or caller.over):
        await caller.until_answered(5)
    caller.hang_up()


async def asked(stack: Stack) -> CallRecord:
    stack.model, stack.full_model = MINI, FULL
    record, _ = await stack.call("c", one_question)
    assert await stack.cost.check() == []
    assert stack.invoiced().keys() == stack.billed().keys()
    return record


def models(stack: Stack) -> list[str]:
    """Of the answers, as they were billed."""
    rows = sa.select(schema.usage.c.model).where(schema.usage.c.kind == "response")
    with stack.cost._store.reading() as connection:
        return list(connection.execute(rows.order_by(schema.usage.c.id)).scalars())


def extended(stack: Stack) -> list[int]:
    """What was held in addition, for the full model."""
    table = schema.ledger
    rows = sa.select(table.c.amount_micros).where(table.c.kind == "extend", table.c.model == FULL)
    with stack.cost._store.reading() as connection:
        return list(connection.execute(rows.order_by(table.c.id)).scalars())


Make = Callable[[Thinker], Stack]


@pytest.fixture
def make(
    tmp_path: Path,
    database_url: str,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> Make:
    return lambda brain: Stack(tmp_path, monkeypatch, settings_for(database_url), brain)


async def test_the_full_model_answers_what_the_small_one_could_not(make: Make) -> None:
    brain = Thinker()
    async with make(brain) as stack:
        record = await asked(stack)
        assert (record.model, record.end_reason) == (FULL, "caller_hangup")
        said = [each.text for each in record.transcript if each.who == "reception"]
        assert said[-2:] == [MOMENT, ANSWER]
        assert models(stack) == [MINI, MINI, MINI, FULL]
        assert extended(stack)[0] > HELD
    kinds = [kind for kind, _ in brain.read[-1]]
    assert kinds[-4:] == ["tool_call", "tool_result", "assistant", "system"]
    assert "user" in kinds


async def test_where_a_limit_leaves_too_little_the_small_one_stays(make: Make) -> None:
    async with make(Thinker()) as stack:
        await stack.cost.set_limit("global", "hour", 2 * HELD, "test")
        record = await asked(stack)
        assert (record.model, record.end_reason) == (MINI, "caller_hangup")
        assert record.transcript[-1].text == "I'm not sure."
        assert set(models(stack)) == {MINI}
        assert extended(stack) == []
        assert (await stack.cost.totals())["overdraft_micros"] == 0
