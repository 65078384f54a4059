"""The faults. Each says what it does to a cluster with live calls, and how that heals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import psutil

from cluster.chaos.asking import known_to, status
from cluster.chaos.caller import ChaosCaller
from cluster.chaos.databases import Database
from cluster.chaos.history import Newcomer
from cluster.chaos.newcomer import knock
from cluster.chaos.provider import Provider
from cluster.local import LocalCluster, Member
from reception.errors import Unavailable

COST_AWAY_S = 8.0
COST_BACK_S = 60.0
FROZEN_S = 4.0  # twice what links give a node; Ray would give it up after 6
DATABASE_GONE_S = 30.0
KNOCKS_S = 5.0  # after the database is gone
DIES_S = JOINS_S = 30.0
LOOK_S = 0.2
WORKER_MS, NODE_MS = 1_500.0, 4_000.0  # of silence that the loss of one may add
IDLE_S = 15.0  # REALTIME_IDLE_TIMEOUT_S


@dataclass(slots=True)
class Scene:
    """What a fault finds: the cluster, its provider, the callers, and chance."""

    cluster: LocalCluster
    provider: Provider
    database: Database
    callers: Sequence[ChaosCaller] = ()
    rng: Random = field(default_factory=Random)

    def nodes(self) -> list[Member]:
        """Those that take calls."""
        return [each for each in self.cluster.nodes if each.said and each.process.poll() is None]

    def node_of(self, caller: ChaosCaller) -> Member:
        """The node that serves a call, as far as its caller was told."""
        for node in self.nodes():
            if node.node_id == caller.node_id:
                return node
        return self.rng.choice(self.nodes())

    def through(self, node: Member) -> tuple[str, ...]:
        """The calls that a node serves, or that came in at its door."""
        return tuple(
            caller.call_id
            for caller in self.callers
            if node.node_id == caller.node_id or node.grpc_address == caller.door
        )

    def everybody(self) -> tuple[str, ...]:
        """All calls."""
        return tuple(caller.call_id for caller in self.callers)

    def busy(self) -> Member:
        """A node with live calls."""
        return self.node_of(self.rng.choice(self.callers))

    def some(self) -> list[ChaosCaller]:
        """A third of the callers, one at least."""
        return self.rng.sample(list(self.callers), max(1, len(self.callers) // 3))


@dataclass(frozen=True, slots=True)
class Struck:
    """What a fault did, and which calls run through what it struck; who called meanwhile
    and could not be taken."""

    what: str
    hit: tuple[str, ...]
    newcomers: tuple[Newcomer, ...] = ()


Strike = Callable[[Scene], Awaitable[Struck]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What may happen.

    Attributes:
        what: it does.
        heals: how the calls go on.
        within_s: silence that begins so long after it is its doing; then all is well.
        strike: does it; says to whom.
        cables: callers' connections can be cut.
        most_ms: of silence that it may add for a listener; 0: nothing is promised.
    """

    name: str
    what: str
    heals: str
    within_s: float
    strike: Strike
    cables: bool = False
    most_ms: float = 0.0


def _kill(processes: Sequence[psutil.Process]) -> str:
    """SIGKILL, all at once."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return ", ".join(f"process {process.pid}" for process in processes)


def _one(kind: str) -> Strike:
    async def strike(scene: Scene) -> Struck:
        node = scene.busy()
        hit = scene.through(node)
        found = await asyncio.to_thread(node.processes, kind)
        if not found:
            raise Unavailable(f"node {node.node_id} has no process of {kind}")
        return Struck(f"{kind} of {node.node_id}: {_kill([scene.rng.choice(found)])}", hit)

    return strike


def _singleton(kind: str) -> Strike:
    async def strike(scene: Scene) -> Struck:
        found = await asyncio.to_thread(scene.cluster.head.processes, kind)
        if not found:
            raise Unavailable(f"there is no {kind} on the head")
        return Struck(f"{kind}: {_kill(found)}", scene.everybody())

    return strike


async def _cost_away(scene: Scene) -> Struck:
    """Ray starts it again each time."""
    until_s, killed = time.monotonic() + COST_AWAY_S, 0
    while time.monotonic() < until_s:
        found = await asyncio.to_thread(scene.cluster.head.processes, "CostController")
        killed += len(found)
        _kill(found)
        await asyncio.sleep(0.05)
    if not killed:
        raise Unavailable("there is no CostController on the head")
    await _cost_is_back(scene)
    return Struck(f"CostController: {killed} times", scene.everybody())


async def _cost_is_back(scene: Scene) -> None:
    """A busy machine takes 15 s and more to start it."""
    until_s = time.monotonic() + COST_BACK_S
    while True:
        try:
            await status(scene.nodes()[0])  # with all money
        except Unavailable:
            if time.monotonic() > until_s:
                raise
            await asyncio.sleep(LOOK_S)
        else:
            return


async def _session(scene: Scene) -> Struck:
    caller = scene.rng.choice(scene.callers)
    node = scene.node_of(caller)
    told = (await status(node))["node"]
    name = next((each for each, call in told["sessions"].items() if call == caller.call_id), "")
    if not name:
        raise Unavailable(f"no session of {node.node_id} has the call {caller.call_id}")
    os.kill(told["processes"][name], signal.SIGKILL)
    return Struck(f"{name} with {caller.call_id}", (caller.call_id,))


async def _agent(scene: Scene) -> Struck:
    """`serve` ends then; what it leaves behind is dead with it."""
    node = scene.busy()
    hit = scene.through(node)
    rest = await asyncio.to_thread(node.processes)
    agent = await asyncio.to_thread(node.processes, "NodeAgent")
    told = _kill(agent)

    def wait() -> None:
        node.process.wait(DIES_S)
        _kill([process for process in rest if process.is_running()])

    await asyncio.to_thread(wait)
    return Struck(f"agent of {node.node_id}: {told}", hit)


async def _node_lost(scene: Scene) -> Struck:
    node = scene.busy()
    hit = scene.through(node)
    await asyncio.to_thread(node.lose)
    return Struck(node.node_id, hit)


async def _node_frozen(scene: Scene) -> Struck:
    node = scene.busy()
    hit = scene.through(node)
    await asyncio.to_thread(node.send, signal.SIGSTOP)
    try:
        await asyncio.sleep(FROZEN_S)
    finally:
        await asyncio.to_thread(node.send, signal.SIGCONT)
    return Struck(node.node_id, hit)


async def _node_leaves(scene: Scene) -> Struck:
    node = scene.busy()
    hit = scene.through(node)
    await asyncio.to_thread(node.leave)
    return Struck(node.node_id, hit)


async def _rolling(scene: Scene) -> Struck:
    """As a new version is brought in: for each node another comes first."""
    old = scene.nodes()
    for node in old:
        [new] = await asyncio.to_thread(scene.cluster.add)
        await _known(new, scene)
        await asyncio.to_thread(node.leave)
    return Struck(", ".join(node.node_id for node in old), scene.everybody())


async def _known(new: Member, scene: Scene) -> None:
    """Until every other node has heard of a new one."""
    until_s = time.monotonic() + JOINS_S
    while time.monotonic() < until_s:
        found = await asyncio.gather(*(known_to(node) for node in scene.nodes()))
        if all(new.node_id in known for known in found):
            return
        await asyncio.sleep(LOOK_S)
    raise Unavailable(f"node {new.node_id} is not known within {JOINS_S:g} s")


async def _provider(scene: Scene) -> Struck:
    scene.provider.drop()
    return Struck("every session", scene.everybody())


async def _vanish(scene: Scene) -> Struck:
    gone = scene.some()
    for caller in gone:
        caller.vanish()
    hit = tuple(caller.call_id for caller in gone)
    return Struck(", ".join(hit), hit)


async def _cut(scene: Scene) -> Struck:
    cut = scene.some()
    for caller in cut:
        caller.cut()
    hit = tuple(caller.call_id for caller in cut)
    return Struck(", ".join(hit), hit)


async def _database(scene: Scene) -> Struck:
    """Meanwhile somebody knocks at every door."""
    way = scene.rng.choice(scene.database.ways)
    away = asyncio.create_task(asyncio.to_thread(scene.database.away, way, DATABASE_GONE_S))
    await asyncio.sleep(KNOCKS_S)
    doors = [node.grpc_address for node in scene.nodes()]
    asked = await asyncio.gather(*(knock(door, f"meanwhile-{door}") for door in doors))
    await away
    return Struck(f"{way} for {DATABASE_GONE_S:g} s", scene.everybody(), tuple(asked))


_ALL = (
    Fault("session", "SIGKILL of a call session", "its node leases the call another one", 4.0,
          _session),
    Fault("worker", "SIGKILL of an audio worker", "its calls dial again on another one", 8.0,
          _one("AudioWorker"), most_ms=WORKER_MS),
    Fault("front_door", "SIGKILL of a front door",
          "callers come back at the next door with their resume tokens", 8.0, _one("FrontDoor")),
    Fault("agent", "SIGKILL of a node's agent",
          "the node ends; its calls go on at other nodes", 10.0, _agent, most_ms=NODE_MS),
    Fault("node_lost", "SIGKILL of everything of a node",
          "doors take its calls to other nodes; callers of its door come back elsewhere", 8.0,
          _node_lost, most_ms=NODE_MS),
    Fault("node_frozen", f"SIGSTOP of a node for {FROZEN_S:g} s",
          "as node_lost; waking up, it finds that its calls are others'", 8.0, _node_frozen,
          most_ms=NODE_MS),
    Fault("node_leaves", "SIGTERM of a node", "it hands its calls over", 8.0, _node_leaves),
    Fault("rolling_restart", "every node leaves in turn, after another has come in its place",
          "as node_leaves", 8.0, _rolling),
    Fault("cost", "SIGKILL of the cost controller", "Ray starts it again", 8.0,
          _singleton("CostController")),
    Fault("cost_away", f"SIGKILL of the cost controller again and again for {COST_AWAY_S:g} s",
          "calls go on; new ones begin on what their door has leased", 10.0, _cost_away),
    Fault("security", "SIGKILL of the security guard", "Ray starts it again", 8.0,
          _singleton("SecurityGuard")),
    Fault("health", "SIGKILL of the health monitor", "Ray starts it again", 8.0,
          _singleton("HealthMonitor")),
    Fault("provider", "the provider breaks every session", "calls dial again", 8.0, _provider),
    Fault("caller_vanishes", "a third of the callers send and read nothing any more",
          f"the door ends their calls after {IDLE_S:g} s", IDLE_S + 4.0, _vanish, cables=True),
    Fault("stream_cut", "the connections of a third of the callers break",
          "they come back at another door with their resume tokens", 8.0, _cut, cables=True),
    Fault("database", f"nobody can write to the database for {DATABASE_GONE_S:g} s",
          "calls go on, what is to be written is kept; new calls are refused", 8.0, _database),
)  # fmt: skip
FAULTS = {fault.name: fault for fault in _ALL}
