"""What processes and the node weigh, as Linux counts it."""

from __future__ import annotations

from pathlib import Path

import psutil

from reception.placement.sizer import NodeMemory

_MB = 2**20

# A container's own limit, if it has one: control groups version 2, then 1
# (limit, what is used, and the part of it that is cache and goes when needed).
_GROUPS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


def node_memory(groups: Path = Path("/sys/fs/cgroup")) -> NodeMemory:
    """The machine's memory, or its container's where that is less. About 80 us."""
    machine = psutil.virtual_memory()
    total, used = machine.total, machine.total - machine.available
    for limit_file, used_file, cache in _GROUPS:
        try:
            limit = (groups / limit_file).read_text().strip()
            if limit == "max" or int(limit) >= total:
                continue
            stat = (groups / used_file).with_name("memory.stat").read_text().split()
            in_use = int((groups / used_file).read_text())
            total, used = int(limit), in_use - int(stat[stat.index(cache) + 1])
        except (OSError, ValueError):
            continue
    return NodeMemory(used / _MB, total / _MB)


def resident_mb(pid: int) -> float:
    """A process's resident set; 0 when it is gone. About 40 us."""
    try:
        return float(psutil.Process(pid).memory_info().rss) / _MB
    except psutil.Error:
        return 0.0


def proportional_mb(pid: int) -> float:
    """Its proportional set size (shared pages by how many share them); 0 when it
    is gone. The kernel walks all its pages for it: about 300 us and more."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0
