"""What happens to a node's calls, for those who watch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

from reception.call.record import CallRecord

EVENTS_KEPT = 10_000

CallChange = tuple[str, CallRecord, float]
"""started, changed or ended; the record then; UNIX time."""


class Changes:
    """The last `EVENTS_KEPT`, numbered from 1."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, CallChange]] = deque(maxlen=EVENTS_KEPT)
        self._number = 0
        self._changed = asyncio.Event()  # a new one each time

    def note(self, kind: str, record: CallRecord) -> None:
        """One more."""
        self._number += 1
        self._kept.append((self._number, (kind, record, time.time())))
        self.wake()

    def wake(self) -> None:
        """Whoever waits looks again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def until(self, true: Callable[[], bool], wait_s: float) -> None:
        """Until something is so after a change, or the time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not true():
                    await self._changed.wait()

    async def watch(self, after: int, timeout_s: float) -> tuple[int, tuple[CallChange, ...]]:
        """The number of the last one, and those after number `after` (-1: none); waits for
        one up to `timeout_s`."""
        if after < 0:
            return self._number, ()
        await self.until(lambda: self._number > after, timeout_s)
        return self._number, tuple(change for number, change in self._kept if number > after)
