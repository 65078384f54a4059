"""CPU and memory of a whole process tree, by kind of process."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_RAY_TITLE = re.compile(r"ray::([A-Za-z_]\w*)")
_RAY_SCRIPT = re.compile(r"/ray/([\w/]+)\.py")
_RAY_DASHBOARD = "ray-dashboard"  # one process for each of its modules


def kind_of(name: str, command: list[str]) -> str:
    """A word for what a process is: an actor's class, a part of Ray, or "bridge"."""
    line = " ".join(command)
    if title := _RAY_TITLE.search(line):
        return title[1]
    if name in ("raylet", "gcs_server"):
        return name
    if line.startswith(_RAY_DASHBOARD):
        return "ray dashboard/dashboard"
    if script := _RAY_SCRIPT.search(line):
        return f"ray {script[1]}"
    return "bridge"


@dataclass(slots=True)
class Usage:
    """By kind: seconds of CPU, bytes of PSS."""

    cpu_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    pss_bytes: dict[str, int] = field(default_factory=lambda: defaultdict(int))


class Tree:
    """A process and all its descendants. `look` often: what a process used since the
    last look is lost when it ends."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._root = psutil.Process(pid)
        self._began: dict[tuple[int, float], float] = {}
        self._latest: dict[tuple[int, float], tuple[str, float]] = {}
        self._grew_s = time.monotonic()

    def look(self) -> None:
        """Takes in what there is now."""
        before = set(self._latest)
        alive = set()
        for process in [self._root, *self._root.children(recursive=True)]:
            try:
                with process.oneshot():
                    key = (process.pid, process.create_time())
                    times = process.cpu_times()
                    kind = kind_of(process.name(), process.cmdline())
            except psutil.NoSuchProcess:
                continue
            alive.add(key)
            self._latest[key] = (kind, times.user + times.system)
        if alive - before:
            self._grew_s = time.monotonic()

    def steady_for_s(self) -> float:
        """How long ago a new process was seen."""
        return time.monotonic() - self._grew_s

    def begin(self) -> None:
        """CPU is counted from here on."""
        self.look()
        self._began = {key: cpu_s for key, (_, cpu_s) in self._latest.items()}

    def usage(self) -> Usage:
        """CPU since `begin`, and memory now."""
        self.look()
        usage = Usage()
        for key, (kind, cpu_s) in self._latest.items():
            usage.cpu_s[kind] += cpu_s - self._began.get(key, 0.0)
            usage.pss_bytes[kind] += pss_bytes(key[0])
        return usage


def pss_bytes(pid: int) -> int:
    """Proportional set size, from /proc (proc(5), smaps_rollup); 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0
