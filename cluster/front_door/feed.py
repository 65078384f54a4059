"""What happens to the calls of all nodes, as one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from cluster.front_door.nodes import Nodes
from reception.call.record import CallRecord
from reception.errors import ReceptionError

CallChange = tuple[str, CallRecord, float]

POLL_S = 20.0
AGAIN_S = 1.0
MAX_WAITING = 10_000


async def changes(nodes: Nodes) -> AsyncGenerator[CallChange]:
    """Changes from now on, of nodes that join later too, until it is closed. A reader
    that is too slow keeps the nodes waiting, which keep the last 10,000 of each."""
    first = {node_id: await _now(nodes, node_id) for node_id in nodes.reachable}
    return _merged(nodes, first)


async def _merged(nodes: Nodes, first: dict[str, int | None]) -> AsyncGenerator[CallChange]:
    queue: asyncio.Queue[CallChange] = asyncio.Queue(MAX_WAITING)
    readers: dict[str, asyncio.Task[None]] = {}
    try:
        while True:
            for node_id in nodes.reachable:
                if node_id not in readers or readers[node_id].done():
                    reading = _read(nodes, node_id, first.pop(node_id, None), queue)
                    readers[node_id] = asyncio.ensure_future(reading)
            change = None
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S):
                    change = await queue.get()
            if change is not None:
                yield change
    finally:
        for reader in readers.values():
            reader.cancel()


async def _now(nodes: Nodes, node_id: str) -> int | None:
    """The number of a node's last change; None when it does not answer."""
    with suppress(ReceptionError):
        after: int = (await nodes.agent(node_id, "watch", -1, 0.0))[0]
        return after
    return None


async def _read(
    nodes: Nodes, node_id: str, after: int | None, queue: asyncio.Queue[CallChange]
) -> None:
    """One node's changes, while it can be reached."""
    if after is None:
        after = await _now(nodes, node_id)
    while after is not None:
        try:
            found: tuple[int, Any] = await nodes.agent(
                node_id, "watch", after, POLL_S, patience_s=POLL_S
            )
        except ReceptionError:
            return
        after = found[0]
        for change in found[1]:
            await queue.put(change)
