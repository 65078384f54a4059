"""One clock for all callers of a process: each gets a beat every 20 ms."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from cluster.load.measures import Measures
from cluster.playback import FRAME_S

SLOTS = 10  # as independent callers, they do not all speak in the same millisecond


class Ticked(Protocol):
    """Whoever wants a beat."""

    def tick(self, now_s: float) -> None:
        """Called every 20 ms."""
        ...


class Ticker:
    """Beats on absolute times, in ten groups 2 ms apart; sleeps when nobody is there."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self._slots: list[dict[Ticked, None]] = [{} for _ in range(SLOTS)]
        self._somebody = asyncio.Event()

    def add(self, caller: Ticked) -> None:
        """From now on, in the smallest group."""
        min(self._slots, key=len)[caller] = None
        self._somebody.set()

    def remove(self, caller: Ticked) -> None:
        """No more."""
        for slot in self._slots:
            slot.pop(caller, None)
        if not any(self._slots):
            self._somebody.clear()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._somebody.wait()
            began_s, beat = time.monotonic(), 0
            while self._somebody.is_set():
                beat += 1
                due_s = began_s + beat * FRAME_S / SLOTS
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                slot = self._slots[beat % SLOTS]
                if slot:
                    now_s = time.monotonic()
                    self._measures.took("tick_late", (now_s - due_s) * 1000)
                    for caller in tuple(slot):
                        caller.tick(now_s)
