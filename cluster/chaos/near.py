"""Money that is nearly used up: a limit over all spending, set anew for each try."""

from __future__ import annotations

import asyncio
import contextlib
import time

from cluster.chaos import history as h
from cluster.chaos.asking import manage, status
from cluster.chaos.books import PERIOD, Books
from cluster.chaos.newcomer import knock
from cluster.chaos.scene import Scene
from reception.errors import ReceptionError, Unavailable

ROOM_USD = 4.0  # while the callers come: doors may lease a tenth of it
LEFT_USD = 0.2  # when the fault comes: three calls' holds
LENT_S = 15.0  # a door asks every 5 s
OVER_S = 200.0  # a lease ends 190 s after it was granted, or the ledger read anew
SETTLED_S = 40.0
LOOK_S = 0.5
LAST = "once-leases-are-over"


async def leave(scene: Scene, books: Books, usd: float) -> None:
    """Sets the limit so that this is left beside what is posted and held. Raises
    Unavailable."""
    now = await asyncio.to_thread(books.money)
    micros = now.posted_micros + now.held_micros + int(usd * 1_000_000)
    limit = {"scope": "global", "window": PERIOD, "micros": micros}
    await manage(scene.nodes()[0], "budgets/limit", limit)


async def lent(scene: Scene) -> int:
    """Once the doors have budget leased: how much (micro-dollars). Raises Unavailable."""
    until_s = time.monotonic() + LENT_S
    while time.monotonic() < until_s:
        leased = (await status(scene.nodes()[0]))["costs"]["leased_micros"]
        if leased:
            return int(leased)
        await asyncio.sleep(LOOK_S)
    raise Unavailable(f"no door has budget leased within {LENT_S:g} s")


async def begun(scene: Scene) -> dict[str, int]:
    """Calls that began on a lease so far, by node; of those that tell."""
    found = {}
    for node in scene.nodes():
        with contextlib.suppress(ReceptionError):
            found[node.node_id] = int((await status(node))["door"]["without_ledger"])
    return found


async def over(scene: Scene, books: Books) -> list[h.Event]:
    """Every door leaves, and once each lease must have ended somebody calls at a new one:
    that is when the ledger looks for what nobody asks for any more. What the books then
    have of the leases that there were."""
    began_s = time.monotonic()
    there = {each.session_id for each in await asyncio.to_thread(books.leases)}
    await asyncio.gather(*(asyncio.to_thread(node.leave) for node in scene.nodes()))
    [new] = await asyncio.to_thread(scene.cluster.add)
    await asyncio.sleep(began_s + OVER_S - time.monotonic())
    came = await knock(new.grpc_address, LAST)
    if came.status != "OK":
        raise Unavailable(f"no call is taken once all are over: {came.status}")
    until_s = time.monotonic() + SETTLED_S
    settled = False
    while not settled and time.monotonic() < until_s:
        await asyncio.sleep(LOOK_S)
        settled = await asyncio.to_thread(books.settled, (LAST,))
    left = await asyncio.to_thread(books.leases)
    audit = await asyncio.to_thread(books.audit, (LAST,))
    return [*audit, *(each for each in left if each.session_id in there)]
