"""Faults of nodes and of what runs on them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence

import psutil

from cluster.chaos.asking import known_to, status
from cluster.chaos.scene import Scene, Strike, Struck
from cluster.local import Member
from reception.errors import Unavailable

FROZEN_S = 4.0  # twice what links give a node; Ray would give it up after 6
DIES_S = JOINS_S = 30.0
LOOK_S = 0.2


def kill(processes: Sequence[psutil.Process]) -> str:
    """SIGKILL, all at once."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return ", ".join(f"process {process.pid}" for process in processes)


def one_of(kind: str) -> Strike:
    async def strike(scene: Scene) -> Struck:
        node = scene.busy()
        hit = scene.through(node)
        found = await asyncio.to_thread(node.processes, kind)
        if not found:
            raise Unavailable(f"node {node.node_id} has no process of {kind}")
        return Struck(f"{kind} of {node.node_id}: {kill([scene.rng.choice(found)])}", hit)

    return strike


async def session(scene: Scene) -> Struck:
    caller = scene.rng.choice(scene.callers)
    node = scene.node_of(caller)
    told = (await status(node))["node"]
    name = next((each for each, call in told["sessions"].items() if call == caller.call_id), "")
    if not name:
        raise Unavailable(f"no session of {node.node_id} has the call {caller.call_id}")
    os.kill(told["processes"][name], signal.SIGKILL)
    return Struck(f"{name} with {caller.call_id}", (caller.call_id,))


async def agent(scene: Scene) -> Struck:
    """`serve` ends then; what it leaves behind is dead with it."""
    node = scene.busy()
    hit = scene.through(node)
    rest = await asyncio.to_thread(node.processes)
    told = kill(await asyncio.to_thread(node.processes, "NodeAgent"))

    def wait() -> None:
        node.process.wait(DIES_S)
        kill([process for process in rest if process.is_running()])

    await asyncio.to_thread(wait)
    return Struck(f"agent of {node.node_id}: {told}", hit)


def to_a_node(does: Callable[[Member], None]) -> Strike:
    """Something that blocks until it is done to a node with live calls."""

    async def strike(scene: Scene) -> Struck:
        node = scene.busy()
        hit = scene.through(node)
        await asyncio.to_thread(does, node)
        return Struck(node.node_id, hit)

    return strike


def freeze(node: Member) -> None:
    """It stands still, and wakes up."""
    node.send(signal.SIGSTOP)
    try:
        time.sleep(FROZEN_S)
    finally:
        node.send(signal.SIGCONT)


async def rolling_restart(scene: Scene) -> Struck:
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
