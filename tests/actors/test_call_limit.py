"""A call that would cross its limit ends within it, its goodbye included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from actors.settings import Settings
from protos.reception.v1 import reception_pb2 as rv
from tests.actors.stack import MS_PER_CHAR, Caller, Stack, seeded
from tests.unit.call.example import PHRASES
from voice.interfaces import CallTool, Question, Say

LIMIT = 20_000  # micro-dollars for a call; a slice and a tail are 10,667
CALLS = 8


class Talker:
    """Answers of 20 to 80 characters; what is to be said exactly is."""

    def __init__(self, seed: int) -> None:
        self._dice = seeded(seed, "talker")

    async def answer(self, question: Question) -> AsyncIterator[Say | CallTool]:
        yield Say(question.exactly or "x" * self._dice.randrange(20, 80))


async def talks_on(caller: Caller) -> None:
    """One question after the other, for as long as somebody answers."""
    while not caller.over:
        await caller.until_answered(5)
        caller.ask()


async def test_the_last_words_are_whole_and_the_limit_holds(
    tmp_path: Path,
    sqlite_url: str,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_for(sqlite_url, hold_slice_s=5, hold_tail_s=3)
    async with Stack(tmp_path, monkeypatch, settings, Talker(1)) as stack:
        await stack.cost.set_limit("global", "call", LIMIT, "test")
        calls = await asyncio.gather(
            *(stack.call(f"c{number}", talks_on) for number in range(CALLS))
        )
        totals = await stack.cost.totals()
        assert await stack.cost.check() == []
        for record, caller in calls:
            cost = await stack.cost.call_cost(caller.spec.session_id)
            assert LIMIT // 3 < cost.total_micros <= LIMIT
            assert (cost.held_micros, cost.closed) == (0, True)
            assert record.end_reason == "budget"
            assert record.budget_steps[-1] == "wrap_up"
            assert record.stats["saved_micros"] == 0  # the engine's cache knows no other call
            assert caller.steps[-1] == rv.BudgetStep.KIND_WRAP_UP
            goodbye, text = list(caller.said.items())[-1]
            assert text == PHRASES.goodbye
            assert caller.audio[goodbye] >= 8 * MS_PER_CHAR * len(text)
        assert totals["overdraft_micros"] == 0
        assert stack.invoiced().keys() == stack.billed().keys()
