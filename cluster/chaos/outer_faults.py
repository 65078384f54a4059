"""Faults of what is around the cluster: provider, callers, database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from cluster.chaos.caller import ChaosCaller
from cluster.chaos.newcomer import knock
from cluster.chaos.scene import Scene, Strike, Struck
from reception.errors import Unavailable

PROVIDER_AWAY_S = 3.0
PROVIDER_BROKE_S = 8.0
TAKEN_AGAIN_S = 90.0  # new calls: the breaker lets one try after 30 s
DATABASE_GONE_S = 30.0
KNOCKS_S = 5.0  # after the database is gone


def provider(order: str) -> Strike:
    """Something that it does to every session."""

    async def strike(scene: Scene) -> Struck:
        scene.provider.tell(order)
        return Struck("every session", scene.everybody())

    return strike


async def provider_broke(scene: Scene) -> Struck:
    """Once it takes money again, somebody calls until the call is taken and answered."""
    hit = scene.everybody()
    scene.provider.tell(f"broke {PROVIDER_BROKE_S:g}")
    began_s = time.monotonic()
    await asyncio.sleep(PROVIDER_BROKE_S)
    while time.monotonic() < began_s + TAKEN_AGAIN_S:
        caller = scene.one_more()
        await caller.settled.wait()
        if caller.answered:
            took_s = time.monotonic() - began_s
            return Struck(f"every session; a new call is answered after {took_s:.0f} s", hit)
    raise Unavailable(f"no new call is answered within {TAKEN_AGAIN_S:g} s")


def some_callers(does: Callable[[ChaosCaller], None]) -> Strike:
    """Something that a third of the callers do, or that happens to them."""

    async def strike(scene: Scene) -> Struck:
        chosen = scene.some()
        for caller in chosen:
            does(caller)
        hit = tuple(caller.call_id for caller in chosen)
        return Struck(", ".join(hit), hit)

    return strike


async def database(scene: Scene) -> Struck:
    """Meanwhile somebody knocks at every door."""
    way = scene.rng.choice(scene.database.ways)
    away = asyncio.create_task(asyncio.to_thread(scene.database.away, way, DATABASE_GONE_S))
    await asyncio.sleep(KNOCKS_S)
    doors = [node.grpc_address for node in scene.nodes()]
    asked = await asyncio.gather(*(knock(door, f"meanwhile-{door}") for door in doors))
    await away
    return Struck(f"{way} for {DATABASE_GONE_S:g} s", scene.everybody(), tuple(asked))
