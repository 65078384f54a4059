"""What a call's node hears of it: changes that an observer would see, and its state."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from ray.exceptions import RayError

from actors.assignment import Assignment
from actors.gossip import tell
from actors.spawn import Remote, in_time
from reception.call.progress import encode, progress
from reception.call.record import CallRecord
from reception.errors import ReceptionError

TELL_S = 0.1
AGAIN_S = 1.0
KEEP_S = 1.0


class CallNews:
    """Both are told in a moment, and once for all that changes meanwhile.

    Args:
        record: the call as it is now.
        state: its checkpoint, in case that all of this node is lost.
        start: takes what goes on beside the call.

    Attributes:
        told: what the node knows.
    """

    def __init__(
        self,
        assignment: Assignment,
        agent: Remote,
        record: Callable[[], CallRecord],
        state: Callable[[], bytes],
        start: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self.told = record()
        self._assignment, self._agent = assignment, agent
        self._record, self._state, self._start = record, state, start
        self._telling: asyncio.TimerHandle | None = None
        self._keeping: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        """Something may have changed: a call that comes up changes several times."""
        if self._telling is None:
            self._in(TELL_S)

    def stop(self) -> None:
        for timer in (self._telling, self._keeping):
            if timer is not None:
                timer.cancel()

    def _in(self, wait_s: float) -> None:
        self._telling = asyncio.get_running_loop().call_later(wait_s, self._tell)

    def _tell(self) -> None:
        self._telling = None
        record = self._record()
        news = progress(self.told, record)
        if news is None:
            return
        if not tell(self._assignment.progress_socket, encode(news)):
            self._in(AGAIN_S)  # the node is busy, or being started again
            return
        self.told = record
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().call_later(KEEP_S, self._keep)

    def _keep(self) -> None:
        self._keeping = None
        self._start(self._hand_in(self._state()))

    async def _hand_in(self, state: bytes) -> None:
        with contextlib.suppress(RayError, ReceptionError, TimeoutError):
            async with in_time():
                await self._agent.keep_state(self._assignment.spec.session_id, state)
