"""Unary requests at a set rate, whatever the answers take: an open loop."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import count

import grpc

from cluster.client import credentials
from cluster.load.measures import Measures
from cluster.load.schedule import Plan
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc

PAGE_SIZE = 20
TIMEOUT_S = 10.0
_KNOWN_CALLS = 100


class Unary:
    """ListCalls and GetCall in turn; GetCall asks for calls that were listed."""

    def __init__(self, plan: Plan, measures: Measures, channel: grpc.aio.Channel) -> None:
        self._plan, self._measures = plan, measures
        self._stub = rpc.ReceptionStub(channel)  # type: ignore[no-untyped-call]  # no types there
        self._metadata = credentials(plan.key)
        self._known: deque[str] = deque(maxlen=_KNOWN_CALLS)
        self._asking: set[asyncio.Task[None]] = set()

    async def run(self, began_s: float, share: int, shares: int) -> None:
        """This share of the run's requests, until its duration is over and all of
        them are answered."""
        for number in count(share, shares):
            at_s = number / self._plan.unary_per_s
            if at_s >= self._plan.duration_s:
                break
            await asyncio.sleep(max(0.0, began_s + at_s - time.monotonic()))
            if len(self._asking) >= self._plan.most_live:
                self._measures.counts["not_placed"] += 1
                continue
            # By pairs, so that every share does both.
            task = asyncio.create_task(self._ask(began_s + at_s, number // shares))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        if self._asking:
            await asyncio.wait(set(self._asking))

    async def _ask(self, intended_s: float, number: int) -> None:
        counts = self._measures.counts
        counts["unary"] += 1
        try:
            if number % 2 and self._known:
                call_id = self._known[number // 2 % len(self._known)]
                request = rv.GetCallRequest(call_id=call_id)
                await self._stub.GetCall(request, metadata=self._metadata, timeout=TIMEOUT_S)
            else:
                page = await self._stub.ListCalls(
                    rv.ListCallsRequest(page_size=PAGE_SIZE),
                    metadata=self._metadata,
                    timeout=TIMEOUT_S,
                )
                self._known.extend(call.call_id for call in page.calls)
        except grpc.aio.AioRpcError as error:
            self._measures.statuses[f"unary {error.code().name}"] += 1
            self._measures.faults[error.details() or error.code().name] += 1
        else:
            counts["unary_ok"] += 1
            self._measures.statuses["unary OK"] += 1
        self._measures.took("unary", (time.monotonic() - intended_s) * 1000)
