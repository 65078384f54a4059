"""Ends what a node's calls, audio workers and sessions do not agree on."""

from __future__ import annotations

import asyncio
import time

import structlog
from ray.exceptions import RayError

from actors.live_calls import LiveCalls
from actors.spawn import in_time
from actors.tasks import Tasks
from actors.warm_pool import WarmPool
from actors.worker_pool import WorkerPool
from reception.placement.strays import Comparison, Held

log = structlog.get_logger()

LOOK_S = 5.0
REASON = "internal"


class StrayReaper:
    """Each node has one. A call without a leg or a session is ended, a leg without a call
    let go, a session that is leased for none replaced."""

    def __init__(self, calls: LiveCalls, pool: WarmPool, workers: WorkerPool) -> None:
        self._calls, self._pool, self._workers = calls, pool, workers
        self._comparison = Comparison()
        self._ending = Tasks()

    async def run(self) -> None:
        """Looks again and again, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look(time.monotonic())
            except (RayError, TimeoutError) as error:
                log.warning("strays not looked for", error=str(error)[:200])

    async def look(self, now_s: float) -> None:
        """Ends what has been stray for long enough. Raises RayError or TimeoutError while
        an audio worker does not answer: what it has is not known then."""
        async with in_time():
            legs = await self._workers.legs()
        held = Held(
            frozenset((each.spec.lease_id, each.session_id) for each in self._calls.going_on()),
            frozenset(legs),
            self._pool.leased(),
        )
        due = self._comparison.due(held, now_s)
        for lease_id in due.calls:
            live = self._calls.of_lease(lease_id)
            if live is not None:
                log.warning("call without leg or session ended", call_id=live.spec.call_id)
                if live.session_id not in held.sessions:
                    live.session_lost(live.session_id)
                self._ending.begin(live.end(REASON))
        for lease_id in due.legs:
            log.warning("leg without a call let go", worker=legs[lease_id])
            self._ending.begin(self._workers.let_go(legs[lease_id], lease_id))
        for session in due.sessions:
            log.warning("session without a call replaced", session=session)
            self._pool.give_back(session, dead=True)
