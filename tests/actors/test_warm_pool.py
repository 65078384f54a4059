"""The warm pool's shell with sessions that are no processes; no Ray runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.exceptions import RayActorError

from actors import warm_pool
from actors.assignment import Assignment
from actors.memory import node_memory, proportional_mb, resident_mb
from actors.spawn import Remote
from actors.warm_pool import WarmPool
from reception.errors import CallIdInUse, LimitReached, ReceptionError, Unavailable
from reception.placement.pool import PoolRules
from reception.placement.sizer import NodeMemory, SizerRules
from tests.waiting import PATIENCE_S, patience, until


class FakeSession:
    """What a handle of a session offers; started when the test says so."""

    def __init__(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self.up: asyncio.Future[int] = loop.create_future()
        self.stopped: asyncio.Future[None] = loop.create_future()
        self.killed = False
        self.rehearsed = 0

    async def warm_up(self) -> int:
        return await self.up

    async def until_stopped(self) -> None:
        await self.stopped

    async def rehearse(self, _: Any) -> None:
        self.rehearsed += 1

    def kill(self) -> None:
        self.killed = True
        self.die()

    def die(self) -> None:
        if not self.stopped.done():
            self.stopped.set_exception(RayActorError())
            self.stopped.exception()


class House:
    """A warm pool and the sessions it started, by number from 1."""

    def __init__(self, rules: PoolRules, sizing: SizerRules | None = None) -> None:
        self.sessions: list[FakeSession] = []
        self.at_once = True
        self.rehearsal: Any = None
        self.pool = WarmPool(
            "n", rules, sizing or SizerRules(), lambda: self.rehearsal, self._spawn
        )

    def _spawn(self, name: str) -> Remote:
        session = FakeSession(name)
        self.sessions.append(session)
        if self.at_once:
            session.up.set_result(0)
        return cast(Remote, session)


async def settled() -> None:
    """Everything that can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_pool, "REFILL_AFTER_S", 0.0)
    monkeypatch.setattr(warm_pool, "START_AGAIN_S", 0.0)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """One session up; a second would be started only on request."""
    made = House(PoolRules(1, 2, longest_wait_s=3.0), SizerRules(start_s=0.5))
    await made.pool.start(1)
    made.at_once = False
    yield made
    made.pool.kill()
    await settled()


async def test_a_replacement_is_started_when_calls_have_stopped_coming(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0
    monkeypatch.setattr(warm_pool, "time", SimpleNamespace(monotonic=lambda: now_s))
    monkeypatch.setattr(warm_pool, "QUIET_S", 0.02)
    monkeypatch.setattr(warm_pool, "REFILL_AFTER_S", 10.0)
    house = House(PoolRules(3, 6))
    await house.pool.start(3)
    for number in range(3):
        now_s += 0.015
        await house.pool.lease(str(number))
        await asyncio.sleep(0.05)  # it looks, and by its clock it is too early
        assert len(house.sessions) == 3
    now_s += 0.02
    async with patience():
        while len(house.sessions) < 6:
            await asyncio.sleep(0.01)
    house.pool.kill()
    await settled()


async def test_a_replacement_is_started_in_time_though_calls_go_on_coming(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warm_pool, "QUIET_S", 10 * PATIENCE_S)
    monkeypatch.setattr(warm_pool, "REFILL_AFTER_S", 0.2)
    house = House(PoolRules(1, 4))
    await house.pool.start(1)
    await house.pool.lease("a")
    async with patience():
        while len(house.sessions) < 2:
            await asyncio.sleep(0.01)
    house.pool.kill()
    await settled()


async def test_a_lease_is_at_once_and_a_replacement_is_started(house: House) -> None:
    assert await house.pool.lease("a") == "session:n-1"
    await settled()
    assert house.pool.counts() == {"ready": 0, "leased": 1, "starting": 1}
    house.sessions[1].up.set_result(0)
    await settled()
    assert house.pool.counts() == {"ready": 1, "leased": 1, "starting": 0}
    assert house.pool.names() == ["session:n-1", "session:n-2"]
    assert house.pool.handle("session:n-1") is cast(Remote, house.sessions[0])


async def test_those_who_wait_are_served_in_their_order(house: House) -> None:
    await house.pool.lease("a")
    second = asyncio.create_task(house.pool.lease("b"))
    await settled()
    third = asyncio.create_task(house.pool.lease("c"))
    await settled()
    ticket = house.pool.ticket("c")
    assert ticket is not None
    assert (ticket.position, house.pool.stats()["waiting"]) == (2, 2)
    house.pool.give_back("session:n-1")
    assert await second == "session:n-1"
    house.sessions[1].up.set_result(0)
    assert await third == "session:n-2"
    assert house.pool.stats()["waiting"] == 0


async def test_who_is_cancelled_while_waiting_leaves_no_trace(house: House) -> None:
    await house.pool.lease("a")
    waits = asyncio.create_task(house.pool.lease("b"))
    await settled()
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    assert (house.pool.ticket("b"), house.pool.stats()["waiting"]) == (None, 0)
    house.pool.give_back("session:n-1")
    assert house.pool.counts()["ready"] == 1
    assert await house.pool.lease("c") == "session:n-1"


async def test_a_session_that_comes_as_its_caller_is_cancelled_goes_to_the_next(
    house: House,
) -> None:
    await house.pool.lease("a")
    leaves = asyncio.create_task(house.pool.lease("b"))
    stays = asyncio.create_task(house.pool.lease("c"))
    await settled()
    house.pool.give_back("session:n-1")  # b has it, and has not run since
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    assert await stays == "session:n-1"


async def test_a_session_that_comes_after_its_caller_was_cancelled_goes_to_the_next(
    house: House,
) -> None:
    await house.pool.lease("a")
    leaves = asyncio.create_task(house.pool.lease("b"))
    stays = asyncio.create_task(house.pool.lease("c"))
    await settled()
    leaves.cancel()  # it has not run since
    house.pool.give_back("session:n-1")
    assert await stays == "session:n-1"
    assert leaves.cancelled()


async def test_who_gives_up_waiting_is_told_and_gone(house: House) -> None:
    await house.pool.lease("a")
    waits = asyncio.create_task(house.pool.lease("b"))
    await settled()
    assert house.pool.give_up("b")
    assert not house.pool.give_up("b")
    assert not house.pool.give_up("nobody")
    assert house.pool.stats()["waiting"] == 0
    with pytest.raises(Unavailable, match="gave up"):
        await waits


async def test_a_caller_waits_in_one_place_only(house: House) -> None:
    await house.pool.lease("a")
    waits = asyncio.create_task(house.pool.lease("b"))
    await settled()
    with pytest.raises(CallIdInUse):
        await house.pool.lease("b")
    house.pool.give_back("session:n-1")
    assert await waits == "session:n-1"


async def test_a_wait_that_would_be_too_long_is_refused_with_a_time() -> None:
    house = House(PoolRules(1, 1, longest_wait_s=2.0), SizerRules(holding_s=100.0))
    await house.pool.start(1)
    await house.pool.lease("a")
    with pytest.raises(LimitReached, match="busy") as refused:
        await house.pool.lease("b")  # one comes back in 100 s
    assert refused.value.retry_after_s == 60.0


async def test_a_live_call_waits_where_a_new_one_is_refused_unless_another_node_may_do() -> None:
    house = House(PoolRules(1, 1, longest_wait_s=2.0), SizerRules(holding_s=100.0))
    await house.pool.start(1)
    await house.pool.lease("a")
    with pytest.raises(LimitReached, match="no session of this node is ready"):
        await house.pool.lease("b", live=True, patient=False)
    waits = asyncio.create_task(house.pool.lease("b", live=True))
    await settled()
    house.pool.give_back("session:n-1")
    assert await waits == "session:n-1"


async def test_a_wait_that_was_too_long_is_refused_with_a_time() -> None:
    house = House(PoolRules(1, 1, longest_wait_s=0.02), SizerRules(holding_s=0.01))
    await house.pool.start(1)
    await house.pool.lease("a")
    with pytest.raises(LimitReached, match="busy") as refused:
        await house.pool.lease("b")
    assert refused.value.retry_after_s == 1.0
    assert house.pool.stats()["waiting"] == 0


async def test_a_burst_is_served_or_refused_and_nobody_is_lost() -> None:
    house = House(PoolRules(8, 60, longest_wait_s=4.0), SizerRules(start_s=0.5))
    await house.pool.start(8)
    house.at_once = False
    calls = [asyncio.create_task(house.pool.lease(f"c{number}")) for number in range(200)]
    await settled()
    waiting = house.pool.stats()["waiting"]
    assert 1 <= waiting <= 52  # of a hundred and ninety-two, and within the ceiling
    while house.pool.stats()["waiting"]:
        house.sessions[-1].up.set_result(0)
        await settled()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    served = [each for each in ends if isinstance(each, str)]
    refused = [each for each in ends if isinstance(each, LimitReached)]
    assert len(served) == len(set(served)) == 8 + waiting
    assert len(refused) == 200 - len(served)
    assert all(1.0 <= each.retry_after_s <= 60.0 for each in refused)
    house.pool.kill()


@pytest.mark.parametrize("limit_mb", [1.0, 1e6])
async def test_a_session_that_has_grown_is_replaced(
    limit_mb: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_pool, "resident_mb", lambda pid: {0: 0.0, 7: 150.0}[pid])
    house = House(PoolRules(1, 2, session_limit_mb=limit_mb))
    house.at_once = False
    starts = asyncio.create_task(house.pool.start(1))
    await settled()
    house.sessions[0].up.set_result(7)
    await starts
    await house.pool.lease("a")
    house.pool.give_back("session:n-1")
    assert house.sessions[0].killed == (limit_mb == 1.0)
    house.pool.kill()


async def test_dead_sessions_are_replaced_ready_or_leased(house: House) -> None:
    house.at_once = True
    house.sessions[0].die()
    await settled()
    assert house.pool.names() == ["session:n-2"]
    assert await house.pool.lease("a") == "session:n-2"
    house.sessions[1].die()
    house.pool.give_back("session:n-2", dead=True)
    with pytest.raises(Unavailable):
        house.pool.handle("session:n-2")
    await settled()
    assert house.pool.counts()["leased"] == 0
    assert house.pool.counts()["ready"] >= 1


async def test_a_session_that_does_not_start_is_tried_again(house: House) -> None:
    await house.pool.lease("a")
    await settled()
    house.sessions[1].up.set_exception(RayActorError())
    await settled()
    assert house.sessions[1].killed
    assert len(house.sessions) == 3
    house.sessions[2].up.set_result(0)
    await settled()
    assert house.pool.counts() == {"ready": 1, "leased": 1, "starting": 0}


async def test_an_unused_session_goes_to_who_waits(house: House) -> None:
    await house.pool.lease("a")
    waits = asyncio.create_task(house.pool.lease("b"))
    await settled()
    house.pool.unused("session:n-1")
    assert await waits == "session:n-1"


async def test_sessions_are_rehearsed_before_they_serve() -> None:
    house = House(PoolRules(3, 3))
    await house.pool.start(2)
    assert [session.rehearsed for session in house.sessions] == [0, 0]
    house.rehearsal = cast(Assignment, "rehearsal")
    await house.pool.serve()
    await settled()
    assert [session.rehearsed for session in house.sessions] == [1, 1, 1]
    house.pool.kill()
    await settled()


async def test_a_pool_that_is_too_large_shrinks(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(PoolRules(2, 10), SizerRules(shrink_s=0.0, memory_percent=100.0))
    house.pool._pool.resize(8, 10)
    await house.pool.start(8)
    monkeypatch.setattr(warm_pool, "node_memory", lambda: NodeMemory(0.0, 1e6))
    house.pool.resize()
    assert sum(session.killed for session in house.sessions) == 2  # a quarter of five
    await settled()
    assert len(house.pool.names()) == house.pool.counts()["ready"] == 6
    house.pool.kill()


async def test_memory_past_its_threshold_stops_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(PoolRules(4, 10))
    await house.pool.start(1)
    monkeypatch.setattr(warm_pool, "node_memory", lambda: NodeMemory(900.0, 1_000.0))
    await house.pool.serve()
    await settled()
    assert len(house.sessions) == 1
    assert "ceiling" in house.pool.stats()["reason"]
    house.pool.kill()
    await settled()


class Crowded:
    """A node whose memory has room for no session more, or is past its threshold."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, sessions: int) -> None:
        self.weights_mb = dict.fromkeys(range(1, sessions + 1), 100.0)
        self.used_mb = 799.0
        monkeypatch.setattr(warm_pool, "resident_mb", lambda pid: self.weights_mb[pid])
        monkeypatch.setattr(warm_pool, "node_memory", lambda: NodeMemory(self.used_mb, 1_000.0))
        monkeypatch.setattr(warm_pool, "RESIZE_EVERY_S", 0.01)

    async def house(self, floor: int, grown_mb: dict[int, float]) -> House:
        """As many sessions as the floor, which have had a call and grown."""
        house = House(PoolRules(floor, 10))
        house.at_once = False
        starts = asyncio.create_task(house.pool.start(floor))
        await settled()
        for pid, session in enumerate(house.sessions, 1):
            session.up.set_result(pid)
        await starts
        await house.pool.serve()
        await settled()
        leased = [await house.pool.lease(str(number)) for number in range(floor)]
        self.weights_mb |= grown_mb
        for session_name in leased:
            house.pool.give_back(session_name)
        return house


async def test_where_memory_is_short_sessions_that_grew_are_recycled_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two ready, which is the floor: a new one first, then the largest goes."""
    node = Crowded(monkeypatch, 4)
    house = await node.house(2, {1: 130.0, 2: 150.0})
    await asyncio.sleep(0.1)  # it looks several times
    assert len(house.sessions) == 2
    node.used_mb = 900.0
    for number, left in ((3, {1, 3}), (4, {3, 4})):
        await until(lambda: len(house.sessions), number.__eq__)
        await asyncio.sleep(0.1)
        assert house.pool.counts() == {"ready": 2, "leased": 0, "starting": 1}
        house.sessions[-1].up.set_result(number)
        names = {f"session:n-{each}" for each in left}
        await until(lambda: set(house.pool.names()), names.__eq__)
    await asyncio.sleep(0.1)
    assert len(house.sessions) == 4  # none of those two has grown
    assert [session.killed for session in house.sessions] == [True, True, False, False]
    house.pool.kill()
    await settled()


async def test_a_session_that_grew_stays_where_no_other_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = Crowded(monkeypatch, 1)
    house = await node.house(1, {1: 200.0})
    node.used_mb = 900.0
    for tries in (2, 3):
        await until(lambda: len(house.sessions), tries.__eq__)
        house.sessions[-1].up.set_exception(RayActorError())
    await until(lambda: len(house.sessions) == 4)
    assert house.sessions[2].killed
    assert house.pool.names() == ["session:n-1"]
    assert house.pool.counts() == {"ready": 1, "leased": 0, "starting": 1}
    house.pool.kill()
    await settled()


async def test_a_closed_pool_starts_nothing_and_tells_who_waits(house: House) -> None:
    await house.pool.lease("a")
    waits = asyncio.create_task(house.pool.lease("b"))
    await settled()
    house.pool.close()
    with pytest.raises(ReceptionError, match="no more calls"):
        await waits
    starting = house.sessions[1]
    house.pool.kill()
    await settled()
    assert starting.killed
    assert house.sessions[0].killed
    assert len(house.sessions) == 2


# ---------------------------------------------------------------- memory


def test_memory_is_the_machines_or_the_containers(tmp_path: Path) -> None:
    machine = node_memory(tmp_path)
    assert 0 < machine.used_mb < machine.total_mb
    (tmp_path / "memory.max").write_text("max\n")
    assert node_memory(tmp_path).total_mb == machine.total_mb
    (tmp_path / "memory.max").write_text(f"{64 * 2**20}\n")
    (tmp_path / "memory.current").write_text(f"{48 * 2**20}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {8 * 2**20}\n")
    assert node_memory(tmp_path) == NodeMemory(40.0, 64.0)
    (tmp_path / "memory.stat").write_text("anon 1\n")
    assert node_memory(tmp_path).total_mb == machine.total_mb


def test_processes_are_weighed_while_they_are_there() -> None:
    import os

    assert 1.0 < proportional_mb(os.getpid()) <= resident_mb(os.getpid())
    assert (resident_mb(2**22 + 1), proportional_mb(2**22 + 1)) == (0.0, 0.0)


async def test_what_is_leased_is_known_until_it_is_given_back(house: House) -> None:
    assert house.pool.leased() == frozenset()
    session = await house.pool.lease("a")
    assert house.pool.leased() == {session}
    house.pool.unused(session)
    assert house.pool.leased() == frozenset()
    session = await house.pool.lease("b")
    house.pool.give_back(session, dead=True)
    assert house.pool.leased() == frozenset()
    assert house.sessions[0].killed
