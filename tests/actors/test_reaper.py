"""Calls that nobody has any more end once, with a record, over real databases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

import pytest

from actors import checkpoint
from actors.checkpoint import Checkpoint
from actors.keeper import CallKeeper
from actors.reaper import NODE_LOST, Reaper
from reception.call import messages as m
from reception.call.record import CallRecord, CallSpec
from reception.errors import Unavailable
from reception.provider import base as p
from tests.unit.call.example import PHRASES, SPEC, conversation
from tests.waiting import patience

WAIT_S = 20.0


class House:
    """Node "a" with its reaper, and node "b", whose calls are looked at."""

    def __init__(self, database_url: str) -> None:
        self.fenced: list[str] = []
        self.a = CallKeeper(database_url, "a", self.fenced.append)
        self.b = CallKeeper(database_url, "b", self.fenced.append)
        self.alive = {"a", "b"}
        self.here: set[str] = set()
        self.settled: list[tuple[str, list[m.Work]]] = []
        self.cost: int | None = 700
        self.reapers = [self._reaper(self.a, "a"), self._reaper(self.b, "b")]

    def _reaper(self, keeper: CallKeeper, node_id: str) -> Reaper:
        return Reaper(keeper, node_id, WAIT_S, self.who_lives, self.here.__contains__, self.settle)

    async def who_lives(self) -> set[str]:
        return self.alive

    async def settle(self, spec: CallSpec, pending: Iterable[m.Work]) -> int | None:
        self.settled.append((spec.session_id, list(pending)))
        return self.cost

    async def look(self, now_s: float) -> int:
        return await self.reapers[0].look(now_s)

    async def record(self, call_id: str = SPEC.call_id) -> CallRecord | None:
        return await self.a.read(lambda calls: calls.get_call(call_id))

    def close(self) -> None:
        self.a.close()
        self.b.close()


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    house = await asyncio.to_thread(House, database_url)
    yield house
    await asyncio.to_thread(house.close)


def at(node: str, name: str = "c1") -> CallSpec:
    return replace(SPEC, call_id=name, session_id=f"s-{name}", node_id=node)


def state() -> bytes:
    """Of a call whose greeting was said, while its bill was on the way."""
    talk = conversation()
    talk.start(100.0)
    talk.handle(m.ProviderUp(), 101.0)
    greeting = p.AssistantTranscript("r1", "i1", PHRASES.greeting, final=True)
    talk.handle(m.FromProvider(greeting), 101.0)
    made = p.ResponseDone("r1", "completed", usage=REPORT.usage)
    assert talk.handle(m.FromProvider(made), 101.0) == [REPORT]
    legs: tuple[dict[str, int], dict[str, int]] = ({}, {"frames_in": 9})
    state = Checkpoint(talk.checkpoint(), 500, 0, True, 100.0, 101.0, 1_001.0, legs, "pcmu")
    return checkpoint.dumps(state)


REPORT = m.ReportUsage("r1", p.Usage(output_audio=20), "m")


async def keep(keeper: CallKeeper, spec: CallSpec, found: bytes) -> None:
    await keeper.begin(spec, "token")
    keeper.keep(spec.session_id, found)
    writing = asyncio.create_task(keeper.keep_writing())
    async with patience():
        while (await keeper.by_token("token", spec.key_id)).checkpoint != found:
            await asyncio.sleep(0.01)
    writing.cancel()


async def test_a_call_of_a_lost_node_ends_with_all_that_is_known_of_it(house: House) -> None:
    await keep(house.b, at("b"), state())
    assert await house.look(0.0) == 0
    house.alive = {"a"}
    assert await house.look(100.0) == 0  # its caller may come back
    assert await house.look(100.0 + WAIT_S - 0.1) == 0
    before_s = time.time()
    assert await house.look(100.0 + WAIT_S) == 1
    record = await house.record()
    assert record is not None
    assert (record.state, record.end_reason, record.cost_micros) == ("ended", NODE_LOST, 700)
    assert (record.ended_at_s or 0.0) >= before_s
    assert [said.text for said in record.transcript] == [PHRASES.greeting]
    assert record.spec.node_id == "a"
    assert house.settled == [("s-c1", [REPORT])]
    assert await house.a.places() == []
    assert await house.look(200.0) == 0


async def test_two_that_look_end_a_call_once(house: House) -> None:
    await house.b.begin(at("z"), "token")
    for reaper in house.reapers:
        await reaper.look(0.0)
    assert sum(await asyncio.gather(*(each.look(WAIT_S) for each in house.reapers))) == 1
    assert len(house.settled) == 1


async def test_a_node_that_wakes_up_has_lost_its_calls(house: House) -> None:
    await house.b.begin(at("b"), "token")
    house.alive = {"a"}
    await house.look(0.0)
    assert await house.look(WAIT_S) == 1
    late = CallRecord(at("b"), "ended", "ended", "m", end_reason="caller_hangup")
    assert await house.b.save_call(late, 1)  # it is over: nothing to be done
    record = await house.record()
    assert record is not None
    assert record.end_reason == NODE_LOST


async def test_a_node_that_was_silent_for_a_moment_keeps_its_calls(house: House) -> None:
    await house.b.begin(at("b"), "token")
    house.alive = {"a"}
    await house.look(0.0)
    house.alive = {"a", "b"}
    await house.look(WAIT_S / 2)
    house.alive = {"a"}
    assert await house.look(WAIT_S) == 0
    assert await house.look(2 * WAIT_S) == 1


async def test_while_nobody_knows_which_nodes_live_none_is_lost(house: House) -> None:
    await house.b.begin(at("b"), "token")
    house.alive = {"a"}
    await house.look(0.0)
    house.alive = set()  # the health singleton was restarted
    with pytest.raises(Unavailable, match="which nodes live"):
        await house.look(WAIT_S / 2)
    house.alive = {"a"}
    assert await house.look(WAIT_S) == 0
    assert await house.look(2 * WAIT_S - 0.1) == 0
    assert house.settled == []


async def test_what_is_left_over_of_a_nodes_own_calls_ends_too(house: House) -> None:
    house.here.add("s-live")
    await house.a.begin(at("a", "live"), "one")
    await house.a.begin(at("a", "left"), "two")
    await house.look(0.0)
    assert await house.look(WAIT_S) == 1
    assert await house.a.places() == [("s-live", "a")]
    assert house.settled == [("s-left", [])]


async def test_a_state_that_nobody_can_read_leaves_a_record_all_the_same(house: House) -> None:
    await keep(house.b, at("b"), b"of another version")
    house.alive, house.cost = {"a"}, None
    await house.look(0.0)
    assert await house.look(WAIT_S) == 1
    record = await house.record()
    assert record is not None
    assert (record.end_reason, record.cost_micros, record.transcript) == (NODE_LOST, 0, ())


async def test_it_looks_again_and_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.reaper.LOOK_S", 0.01)
    house.reapers[0]._wait_s = 0.05
    house.alive = set()
    await house.b.begin(at("b"), "token")
    running = asyncio.create_task(house.reapers[0].run())
    await asyncio.sleep(0.05)
    assert not running.done()
    house.alive = {"a"}
    async with patience():
        while not await house.record():
            await asyncio.sleep(0.01)
    running.cancel()
