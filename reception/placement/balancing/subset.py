"""Which nodes a front door knows: in a large cluster a part of them, not all.

A door pays for every node that it knows: a report a second, and a look at each call.
With d doors that know all n nodes, n * d reports are read each second; with subsets
of a fixed size it is d times that size.

Deterministic subsetting (Site Reliability Engineering, chapter 20): doors have seats
0, 1, 2 …, each round of doors shares all nodes out among itself, and each round in
another order, so that nodes which share one door share few others. Two things are
different here. An order is by hash, so that a node that comes or goes moves at most
two others in or out of a subset; and there are a power of two subsets in a round,
so that everything is dealt out again only when the cluster has about doubled or
halved.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from hashlib import blake2b

from reception.placement.balancing.bounds import within


def parts(known: int, least: int, now: int = 1) -> int:
    """How many subsets a round has: as many as leave `least` nodes or more in each.

    Args:
        known: nodes that there are.
        now: how many it has been; it stays so until subsets are smaller than
            `least`, or four times as large, so that a cluster whose size
            wavers is not dealt out again and again.

    Raises:
        InvalidRequest: a value is out of its bounds.
    """
    within("known", known, 0)
    within("least", least, 1)
    within("now", now, 1)
    while now > 1 and known < now * least:
        now //= 2
    if known < now * least * 4:
        return now
    while known >= now * least * 2:
        now *= 2
    return now


def subset(node_ids: Collection[str], seat: int, of: int) -> list[str]:
    """The nodes of the door that has this seat, in the order of their names.

    Any `of` seats that begin at a multiple of it have each node once.

    Args:
        of: subsets in a round, by `parts`.

    Raises:
        InvalidRequest: a value is out of its bounds.
    """
    within("seat", seat, 0)
    within("of", of, 1)
    number, part = divmod(seat, of)
    order = sorted(node_ids, key=lambda node_id: (_hash(number, node_id), node_id))
    begin, end = part * len(order) // of, (part + 1) * len(order) // of
    return sorted(order[begin:end])


class Seats:
    """Gives each door a seat, which it keeps until it leaves: then the next to come
    has it. Doors without a gap between their seats know each node equally often."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}
        self._free: list[int] = []

    def take(self, door_id: str) -> int:
        """The door's seat; the lowest that is free if it has none."""
        if door_id not in self._of:
            free = heapq.heappop(self._free) if self._free else len(self._of)
            self._of[door_id] = free
        return self._of[door_id]

    def leave(self, door_id: str) -> None:
        """The door is gone. Idempotent."""
        seat = self._of.pop(door_id, None)
        if seat is not None:
            heapq.heappush(self._free, seat)


class Subsets:
    """Which nodes each knows, as they come and go. A node's own is always among them.

    Args:
        least: nodes that each knows, if there are as many.
    """

    def __init__(self, least: int = 32) -> None:
        self._least, self._of = least, 1
        self._nodes: set[str] = set()
        self._seats = Seats()
        self._dealt: dict[str, list[str]] = {}

    def came(self, node_id: str) -> None:
        """A node is there. Idempotent."""
        if node_id not in self._nodes:
            self._nodes.add(node_id)
            self._deal()

    def gone(self, node_id: str) -> None:
        """A node is not there any more. Idempotent."""
        if node_id in self._nodes:
            self._nodes.remove(node_id)
            self._seats.leave(node_id)
            self._deal()

    def known_to(self, node_id: str) -> list[str]:
        """The nodes that this one knows."""
        if node_id not in self._dealt:
            found = subset(self._nodes, self._seats.take(node_id), self._of)
            self._dealt[node_id] = found if node_id in found else [*found, node_id]
        return self._dealt[node_id]

    def _deal(self) -> None:
        self._of = parts(len(self._nodes), self._least, self._of)
        self._dealt.clear()


def _hash(number: int, node_id: str) -> bytes:
    """The same in every process, other than Python's own."""
    return blake2b(f"{number}/{node_id}".encode(), digest_size=8).digest()
