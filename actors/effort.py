"""How much an audio worker does for its calls, by what it measures of itself.

The decisions are those of `adaptation`, `suppression` and `uplink` in `reception.media`;
here are their measures, once a second, and the news of what changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass

from actors.memory import node_memory
from reception.media.adaptation import Adaptation, Level, LevelChanged, Load, Plan, Targets
from reception.media.codecs import AudioFormat
from reception.media.suppression import Suppression, SuppressionChanged
from reception.media.uplink import (
    LinkSample,
    UplinkChanged,
    UplinkChooser,
    UplinkRules,
    choose,
)

CHANGES_KEPT = 100
AUTO = "auto"  # the load chooses the level

Change = LevelChanged | SuppressionChanged | UplinkChanged


@dataclass(frozen=True, slots=True)
class News:
    """What a worker is doing: `number` grows with every change of it.

    level: "quality" to "survival"; pinned: an operator chose it.
    uplink_tight: linear legs go as G.711 (`UplinkChooser`); light: those of
        8 kHz do so too, to save the worker's CPU.
    changes: since the number that was asked for, at most the last `CHANGES_KEPT`.
    """

    number: int
    level: str
    pinned: bool
    uplink_tight: bool
    light: bool
    changes: tuple[Change, ...]


class Effort:
    """One worker's. Everything is called in its event loop; times are monotonic."""

    def __init__(self, targets: Targets) -> None:
        self.load = Load()  # as it was measured last
        self.misses_per_s = 0.0  # by then
        self._adaptation = Adaptation(targets)
        self._suppression = Suppression(targets)
        self._uplink = UplinkChooser(UplinkRules())
        self._changes: deque[tuple[int, Change]] = deque(maxlen=CHANGES_KEPT)
        self._number = 0
        self._changed = asyncio.Event()
        self._late_ms: list[float] = []
        self._delays_us: list[int] = []
        self._frames = self._missed = 0
        self._seen_s, self._cpu_s = time.monotonic(), time.process_time()

    @property
    def plan(self) -> Plan:
        return self._suppression.plan(self._adaptation.plan)

    def provider_format(self, leg: AudioFormat) -> str:
        """What the provider gets for a leg that dials now."""
        light = self._adaptation.level >= Level.ECONOMY
        return choose(leg, tight=self._uplink.tight, light=light)

    # ------------------------------------------------------------- measures

    def woke(self, late_s: float) -> None:
        """The event loop ran a timer so late."""
        self._late_ms.append(late_s * 1000)

    def passed_on(self, delay_us: int) -> None:
        """A frame of a caller's was on its way through this node so long."""
        self._delays_us.append(delay_us)

    def sent(self) -> None:
        """A frame went to a caller."""
        self._frames += 1

    def missed(self) -> None:
        """A caller had nothing more to hear although there was audio for it."""
        self._missed += 1

    def observe(self, link: LinkSample, now_s: float) -> bool:
        """Looks at what was measured since the last time. True: the plan changed."""
        cpu_s = time.process_time()
        passed_s = max(now_s - self._seen_s, 1e-3)
        busy = (cpu_s - self._cpu_s) / passed_s
        self.misses_per_s = self._missed / passed_s
        self._seen_s, self._cpu_s = now_s, cpu_s
        memory = node_memory()
        self.load = Load(
            lag_p95_ms=_p95(self._late_ms),
            cpu_percent=100 * busy,
            added_delay_ms=_p95(self._delays_us) / 1000,
            memory_percent=100 * memory.used_mb / memory.total_mb,
            missed_percent=100 * self._missed / max(self._frames, 1),
        )
        self._late_ms, self._delays_us = [], []
        self._frames = self._missed = 0
        changed = self._note(self._adaptation.observe(self.load, now_s))
        if not self._adaptation.pinned:
            cpu = self.load.cpu_percent
            switch = self._suppression.observe(cpu, now_s, level_changed=changed)
            changed = self._note(switch) or changed
        self._note(self._uplink.observe(link, now_s))
        return changed

    # ------------------------------------------------------------- levels

    def set_level(self, name: str, by: str, now_s: float) -> bool:
        """An operator's choice: a level's name, or `AUTO`. True: the plan changed.

        Raises:
            InvalidRequest: no such level.
        """
        if name == AUTO:
            self._adaptation.release(now_s)
            self._tell()
            return False
        changed = self._adaptation.pin(Level.of(name), now_s, by)
        suppressed = self._suppression.on
        self._suppression.restore()
        return self._note(changed, always=True) or not suppressed

    async def news(self, after: int, timeout_s: float) -> News:
        """What changed after number `after`; waits for it up to `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._number <= after:
                    await self._changed.wait()
        adaptation = self._adaptation
        return News(
            self._number,
            str(adaptation.level),
            adaptation.pinned,
            self._uplink.tight,
            adaptation.level >= Level.ECONOMY,
            tuple(change for number, change in self._changes if number > after),
        )

    def _note(self, change: Change | None, *, always: bool = False) -> bool:
        if change is not None:
            self._changes.append((self._number + 1, change))
        if change is not None or always:
            self._tell()
        return change is not None

    def _tell(self) -> None:
        self._number += 1
        self._changed.set()
        self._changed = asyncio.Event()


def _p95(values: list[float] | list[int]) -> float:
    return sorted(values)[len(values) * 95 // 100] if values else 0.0
