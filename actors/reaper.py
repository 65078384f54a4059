"""Ends calls that nobody has any more: their node is lost and their callers stayed away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import structlog
from ray.exceptions import RayError

from actors import checkpoint
from actors.keeper import CallKeeper
from actors.storage.calls import ENDED
from reception.call import messages as m
from reception.call.record import CallRecord, CallSpec
from reception.errors import NotFound, ReceptionError, Unavailable

log = structlog.get_logger()

LOOK_S = 2.0
NODE_LOST = "node_lost"

Settle = Callable[[CallSpec, Iterable[m.Work]], Awaitable[int | None]]


class Reaper:
    """Each node has one; a call that several look at is ended by the first.

    Args:
        keeper: of this node.
        wait_s: for the callers of a lost node to come back, at any front door.
        alive: the nodes that live. Raises when nobody can tell.
        here: whether a call is live on this node, by its session id.
        settle: bills what was under way, and closes the account; what the call has cost.
    """

    def __init__(
        self,
        keeper: CallKeeper,
        node_id: str,
        wait_s: float,
        alive: Callable[[], Awaitable[set[str]]],
        here: Callable[[str], bool],
        settle: Settle,
    ) -> None:
        self._keeper, self._node_id, self._wait_s = keeper, node_id, wait_s
        self._alive, self._here, self._settle = alive, here, settle
        self._missed_since: dict[tuple[str, str], float] = {}  # sessions and their nodes

    async def run(self) -> None:
        """Looks again and again, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look(time.monotonic())
            except (RayError, ReceptionError, TimeoutError) as error:
                log.warning("calls not looked through", error=str(error)[:200])

    async def look(self, now_s: float) -> int:
        """Ends the calls whose node has been lost for long enough; how many."""
        missed = await self._missed()
        self._missed_since = {each: self._missed_since.get(each, now_s) for each in missed}
        due = [each for each in missed if now_s - self._missed_since[each] >= self._wait_s]
        ended = 0
        for session_id, node_id in due:
            ended += await self._end(session_id, node_id)
        return ended

    async def _missed(self) -> list[tuple[str, str]]:
        """Live calls that nobody has, and where they were."""
        try:
            alive, places = await self._alive(), await self._keeper.places()
            if self._node_id not in alive:
                raise Unavailable("it is not known which nodes live")
        except (RayError, ReceptionError, TimeoutError):
            self._missed_since.clear()  # who was there meanwhile?
            raise
        return [
            (session_id, node_id)
            for session_id, node_id in places
            if not (self._here(session_id) if node_id == self._node_id else node_id in alive)
        ]

    async def _end(self, session_id: str, node_id: str) -> bool:
        """False: it is somebody else's, or over."""
        try:
            claim = await self._keeper.seize(session_id, node_id)
        except NotFound:
            return False
        known, pending = checkpoint.left_by(claim.spec, claim.checkpoint)
        record = replace(
            known or CallRecord(claim.spec, ENDED, ENDED, ""),
            state=ENDED, phase=ENDED, end_reason=NODE_LOST, ended_at_s=time.time(),
        )  # fmt: skip
        cost_micros = await self._settle(claim.spec, pending)
        if cost_micros is not None:
            record = replace(record, cost_micros=cost_micros)
        log.warning("call of a lost node ended", call_id=claim.spec.call_id)
        return await self._keeper.save_call(record, claim.generation)
