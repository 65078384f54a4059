"""Faults of the singletons, of the node that has them, and of Ray's GCS."""

from __future__ import annotations

import asyncio
import signal
import time

import psutil

from cluster.chaos.asking import status
from cluster.chaos.node_faults import DIES_S, kill
from cluster.chaos.scene import Scene, Strike, Struck
from cluster.local import Member
from reception.errors import Unavailable

COST = "CostController"
AWAY_S = 8.0
STOOD_STILL_S = 12.0  # Ray gives a node up after 6, and starts its singletons elsewhere
BACK_S = 60.0
LOOK_S = 0.2


def one(kind: str) -> Strike:
    """SIGKILL of a singleton."""

    async def strike(scene: Scene) -> Struck:
        _, process = await _home(scene, kind)
        return Struck(f"{kind}: {kill([process])}", scene.everybody())

    return strike


async def cost_away(scene: Scene) -> Struck:
    """Ray starts it again each time."""
    until_s, killed = time.monotonic() + AWAY_S, 0
    while time.monotonic() < until_s:
        found = await asyncio.to_thread(_processes, scene, COST)
        killed += len(found)
        kill([process for _, process in found])
        await asyncio.sleep(0.05)
    if not killed:
        raise Unavailable(f"there is no {COST}")
    await _cost_is_back(scene)
    return Struck(f"{COST}: {killed} times", scene.everybody())


async def home_lost(scene: Scene) -> Struck:
    """With whatever calls it has."""
    home = await _movable(scene)
    await asyncio.to_thread(home.lose)
    await _cost_is_back(scene)
    return Struck(f"{COST} with {home.node_id}", scene.everybody())


async def home_frozen(scene: Scene) -> Struck:
    """It wakes up as its successors are at work; Ray has given it up, and so it ends."""
    home = await _movable(scene)
    await asyncio.to_thread(home.send, signal.SIGSTOP)
    try:
        await asyncio.sleep(STOOD_STILL_S)
        await _cost_is_back(scene, home)
    finally:
        await asyncio.to_thread(home.send, signal.SIGCONT)
    await asyncio.to_thread(home.process.wait, DIES_S)
    return Struck(f"{COST} with {home.node_id}", scene.everybody())


async def gcs(scene: Scene) -> Struck:
    """Its head starts it again."""
    found = await asyncio.to_thread(scene.cluster.gcs)
    if not found:
        raise Unavailable("the head has no GCS")
    return Struck(f"GCS: {kill(found)}", scene.everybody())


def _processes(scene: Scene, kind: str) -> list[tuple[Member, psutil.Process]]:
    return [(each, process) for each in scene.cluster.members()
            for process in each.processes(kind)]  # fmt: skip


async def _home(scene: Scene, kind: str) -> tuple[Member, psutil.Process]:
    """Where a singleton is. Raises Unavailable."""
    until_s = time.monotonic() + BACK_S
    while not (found := await asyncio.to_thread(_processes, scene, kind)):
        if time.monotonic() > until_s:
            raise Unavailable(f"there is no {kind}")
        await asyncio.sleep(LOOK_S)
    return found[0]


async def _movable(scene: Scene) -> Member:
    """The node that has the cost controller, and not Ray's GCS. Raises Unavailable."""
    for _ in range(10):
        found = await asyncio.to_thread(_processes, scene, COST)
        homes = [each for each, _ in found if not scene.cluster.has_gcs(each)]
        if homes:
            return homes[0]
        kill([process for _, process in found])
        await _cost_is_back(scene)
    raise Unavailable(f"{COST} stays on Ray's head")


async def _cost_is_back(scene: Scene, still: Member | None = None) -> None:
    """A busy machine takes 15 s and more to start it.

    Args:
        still: a node that answers nobody.
    """
    asked = next(each for each in scene.nodes() if each is not still)
    until_s = time.monotonic() + BACK_S
    while True:
        try:
            await status(asked)  # with all money
        except Unavailable:
            if time.monotonic() > until_s:
                raise
            await asyncio.sleep(LOOK_S)
        else:
            return
