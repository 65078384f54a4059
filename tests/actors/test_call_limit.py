"""A call that would cross its limit ends within it, its goodbye included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from actors.cost import CostController
from actors.settings import Settings
from protos.reception.v1 import reception_pb2 as rv
from reception.money.account import Charge
from tests.actors.stack import MS_PER_CHAR, Caller, Stack, seeded
from tests.unit.call.example import PHRASES
from voice.interfaces import CallTool, Question, Say

LIMIT = 50_000  # micro-dollars for a call; a slice and a tail are 28,000 and more
CALLS = 8
DAY_LIMIT, CUTTING = 120_000, 3  # of whom each has 28,000 held at first


class Talker:
    """Answers of so many characters; what is to be said exactly is."""

    def __init__(self, seed: int, least: int = 20, most: int = 80) -> None:
        self._dice = seeded(seed, "talker")
        self._least, self._most = least, most

    async def answer(self, question: Question) -> AsyncIterator[Say | CallTool]:
        if question.exactly:
            yield Say(question.exactly)
            return
        for _ in range(0, self._dice.randrange(self._least, self._most), 20):
            yield Say("x" * 20)


class LateBills:
    """The ledger, which takes up to so many seconds for a bill."""

    def __init__(self, cost: CostController, most_s: float) -> None:
        self._cost, self._most_s = cost, most_s
        self._dice = seeded(1, "late")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cost, name)

    async def usage(self, *args: Any) -> Charge:
        await asyncio.sleep(self._dice.uniform(0, self._most_s))
        return await self._cost.usage(*args)


async def talks_on(caller: Caller) -> None:
    """One question after the other, for as long as somebody answers."""
    while not caller.over:
        await caller.until_answered(5)
        caller.ask()


async def cuts_in(caller: Caller) -> None:
    """Into every answer, half a second after it is heard, for as long as somebody answers."""
    heard = 0
    while not caller.over:
        for _ in range(500):
            if caller.over or len(caller.audio) > heard:
                break
            await asyncio.sleep(0.01)
        heard = len(caller.audio)
        await asyncio.sleep(0.5)
        await caller.ask_in_time()


async def test_the_last_words_are_whole_and_the_limit_holds(
    tmp_path: Path,
    database_url: str,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_for(database_url, hold_slice_s=15, hold_tail_s=6)
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


@pytest.mark.parametrize("late_s", [0.0, 1.5])
async def test_who_cuts_into_every_answer_passes_no_days_limit(
    late_s: float,
    tmp_path: Path,
    database_url: str,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each answer is begun before the bill of the one before is there."""
    settings = settings_for(database_url, hold_slice_s=15, hold_tail_s=6)
    async with Stack(tmp_path, monkeypatch, settings, Talker(1, 400, 1_600)) as stack:
        cost = stack.cost
        stack.cost = cast("CostController", LateBills(cost, late_s))
        await cost.set_limit("global", "day", DAY_LIMIT, "test")
        calls = await asyncio.gather(
            *(stack.call(f"c{number}", cuts_in) for number in range(CUTTING))
        )
        totals = await cost.totals()
        assert await cost.check() == []
    assert totals["overdraft_micros"] == 0
    assert DAY_LIMIT // 3 < totals["posted_micros"] <= DAY_LIMIT
    assert sum(record.interruptions for record, _ in calls) > 3 * CUTTING
    for record, caller in calls:
        assert (record.end_reason, record.budget_steps[-1]) == ("budget", "wrap_up")
        goodbye, text = list(caller.said.items())[-1]
        assert text == PHRASES.goodbye
        assert caller.audio[goodbye] >= 8 * MS_PER_CHAR * len(text)
