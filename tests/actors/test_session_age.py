"""The provider ends a session after its hour: with the real worker, session and engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actors.settings import Settings
from reception.call.talk import provider as talk
from reception.provider.refusal import Outcome
from tests.actors.stack import Caller, Stack
from tests.waiting import PATIENCE_S, patience
from voice.interfaces import Question, Say

HOUR_S, RENEWED_AFTER_S = 6.0, 1.0


class Counts:
    """Answers, and remembers how much of the conversation it was shown."""

    def __init__(self, chars: int) -> None:
        self._chars = chars
        self.shown: list[int] = []  # words of the caller, by answer

    async def answer(self, question: Question) -> AsyncIterator[Say]:
        self.shown.append(sum(turn.kind == "user" for turn in question.turns))
        yield Say(f"{len(self.shown):0{self._chars}}")


async def test_a_session_is_renewed_in_a_pause_before_its_time_is_over(
    tmp_path: Path,
    sqlite_url: str,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No call notices: no dial fails, nothing is said twice, the model knows it all."""
    monkeypatch.setattr(talk, "RENEW_S", RENEWED_AFTER_S)
    brain = Counts(5)

    async def asks_again_after_the_hour(caller: Caller) -> None:
        await caller.until_answered(PATIENCE_S)
        for _ in range(2):
            await caller.ask_in_time()
            await caller.until_answered(PATIENCE_S)
            await asyncio.sleep(HOUR_S)
        caller.hang_up()

    async with Stack(tmp_path, monkeypatch, settings_for(sqlite_url), brain) as stack:
        stack.engine._config = replace(stack.engine._config, max_session_s=HOUR_S)
        record, caller = await stack.call("c", asks_again_after_the_hour)
        use = await stack._worker.provider_use()
        assert await stack.cost.check() == []
        assert stack.billed().keys() == stack.invoiced().keys()
        assert len(stack.engine.invoices) > 2
    assert record.end_reason == "caller_hangup"
    assert brain.shown == [0, 1, 2]
    assert [said.text for said in record.transcript if said.who == "reception"] == [
        "00001", "00002", "00003",
    ]  # fmt: skip
    assert len(caller.said) == 3
    assert use.dials.keys() == {Outcome.UP}


async def test_a_session_that_ends_as_too_old_in_an_answer_is_replaced(
    tmp_path: Path,
    sqlite_url: str,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brain = Counts(100)  # two seconds

    async with Stack(tmp_path, monkeypatch, settings_for(sqlite_url), brain, times=1.0) as stack:

        async def asks(caller: Caller) -> None:
            await caller.until_answered(PATIENCE_S)
            caller.ask()
            async with patience():
                while len(caller.audio) < 2:  # the answer has begun
                    await asyncio.sleep(0.01)
            stack.engine.expire()
            await caller.until_answered(PATIENCE_S)
            caller.ask()
            await caller.until_answered(PATIENCE_S)
            caller.hang_up()

        record, _ = await stack.call("c", asks)
        assert await stack.cost.check() == []
        assert stack.billed().keys() == stack.invoiced().keys()
        assert len(stack.engine.invoices) == 2
    assert record.end_reason == "caller_hangup"
    assert brain.shown[-1] == 2
