"""The call session: one live call's conversation, as a Ray actor.

The shell around `reception.call.conversation`: link messages, timers, tools,
billing and the node agent on one side, the state machine on the other. One
actor serves one call at a time; nothing of a call is kept on the actor.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable

from ray.exceptions import RayError

from actors.assignment import Assignment
from actors.call_run import CallRun
from actors.spawn import find
from reception.call.record import CallRecord
from reception.errors import ProtocolViolation, ReceptionError

COST_S = 2.0


class CallSession:
    """A warm process that takes one call after the other, for the agent of a node."""

    def __init__(self, name: str, node_id: str) -> None:
        self._name = name
        self._run: CallRun | None = None
        self._stopped = asyncio.Event()
        self._cost, self._agent = find("cost"), find(f"agent:{node_id}")

    async def warm_up(self) -> int:
        """Returns the process id."""
        return os.getpid()

    async def rehearse(self, assignment: Assignment) -> None:
        """Walks the way of a call without making one, so that the first is quick. While
        there is no money to be had, neither singleton nor database, it serves all the same:
        a call whose session has died needs another one then, too."""
        await CallRun(assignment, self._cost, self._agent).rehearse()
        with contextlib.suppress(RayError, ReceptionError, TimeoutError):
            async with asyncio.timeout(COST_S):
                await self._cost.ping()

    async def run_call(self, assignment: Assignment) -> CallRecord:
        """Runs one call from ring to record.

        Raises:
            ProtocolViolation: a call is already running here.
        """
        return await self._do(assignment, lambda run: run.run())

    async def take_over(self, assignment: Assignment, told: CallRecord, state: bytes) -> CallRecord:
        """As `run_call`, the rest of a call whose session has died.

        Args:
            told: what is known of it.
            state: what was kept of it (`CallRun.take_over`).
        """
        return await self._do(assignment, lambda run: run.take_over(told, state))

    async def carry_on(self, assignment: Assignment, state: bytes) -> CallRecord:
        """As `run_call`, the rest of a call whose node is lost.

        Args:
            state: what was kept of it (`CallRun.carry_on`).
        """
        return await self._do(assignment, lambda run: run.carry_on(state))

    async def _do(
        self, assignment: Assignment, work: Callable[[CallRun], Awaitable[CallRecord]]
    ) -> CallRecord:
        if self._run is not None:
            raise ProtocolViolation(f"session {self._name} has a call")
        self._run = CallRun(assignment, self._cost, self._agent)
        try:
            return await work(self._run)
        finally:
            self._run = None

    async def end_call(self, lease_id: str, reason: str, polite: bool) -> bool:
        """Ends the call of this lease; False when it is not here (any more)."""
        if self._run is None or self._run.lease_id != lease_id:
            return False
        self._run.request_end(reason, polite)
        return True

    async def until_stopped(self) -> None:
        """Never comes back; fails when the process dies."""
        await self._stopped.wait()
