"""The faults. Each says what it does to a cluster with live calls, and how that heals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psutil

from cluster.chaos.caller import ChaosCaller
from cluster.chaos.provider import Provider
from cluster.local import LocalCluster, Member
from reception.errors import Unavailable

FROZEN_S = 4.0  # twice what links give a node; Ray would give it up after 6
DATABASE_GONE_S = 30.0
DIES_S = JOINS_S = 30.0
LOOK_S = 0.2
IDLE_S = 20.0  # REALTIME_IDLE_TIMEOUT_S
ASK_S = 10.0
FRESH_S = 3.0  # reports come each second


@dataclass(slots=True)
class Scene:
    """What a fault finds: the cluster, its provider, the callers, and chance."""

    cluster: LocalCluster
    provider: Provider
    database: Path
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
    """What a fault did, and which calls run through what it struck."""

    what: str
    hit: tuple[str, ...]


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
    """

    name: str
    what: str
    heals: str
    within_s: float
    strike: Strike
    cables: bool = False


async def status(node: Member) -> dict[str, Any]:
    """What a node tells of itself. Raises Unavailable."""
    return await _told(node, "status")


async def known_to(node: Member) -> set[str]:
    """The nodes that a node has just heard of. Raises Unavailable."""
    found = (await _told(node, "cluster"))["nodes"]
    return {str(each["node_id"]) for each in found if each["age_s"] < FRESH_S}


async def _told(node: Member, what: str) -> dict[str, Any]:
    try:
        async with httpx.AsyncClient(timeout=ASK_S) as client:
            answer = await client.get(f"{node.said['http']}/api/v3/management/{what}")
            found: dict[str, Any] = answer.raise_for_status().json()
    except httpx.HTTPError as error:
        raise Unavailable(f"node {node.node_id} does not tell its state: {error}") from error
    return found


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
    def hold() -> None:
        connection = sqlite3.connect(scene.database, timeout=DIES_S, isolation_level=None)
        try:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(DATABASE_GONE_S)
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    await asyncio.to_thread(hold)
    return Struck(f"for {DATABASE_GONE_S:g} s", scene.everybody())


_ALL = (
    Fault("session", "SIGKILL of a call session", "its node leases the call another one", 4.0,
          _session),
    Fault("worker", "SIGKILL of an audio worker", "its calls dial again on another one", 8.0,
          _one("AudioWorker")),
    Fault("front_door", "SIGKILL of a front door",
          "callers come back at the next door with their resume tokens", 8.0, _one("FrontDoor")),
    Fault("agent", "SIGKILL of a node's agent",
          "the node ends; its calls go on at other nodes", 10.0, _agent),
    Fault("node_lost", "SIGKILL of everything of a node",
          "doors take its calls to other nodes; callers of its door come back elsewhere", 8.0,
          _node_lost),
    Fault("node_frozen", f"SIGSTOP of a node for {FROZEN_S:g} s",
          "as node_lost; waking up, it finds that its calls are others'", 8.0, _node_frozen),
    Fault("node_leaves", "SIGTERM of a node", "it hands its calls over", 8.0, _node_leaves),
    Fault("rolling_restart", "every node leaves in turn, after another has come in its place",
          "as node_leaves", 8.0, _rolling),
    Fault("cost", "SIGKILL of the cost controller", "Ray starts it again", 8.0,
          _singleton("CostController")),
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
          "calls go on; what is to be written is kept", 8.0, _database),
)  # fmt: skip
FAULTS = {fault.name: fault for fault in _ALL}
