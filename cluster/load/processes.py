"""Whose CPU and memory it was: processes by kind, and their sums. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_RAY = re.compile(r"ray::(\w+)")
_MB = 1024 * 1024


def kind_of(name: str, command: Sequence[str]) -> str:
    """What sort of process it is.

    Args:
        name: the executable's.
        command: its argv; Ray writes "ray::AudioWorker.start" over it.
    """
    title = command[0] if command else name
    found = _RAY.match(title)
    if found:
        return f"ray::{found[1]}"
    if not os.path.basename(title).startswith("python"):
        return os.path.basename(title) or name
    for number, each in enumerate(command[1:], 1):
        if each == "-m" and number + 1 < len(command):
            return command[number + 1]
        if not each.startswith("-"):
            return os.path.basename(each)
    return name


@dataclass(frozen=True, slots=True)
class Sample:
    """One process, once. pss_bytes 0: not looked at."""

    kind: str
    cpu_s: float
    pss_bytes: int = 0


@dataclass(slots=True)
class Account:
    """CPU used since the first look, and memory, by kind of process.

    A process that ends takes with it what it used since the last look. Its kind is
    the last one seen: a worker of Ray has three titles before it is an actor.
    """

    idle_pss_bytes: int = 0
    peak_pss_bytes: int = 0
    peak_live: int = 0
    peak_by_kind: dict[str, tuple[int, int]] = field(default_factory=dict)
    call_s: float = 0.0
    seconds: float = 0.0
    series: list[dict[str, float]] = field(default_factory=list)
    _cpu_s: dict[int, float] = field(default_factory=dict)  # used, by process id
    _kinds: dict[int, str] = field(default_factory=dict)
    _seen: dict[int, float] = field(default_factory=dict)
    _last_s: float | None = None

    def look(self, now_s: float, live: int, processes: Mapping[int, Sample]) -> None:
        """What there is now, by process id, and how many calls are live."""
        used_s = 0.0
        for pid, sample in processes.items():
            before_s = self._seen.get(pid)
            if self._last_s is not None:  # before the first look is not ours
                used = sample.cpu_s - (before_s or 0.0)
                self._cpu_s[pid] = self._cpu_s.get(pid, 0.0) + used
                used_s += used
            self._seen[pid], self._kinds[pid] = sample.cpu_s, sample.kind
        point = {"live": float(live)}
        if self._last_s is not None:
            took_s = now_s - self._last_s
            self.seconds += took_s
            self.call_s += live * took_s
            point["cpu_pct"] = 100 * used_s / took_s if took_s else 0.0
        self._last_s = now_s
        pss_bytes = sum(sample.pss_bytes for sample in processes.values())
        if pss_bytes:
            self._weigh(pss_bytes, live, processes)
            point["pss_mb"] = pss_bytes / _MB
        self.series.append({"at_s": now_s, **point})

    def _weigh(self, pss_bytes: int, live: int, processes: Mapping[int, Sample]) -> None:
        if not self.idle_pss_bytes:
            self.idle_pss_bytes = pss_bytes
        if live < self.peak_live or (live == self.peak_live and pss_bytes <= self.peak_pss_bytes):
            return
        self.peak_live, self.peak_pss_bytes = live, pss_bytes
        by_kind: dict[str, tuple[int, int]] = {}
        for sample in processes.values():
            count, total = by_kind.get(sample.kind, (0, 0))
            by_kind[sample.kind] = (count + 1, total + sample.pss_bytes)
        self.peak_by_kind = by_kind

    def metrics(self) -> dict[str, float | None]:
        """See `measures.MACHINE`; None where there was nothing to divide by."""
        cpu_s, live = sum(self._cpu_s.values()), self.peak_live
        growth = self.peak_pss_bytes - self.idle_pss_bytes
        return {
            "cpu_pct": 100 * cpu_s / self.seconds if self.seconds else None,
            "cpu_pct_per_call": 100 * cpu_s / self.call_s if self.call_s else None,
            "pss_mb": self.peak_pss_bytes / _MB if self.peak_pss_bytes else None,
            "pss_mb_per_call": self.peak_pss_bytes / _MB / live if live else None,
            "pss_growth_mb_per_call": growth / _MB / live if live else None,
        }

    def kinds(self) -> list[dict[str, Any]]:
        """Each kind of process, the busiest first."""
        found = []
        by_kind: dict[str, float] = dict.fromkeys(self.peak_by_kind, 0.0)
        for pid, used_s in self._cpu_s.items():
            kind = self._kinds[pid]
            by_kind[kind] = by_kind.get(kind, 0.0) + used_s
        for kind, cpu_s in by_kind.items():
            count, pss_bytes = self.peak_by_kind.get(kind, (0, 0))
            found.append(
                {
                    "kind": kind,
                    "processes": count,
                    "cpu_pct": 100 * cpu_s / self.seconds if self.seconds else 0.0,
                    "cpu_pct_per_call": 100 * cpu_s / self.call_s if self.call_s else None,
                    "pss_mb": pss_bytes / _MB,
                }
            )
        return sorted(found, key=lambda each: -each["cpu_pct"])
