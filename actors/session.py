"""The call session: one live call's conversation, as a Ray actor.

The shell around `reception.call.conversation`: link messages, timers, tools,
billing and the node agent on one side, the state machine on the other. One
actor serves one call at a time; nothing of a call is kept on the actor.
"""

from __future__ import annotations

import asyncio
import os
import time

from actors.assignment import Assignment
from actors.call_run import CallRun
from actors.spawn import Remote, find
from reception.call.record import CallRecord
from reception.errors import ProtocolViolation

FOUND_FOR_S = 30.0


class CallSession:
    """A warm process that takes one call after the other."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._run: CallRun | None = None
        self._stopped = asyncio.Event()
        self._found: dict[str, tuple[Remote, float]] = {}

    def _find(self, name: str) -> Remote:
        """The named actor. Looking it up takes 5 ms of CPU, so what was found stands
        for a while; a singleton that restarts is the same actor."""
        now_s = time.monotonic()
        if name not in self._found or now_s - self._found[name][1] > FOUND_FOR_S:
            self._found[name] = find(name), now_s
        return self._found[name][0]

    async def warm_up(self) -> int:
        """Reaches the actors that every call needs; returns the process id."""
        self._find("cost")
        return os.getpid()

    async def rehearse(self, assignment: Assignment) -> None:
        """Walks the way of a call without making one, so that the first is quick."""
        node_id = assignment.spec.node_id
        cost = self._find("cost")
        run = CallRun(assignment, cost, self._find(f"agent:{node_id}") if node_id else cost)
        await run.rehearse()
        await cost.ping.remote()

    async def run_call(self, assignment: Assignment) -> CallRecord:
        """Runs one call from ring to record.

        Raises:
            ProtocolViolation: a call is already running here.
        """
        if self._run is not None:
            raise ProtocolViolation(f"session {self._name} has a call")
        spec = assignment.spec
        agent = self._find(f"agent:{spec.node_id}")
        self._run = CallRun(assignment, self._find("cost"), agent)
        try:
            return await self._run.run()
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
