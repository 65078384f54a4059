"""The ledger and the provider's own invoice, after many calls that don't go smoothly.

INVOICE_CALLS=1000 makes so many calls instead of 500 on SQLite, a fifth of them on
PostgreSQL; INVOICE_SEED another story.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.pulse import Pulse
from actors.settings import Settings
from actors.storage.calls import CallStore
from reception.call.profile import Limits
from reception.call.record import CallRecord
from reception.money.invoice import Item, parse_items
from reception.money.own_count import agree
from reception.provider.base import Usage
from tests.actors.stack import MODEL, WORDS, Caller, Stack, seeded
from tests.unit.call.example import PROFILE
from voice.interfaces import CallTool, Question, Say

CALM = 60  # calls in which no socket breaks
CALLS = int(os.environ.get("INVOICE_CALLS", "500"))
SEED = int(os.environ.get("INVOICE_SEED", "1"))
AT_ONCE = 16
QUICK = Limits(prompt_after_s=20, end_after_s=20, answer_s=2.0, transfer_wait_s=1.0)


class Fickle:
    """A brain that calls functions and fails: now and then it raises, never answers, or,
    unless it is calm, takes its socket along in the middle of an answer."""

    def __init__(self, *, calm: bool = False) -> None:
        sockets = 0 if calm else 5
        self._odds = {"": 70, "tool": 8, "raises": 5, "silent": 2, "slow": 5,
                      "closes": sockets, "breaks": sockets}  # fmt: skip
        self.faults: Counter[str] = Counter()
        self.stack: Stack | None = None
        self._dice = seeded(SEED, "brain")

    async def answer(self, question: Question) -> AsyncIterator[Say | CallTool]:
        words = question.exactly
        if not words:
            fault = self._dice.choices(list(self._odds), list(self._odds.values()))[0]
            self.faults[fault] += 1
            match fault:
                case "tool" if question.turns[-1].kind == "user":
                    yield CallTool("get_opening_hours", "{}")
                    return
                case "raises":
                    raise RuntimeError("on demand")
                case "silent":
                    await asyncio.Event().wait()
                case "slow":
                    await asyncio.sleep(0.3)
                case "closes" | "breaks":
                    yield Say("y" * self._dice.randrange(1, 20))
                    await self._lose_socket(fault)
        yield Say(words or "x" * self._dice.randrange(5, 40))

    async def _lose_socket(self, how: str) -> None:
        assert self.stack is not None
        task = asyncio.current_task()
        [mine] = [each for each in self.stack.engine._live if each._answering is task]
        answer = mine._session.response
        assert answer is not None
        while self.stack.being_made().get(answer.id) != answer._audio_bytes:
            await asyncio.sleep(0.01)  # until the worker has all of it
        mine._session.handle = lambda *_: None  # type: ignore[method-assign]  # nor hears more
        if how == "closes":
            await mine._socket.close(1011, "on demand")
        mine._socket.transport.abort()
        await asyncio.sleep(1)


def behaviour(name: str) -> Callable[[Caller], object]:
    dice = seeded(SEED, name)
    questions = [dice.random() < 0.4 for _ in range(dice.randrange(1, 4))]  # cuts in

    async def behave(caller: Caller) -> None:
        for cuts_in in questions:
            if cuts_in:
                await asyncio.sleep(dice.uniform(0.05, 0.4))
            else:
                await caller.until_answered(1.5)
            caller.ask()
        await asyncio.sleep(dice.uniform(0.0, 0.8))  # often in the middle of an answer
        caller.hang_up()

    return behave


def deaths(name: str) -> tuple[float, ...]:
    """Of sessions: in a fifth of the calls."""
    dice = seeded(SEED, f"{name} deaths")
    return tuple(dice.uniform(0.05, 1.0) for _ in range(dice.choice([0] * 8 + [1, 2])))


Build = Callable[[str, Fickle], Stack]


@pytest.fixture
def build(
    tmp_path: Path, settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> Build:
    for timeout in (
        "call_end.STATS_TIMEOUT_S", "call_run.TAKE_OVER_TIMEOUT_S", "spawn.ACTOR_TIMEOUT_S",
        "call_worker.LINK_TIMEOUT_S", "session_side.TAKEOVER_S", "worker.ATTACH_TIMEOUT_S",
        "provider_leg._CANCEL_S",
    ):  # fmt: skip
        monkeypatch.setattr(f"actors.{timeout}", 60.0)
    monkeypatch.setattr("voice.server.log", SimpleNamespace(exception=lambda *_: None))

    def made(url: str, brain: Fickle) -> Stack:
        Pulse.configure(60.0)  # one process is everything here, and may be slow
        profile = replace(PROFILE, limits=QUICK)
        brain.stack = Stack(tmp_path, monkeypatch, settings_for(url), brain, profile, 8)
        return brain.stack

    return made


@pytest.mark.timeout(300 + CALLS)
async def test_they_are_the_same(build: Build, database_url: str) -> None:
    """Every answer is in both once, and with the same tokens, unless the provider's socket
    died in the middle of it: then the ledger has our own count, until it is reconciled."""
    brain = Fickle()
    count = CALLS if database_url.startswith("sqlite") else CALLS // 5
    await compared(build(database_url, brain), brain, count)
    assert brain.faults["closes"]
    assert brain.faults["breaks"]


async def test_where_no_socket_breaks_there_is_nothing_to_reconcile(
    build: Build, sqlite_url: str
) -> None:
    brain = Fickle(calm=True)
    found = await compared(build(sqlite_url, brain), brain, CALM)
    assert (found["corrected"], found["added"], found["micros"]) == (0, 0, 0)
    assert {"tool", "raises", "slow"} <= brain.faults.keys()


async def compared(stack: Stack, brain: Fickle, count: int) -> dict[str, Any]:
    """So many calls, both books after them, and what was reconciled."""
    at_once = asyncio.Semaphore(AT_ONCE)
    async with stack:

        async def call(number: int) -> tuple[CallRecord, Caller]:
            name = f"c{number}"
            async with at_once:
                return await stack.call(name, behaviour(name), deaths(name))

        calls = await asyncio.gather(*(call(number) for number in range(count)))
        # A session that dies after its last word takes its record along.
        whole = [record for record, caller in calls if not caller.summed_up or record.stats]
        ends = Counter(record.end_reason for record in whole)
        assert ends.keys() <= {"caller_hangup", "provider_unavailable"}, ends
        assert len(calls) - len(whole) <= count // 20
        billed = {response: usage for response, (_, usage) in stack.billed().items()}
        invoiced = stack.invoiced()
        assert stack.agent.later == []
        assert await stack.cost.check() == []
        records = CallStore(stack.cost._store)
        for record in whole:
            records.save_call(record)
        assert await stack.cost.verify() == []
        totals = await stack.cost.totals()
        prices = stack.cost._prices
        lost = {each for each in billed if billed[each] != invoiced.get(each)}
        estimated = sum(record.stats["usage_estimated"] for record in whole)
        differs = sum(record.stats["usage_differs"] for record in whole)
        print(
            f"\n{len(calls)} calls, {len(invoiced)} answers, {len(lost)} lost, "
            f"{estimated} by our own count, {differs} differ, {dict(brain.faults)}, "
            f"{sum(record.interruptions for record in whole)} cut"
        )
        assert billed.keys() == invoiced.keys()
        assert max(len(lost), estimated) <= brain.faults["closes"] + brain.faults["breaks"]
        ours, theirs = (
            [book[response].output_audio for response in sorted(lost)]
            for book in (billed, invoiced)
        )
        # What was on its way when a socket died was made, and never came.
        assert all(one <= other + 1 for one, other in zip(ours, theirs, strict=True))
        assert sum(map(agree, ours, theirs)) >= 0.9 * len(lost)
        assert differs == 0
        assert totals["calls"] == count

        def sum_of(bills: dict[str, Usage]) -> int:
            return sum(prices.cost(usage, MODEL, 2e9) for usage in bills.values())

        rows = stack.invoice()
        words = {row["id"]: row["seconds"] for row in rows if row["kind"] == "transcription"}
        written = stack.transcribed()
        unheard = words.keys() - written.keys()
        assert written == {item_id: words[item_id] for item_id in written}
        # Their socket died between the provider's count of them and its word of it.
        assert len(unheard) <= brain.faults["closes"] + brain.faults["breaks"]
        transcribed = sum(
            prices.transcription_cost(WORDS, seconds, 0, 0, 2e9) for seconds in written.values()
        )
        assert totals["posted_micros"] == sum_of(billed) + transcribed
        assert totals["held_micros"] == 0
        otherwise = len(lost) + stack.transcribed_by_own_count()
        return await reconciled(stack, parse_items(rows), otherwise, len(unheard))


async def reconciled(
    stack: Stack, items: tuple[Item, ...], otherwise: int, unheard: int
) -> dict[str, Any]:
    """With the whole invoice the ledger is what the provider bills, to the micro-dollar."""
    cost = stack.cost
    whole = sum(item.cost(item.model, cost._prices, 2e9) for item in items)
    before = (await cost.totals())["posted_micros"]
    found = await cost.reconcile(items, "test")
    print(
        f"{len(items)} items: {found['corrected']} corrected, {found['added']} added, "
        f"{found['micros']:+d} micro-dollars to {before}; the invoice is {whole}"
    )
    assert (found["corrected"], found["added"]) == (otherwise, unheard)
    assert 100 * abs(found["micros"]) <= whole  # so good is our own count
    assert found["differences"] == []
    totals = await cost.totals()
    assert totals["posted_micros"] == whole == before + found["micros"]
    for name in Usage.__dataclass_fields__:
        counted = totals["models"][MODEL][name]
        assert counted == sum(getattr(item.tokens, name) for item in items), name
    assert await cost.check() == []
    assert await cost.verify() == []
    again = await cost.reconcile(items, "test")
    assert (again["corrected"], again["added"], again["micros"]) == (0, 0, 0)
    assert await cost.totals() == totals
    return found
