"""The nodes as a front door sees them: agents that a test decides, over real links."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from actors.cluster_ca import ClusterCa
from actors.link import Link
from actors.link_server import LinkServer, serve
from actors.link_tls import NodeTls
from actors.membership import Cluster
from cluster.front_door import feed, nodes
from cluster.front_door.nodes import Nodes
from reception.call.record import CallRecord
from reception.errors import CallIdInUse, LimitReached, NodeLost, Unavailable
from reception.placement.balancing.report import NodeReport, encode
from reception.placement.lease import Placement
from tests.unit.call.example import SPEC
from tests.waiting import PATIENCE_S, patience

REPORT = NodeReport("a", "", 0.0, 10, 0, 0, 0.1, 0.1, 0.0, 0.0, 0.0, 0.0, True, "1")


class Agent:
    """A node: its agent's answers, and the links that others hold to it."""

    def __init__(self, node_id: str, ca: ClusterCa) -> None:
        self.node_id = node_id
        self.leased: list[str] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.credentials = ca.issue(node_id)
        self.changes: list[tuple[str, CallRecord, float]] = []
        self.links: list[Link] = []
        self.server: LinkServer
        self.refusal: Exception | None = None

    async def open(self) -> None:
        async def hold(link: Link) -> None:
            link.handle(lambda _kind, _body: None, lambda: None)
            self.links.append(link)

        self.server = await serve("tls:127.0.0.1:0", hold, NodeTls(self.credentials))

    def die(self) -> None:
        """Nothing of it is left."""
        self.server.close()
        for link in self.links:
            link.abort()

    def report(self, **fields: Any) -> bytes:
        address = self.server.address
        told = replace(REPORT, node_id=self.node_id, link_address=address, grpc_address="g")
        return encode(replace(told, **fields))

    async def lease(self, spec: Any) -> Placement:
        await self.answers.wait()
        if self.refusal is not None:
            raise self.refusal
        self.leased.append(spec.session_id)
        return Placement(self.node_id, "w", f"l-{spec.session_id}", "w0", "p", "m")

    async def watch(self, after: int, timeout_s: float) -> tuple[int, Any]:
        if after < 0:
            return len(self.changes), ()
        async with asyncio.timeout(timeout_s):
            while len(self.changes) <= after:
                await asyncio.sleep(0.01)
        return len(self.changes), tuple(self.changes[after:])


class House:
    """Three nodes; the door is on "a"."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nodes, "find", self.find)
        monkeypatch.setattr(nodes, "LINK_AGAIN_S", 0.05)
        ca = ClusterCa.create()
        self.agents = {name: Agent(name, ca) for name in "abc"}
        self.nodes = Nodes("a", "utilisation", "", timeout_s=10 * PATIENCE_S)

    def find(self, name: str) -> Agent:
        return self.agents[name.partition(":")[2]]

    def heard(self, **of: dict[str, Any]) -> None:
        reports = tuple(
            (0.1, agent.report(**of.get(name, {}))) for name, agent in self.agents.items()
        )
        self.nodes.heard(Cluster(reports, self.agents["a"].credentials))

    async def until_reachable(self, *names: str) -> None:
        async with patience():
            while set(self.nodes.reachable) != set(names):
                await asyncio.sleep(0.01)

    async def place(self, session_id: str, *, here: bool = False, lost: str = "") -> str:
        spec = replace(SPEC, session_id=session_id)
        return (await self.nodes.place(spec, "lease", here=here, lost=lost)).node_id


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    house = House(monkeypatch)
    for agent in house.agents.values():
        await agent.open()
    house.heard()
    await house.until_reachable("a", "b", "c")
    yield house
    house.nodes.close()
    for agent in house.agents.values():
        agent.die()


async def test_calls_are_shared_out_by_capacity(house: House) -> None:
    house.heard(a={"capacity": 10}, b={"capacity": 20}, c={"capacity": 40})
    for number in range(35):
        await house.place(f"s{number}")
    shares = {name: len(agent.leased) for name, agent in house.agents.items()}
    assert shares == {"a": 5, "b": 10, "c": 20}
    assert house.nodes.grpc_address("b") == "g"
    assert house.nodes.grpc_address("nobody") == ""


async def test_a_client_that_has_balanced_stays_here_unless_it_is_refused(house: House) -> None:
    assert [await house.place(f"s{number}", here=True) for number in range(4)] == ["a"] * 4
    house.agents["a"].refusal = LimitReached("full")
    assert await house.place("s9", here=True) in ("b", "c")


async def test_the_next_node_is_asked_where_one_refuses(house: House) -> None:
    house.agents["b"].refusal = LimitReached("full", retry_after_s=3.0)
    house.agents["c"].refusal = Unavailable("draining")
    assert [await house.place(f"s{number}") for number in range(6)] == ["a"] * 6
    house.agents["a"].refusal = LimitReached("full too")
    with pytest.raises((LimitReached, Unavailable)):
        await house.place("s7")
    house.agents["a"].refusal = house.agents["b"].refusal = CallIdInUse("in use")
    house.agents["c"].refusal = house.agents["a"].refusal
    with pytest.raises(CallIdInUse):
        await house.place("s8")


async def test_a_lost_node_gets_nothing_more_at_once(house: House) -> None:
    house.agents["b"].answers.clear()
    house.agents["b"].refusal = None
    waiting = [asyncio.create_task(house.place(f"s{number}")) for number in range(6)]
    await asyncio.sleep(0.1)
    assert not all(task.done() for task in waiting)
    house.agents["b"].die()
    placed = await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_S)
    assert set(placed) <= {"a", "c"}
    await house.until_reachable("a", "c")
    with pytest.raises(NodeLost, match="node b is gone"):
        await house.nodes.agent("b", "lease", SPEC)
    house.heard()  # its last report is still about
    assert {await house.place(f"t{number}") for number in range(6)} == {"a", "c"}
    assert await house.place("u", lost="c") == "a"


async def test_a_node_that_is_back_gets_calls_again(house: House) -> None:
    agent = house.agents["b"]
    agent.die()
    await house.until_reachable("a", "c")
    agent.links.clear()
    await agent.open()  # as another process, at another port
    house.heard()
    await house.until_reachable("a", "b", "c")


async def test_nodes_that_are_not_heard_of_are_forgotten(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "GONE_S", 0.3)
    async with patience():
        while {view.node_id for view in house.nodes.view()} != {"a"}:
            reports = ((0.0, house.agents["a"].report()), (0.0, b"nonsense"))
            house.nodes.heard(Cluster(reports, house.agents["a"].credentials))
            await asyncio.sleep(0.05)
    assert house.nodes.reachable == ["a"]


async def test_changes_of_every_node_come_as_one_stream(house: House) -> None:
    record = CallRecord(SPEC, "active", "listening", "m")
    house.agents["b"].changes.append(("started", record, 1.0))  # before anybody listened
    async with aclosing(await feed.changes(house.nodes)) as stream:
        for name in "abc":
            house.agents[name].changes.append((f"changed {name}", record, 2.0))
        told = [(await asyncio.wait_for(anext(stream), PATIENCE_S))[0] for _ in range(3)]
    assert sorted(told) == ["changed a", "changed b", "changed c"]


@pytest.mark.parametrize(
    "balancing", ["by_size", "utilisation", "smooth_weighted", "least_request"]
)
async def test_seven_hundred_calls_are_shared_out_by_weight(house: House, balancing: str) -> None:
    house.nodes.close()
    house.nodes = Nodes("a", balancing, "", timeout_s=PATIENCE_S)
    sizes = {"a": 1_000, "b": 2_000, "c": 4_000}
    capacities: dict[str, Any] = {name: {"capacity": size} for name, size in sizes.items()}
    house.heard(**capacities)
    await house.until_reachable("a", "b", "c")
    for number in range(700):
        await house.place(f"s{number}")
    shares = {name: len(agent.leased) for name, agent in house.agents.items()}
    assert shares == pytest.approx({"a": 100, "b": 200, "c": 400}, rel=0.02)
