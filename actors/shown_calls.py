"""Calls as the API shows them, serialized where their records are: the front door gives
them on as they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from actors.caller_messages import call_of
from protos.reception.v1 import reception_pb2 as rv
from reception.call.record import CallRecord

Live = tuple[float, bytes]
"""When a live call was accepted, UNIX seconds, and its `Call`."""


@dataclass(frozen=True, slots=True)
class ShownPage:
    """A node's part of a page: calls that are live there, and of all nodes those that have
    ended, a `ListCallsResponse`."""

    live: list[Live]
    ended: bytes

    def with_live(self, elsewhere: list[Live], page_size: int) -> bytes:
        """The whole page, a `ListCallsResponse`: live calls first, newest first."""
        live = newest([*self.live, *elsewhere], page_size)
        if not live:
            return self.ended
        calls = (rv.Call.FromString(call) for _, call in live)
        # Messages one after the other are one message: the lists in them follow each other.
        return rv.ListCallsResponse(calls=calls).SerializeToString() + self.ended


def live_in(records: Iterable[CallRecord], state: str) -> list[Live]:
    """Those of the live calls that are in `state`; "" for all."""
    return [
        (record.spec.accepted_at_s, call_of(record).SerializeToString())
        for record in records
        if state in ("", record.state)
    ]


def newest(live: list[Live], most: int) -> list[Live]:
    """The newest first, of calls accepted at once in the order given; `most` at most."""
    return sorted(live, key=lambda each: -each[0])[:most]
