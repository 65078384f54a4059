"""A call id is one live call's in the whole cluster: over real databases, several nodes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayActorError

from actors import intake, live_call
from actors import keeper as keeper_module
from actors.keeper import CallKeeper
from actors.settings import Settings
from actors.storage import calls, live
from actors.storage.engine import Store
from actors.storage.live import Claim
from reception.call.journal import FENCED
from reception.call.record import CallRecord, CallSpec
from reception.errors import CallIdInUse, NotFound, Unavailable
from tests.actors.stack import Caller, Stack
from tests.actors.test_agent import House
from tests.actors.test_call_limit import Talker
from tests.unit.call.example import SPEC
from tests.waiting import PATIENCE_S, patience

NODES = ("a", "b", "c")
IN_USE = "call_id 'c1' is a live call's"


def at(node: str, session_id: str, call_id: str = "c1") -> CallSpec:
    """A call as it comes to a node."""
    spec = replace(SPEC, call_id=call_id, session_id=session_id, node_id=node, profile="")
    return replace(spec, accepted_at_s=time.time())


def over(spec: CallSpec, reason: str = "caller_hangup") -> CallRecord:
    return CallRecord(spec, "ended", "ended", "m", end_reason=reason, ended_at_s=time.time())


# ------------------------------------------------------------------ the database


@pytest.fixture
def stores(database_url: str) -> Iterator[list[Store]]:
    """One for each node, on one database."""
    opened = [Store.open(database_url) for _ in NODES]
    yield opened
    for each in opened:
        each.close()


def begin(store: Store, spec: CallSpec) -> Claim | CallIdInUse | None:
    try:
        with store.transaction() as connection:
            return live.begin(connection, spec, f"token of {spec.session_id}", 1.0)
    except CallIdInUse as error:
        return error


def test_of_calls_that_begin_at_one_instant_one_has_the_id(stores: list[Store]) -> None:
    barrier, found = threading.Barrier(len(NODES)), {}

    def node(number: int) -> None:
        for call in range(20):
            spec = at(NODES[number], f"s{call}-{number}", f"c{call}")
            barrier.wait(PATIENCE_S)
            found[call, number] = begin(stores[number], spec)

    threads = [threading.Thread(target=node, args=(number,)) for number in range(len(NODES))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    with stores[0].reading() as connection:
        places = live.places(connection)
    for call in range(20):
        outcomes = [found[call, number] for number in range(len(NODES))]
        [winner] = [each for each in outcomes if isinstance(each, Claim)]
        assert (winner.spec.session_id, winner.spec.node_id) in places
        refused = [each for each in outcomes if isinstance(each, CallIdInUse)]
        assert [(each.field, each.message) for each in refused] == [
            ("call_id", f"call_id 'c{call}' is a live call's")
        ] * 2
    assert len(places) == 20


def test_what_was_written_already_is_written_once(stores: list[Store]) -> None:
    """A commit of which nobody knows whether it succeeded is tried again."""
    a, b, _ = stores
    spec = at("a", "s1")
    assert begin(a, spec) == begin(a, spec) == Claim(spec, 1)
    assert begin(b, at("b", "s1")) is None  # the same call, at two nodes
    with b.transaction() as connection:
        found = live.find(connection, "s1")
        assert found is not None
        assert live.take(connection, found, at("b", "s1"), "t", 2.0) is not None
    assert begin(a, at("a", "s1")) is None
    assert isinstance(begin(a, at("a", "s2")), CallIdInUse)


# ------------------------------------------------------------------ what nodes keep


class Keepers:
    """Three nodes of one cluster."""

    def __init__(self, database_url: str) -> None:
        self.fenced: list[str] = []
        self.all = [CallKeeper(database_url, name, self.fenced.append) for name in NODES]
        self.a, self.b, self.c = self.all

    async def places(self) -> list[tuple[str, str]]:
        return sorted(await self.a.places())

    async def record(self) -> CallRecord | None:
        return await self.a.read(lambda calls: calls.get_call("c1"))

    def close(self) -> None:
        for each in self.all:
            each.close()


@pytest.fixture
async def nodes(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Keepers]:
    monkeypatch.setattr(keeper_module, "KEEP_S", 0.01)
    found = await asyncio.to_thread(Keepers, database_url)
    yield found
    await asyncio.to_thread(found.close)


async def test_an_id_is_free_again_as_soon_as_its_call_has_its_record(nodes: Keepers) -> None:
    await nodes.a.begin(at("a", "s1"), "one")
    with pytest.raises(CallIdInUse, match=IN_USE) as caught:
        await nodes.b.begin(at("b", "s2"), "two")
    assert caught.value.field == "call_id"
    nodes.b.forget("s2")
    assert (await nodes.places(), await nodes.a.owns("s1")) == ([("s1", "a")], True)
    await nodes.a.save_call(over(at("a", "s1")), 1)
    await nodes.b.begin(at("b", "s3"), "three")
    assert (await nodes.places(), nodes.fenced) == ([("s3", "b")], [])


async def test_a_call_that_moved_keeps_its_id_until_it_is_ended(nodes: Keepers) -> None:
    await nodes.a.begin(at("a", "s1"), "one")
    claim = await nodes.b.take(at("b", "s1"), "one")
    for keeper, node in ((nodes.a, "a"), (nodes.c, "c")):
        with pytest.raises(CallIdInUse):
            await keeper.begin(at(node, "s2"), "two")
        keeper.forget("s2")
    reaped = await nodes.c.seize("s1", "b")  # its node is lost too, and its caller stayed away
    with pytest.raises(CallIdInUse):
        await nodes.a.begin(at("a", "s3"), "three")
    assert not await nodes.b.save_call(over(claim.spec), claim.generation)
    assert await nodes.c.save_call(over(reaped.spec, "node_lost"), reaped.generation)
    await nodes.a.begin(at("a", "s4"), "four")
    assert await nodes.places() == [("s4", "a")]


async def test_many_that_begin_at_once_share_no_id(nodes: Keepers) -> None:
    """In opposite orders, and several in one commit."""
    names = [f"c{number}" for number in range(30)]
    begun: dict[str, list[str]] = {name: [] for name in names}

    async def try_it(keeper: CallKeeper, node: str, name: str) -> None:
        try:
            await keeper.begin(at(node, f"{name}-{node}", name), f"{name}-{node}")
        except CallIdInUse:
            keeper.forget(f"{name}-{node}")
        else:
            begun[name].append(node)

    orders = (names, names[::-1], names)
    async with patience():
        await asyncio.gather(
            *(
                try_it(keeper, node, name)
                for keeper, node, order in zip(nodes.all, NODES, orders, strict=True)
                for name in order
            )
        )
    assert [len(each) for each in begun.values()] == [1] * len(names)
    assert await nodes.places() == sorted(
        (f"{name}-{each[0]}", each[0]) for name, each in begun.items()
    )


async def test_an_id_whose_record_waits_is_free_on_its_node(
    nodes: Keepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await nodes.a.begin(at("a", "s1"), "one")
    with monkeypatch.context() as broken:
        broken.setattr(calls, "save_call", _is_gone)
        with pytest.raises(Unavailable):
            await nodes.a.save_call(over(at("a", "s1")), 1)
    with pytest.raises(CallIdInUse):
        await nodes.b.begin(at("b", "s2"), "two")  # it can't know
    nodes.b.forget("s2")
    await nodes.a.begin(at("a", "s3"), "three")
    assert await nodes.a.save_call(over(at("a", "s1")), 1)  # what waited
    assert (await nodes.places(), nodes.fenced) == ([("s3", "a")], [])
    record = await nodes.record()
    assert record is not None
    assert record.spec.session_id == "s1"


async def test_a_record_that_waits_frees_no_call_that_moved_on(
    nodes: Keepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await nodes.a.begin(at("a", "s1"), "one")
    await nodes.b.take(at("b", "s1"), "one")
    with monkeypatch.context() as broken:
        broken.setattr(calls, "save_call", _is_gone)
        with pytest.raises(Unavailable):
            await nodes.a.save_call(over(at("a", "s1")), 1)
    with pytest.raises(CallIdInUse):
        await nodes.a.begin(at("a", "s2"), "two")
    assert await nodes.places() == [("s1", "b")]


def _is_gone(*_: Any, **__: Any) -> bool:
    raise Unavailable("the database is gone")


async def test_a_call_that_was_never_written_and_has_lost_its_id_is_not_taken(
    nodes: Keepers,
) -> None:
    await nodes.a.begin(at("a", "s1"), "one")
    with pytest.raises(NotFound):
        await nodes.b.take(at("b", "s2"), "two")
    assert await nodes.places() == [("s1", "a")]


# ------------------------------------------------------------------ whom nodes take


async def until(true: Callable[[], bool]) -> None:
    async with patience():
        while not true():
            await asyncio.sleep(0.001)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy this machine is, a call is written down before it is accepted."""
    monkeypatch.setattr(intake, "WRITTEN_S", PATIENCE_S)


@pytest.mark.usefixtures("patient")
async def test_of_two_nodes_that_are_asked_at_one_instant_one_takes_the_call(
    nodes: Keepers, tmp_path: Path
) -> None:
    houses = [House(tmp_path, 10, name) for name in NODES[:2]]
    for house, keeper in zip(houses, nodes.all, strict=False):
        house.agent._provide(keeper, None)
    specs = [at(name, f"s-{name}") for name in NODES[:2]]
    leases = [house.agent.lease(spec) for house, spec in zip(houses, specs, strict=True)]
    outcomes = await asyncio.gather(*leases, return_exceptions=True)
    [error] = [each for each in outcomes if isinstance(each, BaseException)]
    assert isinstance(error, CallIdInUse)
    assert (error.message, error.field) == (IN_USE, "call_id")
    lost = outcomes.index(error)
    loser, winner, spec = houses[lost], houses[1 - lost], specs[1 - lost]
    session = loser.pool.sessions[0]
    await until(lambda: session.ended_for == [FENCED])
    session.end.set_result(over(specs[lost], FENCED))
    await until(lambda: loser.occupancy == (0, 0))
    assert loser.pool.given_back == [("0", False)]
    assert await loser.agent.live_calls() == ()
    assert (await loser.agent.watch(0, 0.0))[1] == ()
    assert [each.spec.session_id for each in await winner.agent.live_calls()] == [spec.session_id]
    assert await nodes.places() == [(spec.session_id, spec.node_id)]
    with pytest.raises(CallIdInUse):
        await loser.agent.lease(replace(specs[lost], session_id="s-again"))
    loser.pool.sessions[1].end.set_result(over(specs[lost], FENCED))
    await until(lambda: loser.occupancy == (0, 0))
    winner.pool.sessions[0].end.set_result(over(spec))
    await until(lambda: winner.occupancy == (0, 0))
    assert await loser.agent.lease(replace(specs[lost], session_id="s-third"))
    record = await nodes.record()
    assert record is not None
    assert record.spec.session_id == spec.session_id


class Slow(House):
    """A house whose database takes its time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, capacity=10)
        self.written: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def begin(self, spec: CallSpec, token: str) -> None:
        await super().begin(spec, token)
        await self.written

    async def changes(self) -> list[str]:
        return [kind for kind, *_ in (await self.agent.watch(0, 0.0))[1]]


@pytest.fixture
async def slow(tmp_path: Path) -> Slow:
    return Slow(tmp_path)


@pytest.mark.usefixtures("patient")
async def test_a_call_is_not_shown_before_its_id_is_its_own(slow: Slow) -> None:
    leasing = asyncio.create_task(slow.call("c1"))
    await until(lambda: bool(slow.begun))
    await until(lambda: slow.pool.sessions[0].taken_over == [None])  # it starts meanwhile
    assert (await slow.agent.live_call("c1"), await slow.agent.live_calls()) == (None, ())
    assert (await slow.changes(), leasing.done()) == ([], False)
    slow.written.set_result(None)
    await leasing
    assert await slow.agent.live_call("c1")
    assert await slow.changes() == ["started"]


@pytest.mark.parametrize("at_worker", [True, False])
async def test_a_call_that_is_accepted_before_its_id_is_known_to_be_anothers_ends(
    slow: Slow, monkeypatch: pytest.MonkeyPatch, *, at_worker: bool
) -> None:
    monkeypatch.setattr(intake, "WRITTEN_S", 0.01)
    monkeypatch.setattr(live_call, "TURN_AWAY_S", 0.3)
    monkeypatch.setattr(live_call, "TURN_AWAY_PAUSE_S", 0.001)
    slow.workers.has_call = at_worker
    spec = await slow.call("c1")
    assert await slow.changes() == ["started"]
    slow.written.set_exception(CallIdInUse.of("c1"))
    await until(lambda: bool(slow.workers.refused))
    assert slow.workers.refused[0] == ("w0", slow.lease_id, "call_id")
    session = slow.pool.sessions[0]
    if not at_worker:
        await until(lambda: session.ended_for == [live_call.IN_USE])
        assert len(slow.workers.refused) > 1  # its door was waited for
    session.end.set_result(over(spec, "internal"))
    await until(lambda: slow.occupancy == (0, 0))
    assert (session.ended_for, slow.workers.let_gone) == (
        [] if at_worker else [live_call.IN_USE],
        [],
    )
    assert (slow.saved, slow.forgotten) == ([], ["s-c1"])
    assert await slow.changes() == ["started", "ended"]


async def test_no_other_session_goes_on_with_a_refused_call(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "WRITTEN_S", 0.01)
    settled: list[str] = []

    async def settle(spec: CallSpec, *_: Any) -> int:
        settled.append(spec.session_id)
        return 5

    monkeypatch.setattr(slow.agent._has.deliveries, "settle", settle)
    await slow.call("c1")
    slow.written.set_exception(CallIdInUse.of("c1"))
    await until(lambda: bool(slow.workers.refused))
    slow.pool.sessions[0].end.set_exception(RayActorError())
    await until(lambda: slow.occupancy == (0, 0))
    assert (len(slow.pool.sessions), settled, slow.saved) == (1, ["s-c1"], [])


@pytest.mark.usefixtures("patient")
async def test_a_caller_who_hangs_up_as_the_call_is_written_down_leaves_no_call(slow: Slow) -> None:
    assert not await slow.agent.abandon_wait("s-c1")
    leasing = asyncio.create_task(slow.call("c1"))
    await until(lambda: bool(slow.begun))
    assert await slow.agent.abandon_wait("s-c1")
    await until(lambda: slow.pool.sessions[0].ended_for == ["caller_vanished"])
    slow.written.set_result(None)
    await leasing


async def test_a_refused_call_is_billed_and_its_account_closed(
    tmp_path: Path,
    sqlite_url: str,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Stack(tmp_path, monkeypatch, settings_for(sqlite_url), Talker(1)) as stack:

        async def talks(caller: Caller) -> None:
            await caller.until_answered(10)
            assert await stack._worker.refuse(caller.spec.lease_id, "in use", "call_id")

        record, caller = await stack.call("c1", talks)
        assert record.state == "ended"
        cost = await stack.cost.call_cost(caller.spec.session_id)
        assert (cost.held_micros, cost.closed) == (0, True)
        assert cost.total_micros > 0
        assert stack.invoiced().keys() == stack.billed().keys()
        assert await stack.cost.check() == []
