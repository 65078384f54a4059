"""How fast a cluster of three nodes follows what happens on one of them.

A node with more than twice as many of its places taken as the others gets fewer of the next
calls: from the first of these calls until its share of one second's `Locate` answers is below
a quarter (a third before). The nodes share this machine's cores, so that all are taken for
busy while sessions start: the places are so few that they count for more. A node that dies:
from its death to the last answer that names it. All at one door, which knows of the others by
their reports alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc

from benchmarks.figures import row
from cluster import loop
from cluster.caller import Caller, Outcome, StayOn
from cluster.chaos.node_faults import kill
from cluster.local import LocalCluster, Member, local_cluster
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc

PLACES, CALLS, MORE = 10, 4, 5
LOWER = 0.25
TRIES = 6
PER_S = 100
PATIENCE_S = 30.0
SLOW_START_S = 35.0  # after which a new node has its whole share
_THIRD = 1 / 3


def run() -> None:
    settings = {
        "provider": "embedded", "model": "scripted", "insecure_dev": "true", "pool_size": "10",
        "pool_ceiling": str(PLACES), "rate_limit_per_minute": "100000",
        "rate_limit_per_hour": "1000000",
    }  # fmt: skip
    with local_cluster(3, **settings) as cluster:
        loop.run(_measure(cluster))


async def _measure(cluster: LocalCluster) -> None:
    door, *others = cluster.nodes
    async with grpc.aio.insecure_channel(door.grpc_address) as channel:
        shares = _Shares(rpc.ReceptionStub(channel))  # type: ignore[no-untyped-call]  # generated
        asking = asyncio.create_task(shares.run())
        await asyncio.sleep(SLOW_START_S)
        async with _calls(cluster.nodes, CALLS):
            took = [await _busy(shares, others[number % 2]) for number in range(TRIES)]
        row("a node with twice the calls gets fewer", took, "s")
        dead = [await _lost(shares, node) for node in others]
        row("last answer that names a dead node", dead, "ms")
        asking.cancel()


async def _busy(shares: _Shares, node: Member) -> float:
    """Seconds."""
    await shares.within(node, 0.9 * _THIRD, 1.0)
    began_s = time.monotonic()
    async with _calls([node], MORE):
        await shares.within(node, 0.0, LOWER)
        return time.monotonic() - began_s


async def _lost(shares: _Shares, node: Member) -> float:
    """Milliseconds."""
    await shares.within(node, 0.1, 1.0)
    processes = await asyncio.to_thread(node.processes)
    began_s = time.monotonic()
    kill(processes)
    await asyncio.sleep(3.0)
    return 1_000 * (shares.named_s[node.node_id] - began_s)


class _Shares:
    """What `Locate` answered in the last second."""

    def __init__(self, stub: rpc.ReceptionStub) -> None:
        self.named_s: dict[str, float] = {}
        self._stub = stub
        self._last: deque[str] = deque(maxlen=PER_S)
        self._another = asyncio.Condition()

    async def run(self) -> None:
        began_s, asked = time.monotonic(), 0
        while True:
            answer = await self._stub.Locate(rv.LocateRequest())
            self.named_s[answer.node_id] = time.monotonic()
            async with self._another:
                self._last.append(answer.node_id)
                self._another.notify_all()
            asked += 1
            await asyncio.sleep(began_s + asked / PER_S - time.monotonic())

    async def within(self, node: Member, least: float, most: float) -> None:
        """Until the node's share is."""
        async with asyncio.timeout(PATIENCE_S), self._another:
            await self._another.wait_for(
                lambda: least <= self._last.count(node.node_id) / len(self._last) <= most
            )


def _sets(event: asyncio.Event) -> Callable[[Outcome], None]:
    return lambda _: event.set()


@asynccontextmanager
async def _calls(nodes: list[Member], count: int) -> AsyncIterator[None]:
    """So many more live calls on each of these nodes."""
    begun: list[asyncio.Event] = []
    running: list[asyncio.Task[Outcome]] = []
    for node in nodes * count:
        seen = asyncio.Event()
        start = rv.CallStart(here=True, format=rv.LegFormat(codec=rv.CODEC_PCMU))
        caller = Caller(node.grpc_address, [StayOn()], start=start, on_change=_sets(seen))
        begun.append(seen)
        running.append(asyncio.create_task(caller.call()))
    try:
        async with asyncio.timeout(PATIENCE_S):
            for seen in begun:
                await seen.wait()
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
