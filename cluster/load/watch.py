"""Looks at the server's processes, where they are on this machine."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable

import psutil

from cluster.load.processes import Account, Sample, kind_of
from reception.errors import NotFound

CPU_EVERY_S = 1.0
PSS_EVERY_S = 5.0  # reading it costs about 1 ms a process
_RAYLET = "raylet"
_FLEET = "ray::Fleet"


class Watch:
    """CPU and memory of everything that descends from some processes.

    Args:
        roots: process ids.
    """

    def __init__(self, roots: Iterable[int]) -> None:
        self.account = Account()
        self.began_s = time.monotonic()
        self._roots = sorted(set(roots))
        self._cpu_s = self._pss_s = -1e9
        self._kinds: dict[int, str] = {}
        for pid in self._roots:
            if not psutil.pid_exists(pid):
                raise NotFound(f"watch-pid: there is no process {pid}", field="watch-pid")

    def look(self, live: int, *, pss: bool = False) -> None:
        """Looks, if it is time to; at memory too if it is time to or asked for."""
        now_s = time.monotonic()
        if now_s - self._cpu_s < CPU_EVERY_S and not pss:
            return
        self._cpu_s = now_s
        pss = pss or now_s - self._pss_s >= PSS_EVERY_S
        if pss:
            self._pss_s = now_s
        self.account.look(max(0.0, now_s - self.began_s), live, self._samples(pss=pss))

    def _samples(self, *, pss: bool) -> dict[int, Sample]:
        found = {}
        for process in descendants(self._roots):
            try:
                with process.oneshot():
                    kind = self._kind(process, again=pss)
                    times = process.cpu_times()
                    pss_bytes = process.memory_full_info().pss if pss else 0
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            found[process.pid] = Sample(kind, times.user + times.system, pss_bytes)
        return found

    def _kind(self, process: psutil.Process, *, again: bool) -> str:
        """Looked at again now and then: workers of Ray change their titles."""
        kind = self._kinds.get(process.pid, "")
        if not kind or again:
            kind = self._kinds[process.pid] = kind_of(process.name(), process.cmdline())
        return kind


def descendants(roots: Iterable[int]) -> list[psutil.Process]:
    """The processes with these ids and all below them, without this one and the
    drivers, be they its children or fleets under Ray."""
    ours = {os.getpid()} | {child.pid for child in multiprocessing.active_children()}
    parents: dict[int, list[int]] = {}
    for process in psutil.process_iter(["ppid", "name"]):
        parents.setdefault(process.info["ppid"], []).append(process.pid)
        if (process.info["name"] or "").startswith(_FLEET):
            ours.add(process.pid)
    found: dict[int, psutil.Process] = {}
    left = list(roots)
    while left:
        pid = left.pop()
        if pid in found or pid in ours:
            continue
        try:
            found[pid] = psutil.Process(pid)
        except psutil.NoSuchProcess:
            continue
        left += parents.get(pid, [])
    return list(found.values())


def server_roots(address: str) -> list[int]:
    """The processes that make up the server at host:port of this machine: who
    listens there; and when a Ray node is above it, that node, and who started it.
    Empty when it is not here or not ours to see."""
    _, _, port = address.rpartition(":")
    listening = {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and connection.laddr.port == int(port)
        and connection.pid
    }
    roots: set[int] = set()
    for pid in listening - {os.getpid()}:
        above = [psutil.Process(pid), *psutil.Process(pid).parents()]
        raylet = next((each for each in above if each.name() == _RAYLET), None)
        roots |= {pid} if raylet is None else _ray_node(raylet)
    return sorted(roots)


def _ray_node(raylet: psutil.Process) -> set[int]:
    """A raylet with its sibling daemons, and `reception serve` if that started it."""
    parent = raylet.parent()
    if parent is not None and parent.pid > 1 and parent.pid != os.getpid():
        return {parent.pid}
    sessions = {each for each in raylet.cmdline() if each.startswith("--session-name=")}
    return {
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if sessions & set(process.info["cmdline"] or ())
    } | {raylet.pid}
