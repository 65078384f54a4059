"""Turns of the caller that the audio worker finds itself (turn_detection: local): with the
real worker, session and engine, which looks for none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from actors.settings import Settings
from reception.provider.base import TurnDetection
from tests.actors.stack import Caller, Stack
from tests.fakes.voice import FakeRecognizer
from tests.unit.call.example import PROFILE
from tests.waiting import PATIENCE_S, patience
from voice.interfaces import Question, Say

LOCAL = replace(PROFILE, turn_detection=TurnDetection("local", prefix_padding_ms=100))
Make = Callable[..., Stack]


class Counts:
    """Answers, and remembers how much of the conversation it was shown."""

    def __init__(self, chars: int) -> None:
        self._chars = chars
        self.shown: list[int] = []  # words of the caller, by answer
        self.let_through = asyncio.Event()
        self.let_through.set()

    async def answer(self, question: Question) -> AsyncIterator[Say]:
        self.shown.append(sum(turn.kind == "user" for turn in question.turns))
        await self.let_through.wait()
        yield Say(f"{len(self.shown):0{self._chars}}")


@pytest.fixture
def make(
    tmp_path: Path,
    sqlite_url: str,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> Make:
    def stack(brain: Counts, times: float = 5.0) -> Stack:
        return Stack(tmp_path, monkeypatch, settings_for(sqlite_url), brain, LOCAL, times)

    return stack


async def test_each_turn_is_answered_written_down_and_billed_by_the_providers_name(
    make: Make,
) -> None:
    brain = Counts(5)

    async def asks_twice(caller: Caller) -> None:
        await caller.until_answered(PATIENCE_S)
        for _ in range(2):
            await caller.ask_in_time()
            await caller.until_answered(PATIENCE_S)
        caller.hang_up()

    async with make(brain) as stack:
        record, _ = await stack.call("c", asks_twice)
        assert await stack.cost.check() == []
        assert stack.billed().keys() == stack.invoiced().keys()
        [invoice] = stack.engine.invoices
        assert stack.transcribed() == pytest.approx(invoice.transcribed_s, abs=0.001)
        assert len(invoice.transcribed_s) == 2
        # the padding, 400 ms of speech, 200 ms that end it: nothing from between the turns
        assert all(0.55 <= seconds <= 0.75 for seconds in invoice.transcribed_s.values())
    assert brain.shown == [0, 1, 2]
    assert [(said.who, said.text) for said in record.transcript] == [
        ("reception", "00001"), ("caller", "hello"), ("reception", "00002"),
        ("caller", "hello"), ("reception", "00003"),
    ]  # fmt: skip


async def test_who_speaks_into_an_answer_cuts_it_and_is_answered(make: Make) -> None:
    brain = Counts(150)  # three seconds

    async with make(brain, times=1.0) as stack:

        async def cuts_in(caller: Caller) -> None:
            await caller.until_answered(PATIENCE_S)
            await caller.ask_in_time()
            async with patience():
                while len(caller.audio) < 2:  # the answer has begun
                    await asyncio.sleep(0.01)
            await caller.ask_in_time()
            await caller.until_answered(PATIENCE_S)  # it was cut
            await caller.until_answered(PATIENCE_S)
            caller.hang_up()

        record, _ = await stack.call("c", cuts_in)
        assert await stack.cost.check() == []
    assert record.interruptions == 1
    assert brain.shown == [0, 1, 2]


@pytest.mark.parametrize("speaking", [False, True])
async def test_words_that_a_lost_session_took_along_are_told_the_next_one(
    make: Make, speaking: bool
) -> None:
    """The session breaks after the caller's words, or amid them."""
    brain = Counts(5)

    async with make(brain) as stack:
        ears = cast("FakeRecognizer", stack.engine._parts[0])

        async def asks(caller: Caller) -> None:
            await caller.until_answered(PATIENCE_S)
            ears.let_through.clear()  # nothing is understood
            asking = asyncio.create_task(caller.ask_in_time())
            if speaking:
                await asyncio.sleep(0.3)
            else:
                await ears.called.wait()
            stack.engine.drop()
            ears.let_through.set()
            await asking
            await caller.until_answered(PATIENCE_S)
            caller.hang_up()

        record, _ = await stack.call("c", asks)
        assert await stack.cost.check() == []
        assert len(stack.engine.invoices) == 2
    assert brain.shown[-1] == 1
    assert [said.text for said in record.transcript if said.who == "caller"] == ["hello"]
    assert record.transcript[-1].text == f"{len(brain.shown):05}"
