"""Figures of a run: the table, the ratios, the file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Figures = dict[str, Any]

COMPARED = {
    "CPU": "cpu_pct_per_call",
    "memory": "pss_mb_per_call",
    "up p50": "up_p50_ms",
    "up p99": "up_p99_ms",
    "down p50": "down_p50_ms",
    "down p99": "down_p99_ms",
}
_GROUPS = {"FrontDoor": "door", "AudioWorker": "worker", "CallSession": "session"}
_RAY = ("raylet", "gcs_server")
GROUPS = ("door", "worker", "session", "ray", "others")
OTHERS_PCT = 10.0
KINDS_SHOWN = 8
WIDTH = 120  # where there is no terminal


def add_ratios(measured: list[Figures]) -> None:
    """Gives each object `ratios`: by peer with as many calls, its figures over the
    peer's. Who could not carry them has none."""
    carried = _carried(measured)
    for one in carried:
        peers = [p for p in carried if p["calls"] == one["calls"] and p is not one]
        one["ratios"] = {
            peer["bridge"]: {
                key: round(one[key] / peer[key], 3)
                for key in COMPARED.values()
                if one[key] is not None and peer[key]
            }
            for peer in peers
        }


def _carried(measured: list[Figures]) -> list[Figures]:
    return [one for one in measured if "could_not" not in one]


def write(measured: list[Figures], path: Path) -> None:
    """A JSON list, one object per bridge and number of calls."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(measured, indent=1) + "\n")


def show(measured: list[Figures]) -> None:
    """Tables for people."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(_figures(measured))
    carried = _carried(measured)
    for title, figures in (("CPU, % of a core a call", _cpu), ("PSS, MB", _pss)):
        table = _by_group(title, carried, figures)
        if table.row_count:
            console.print(table)
    for one in carried:
        kinds = list(one["cpu_by_kind"].items())
        if len(kinds) > 1:
            shown = ", ".join(f"{kind} {pct:.3f}" for kind, pct in kinds[:KINDS_SHOWN])
            rest = sum(pct for _, pct in kinds[KINDS_SHOWN:])
            label = f"{one['bridge']}, {one['calls']} calls, CPU % per call"
            console.print(f"{label}: {shown}, others {rest:.3f}", highlight=False)
    ratios = [one for one in carried if one["bridge"] == "gateway" and one["ratios"]]
    if ratios:
        console.print(_ratios(ratios))
    for one in measured:
        for warning in _warnings(one):
            console.print(f"[yellow]{one['bridge']}, {one['calls']} calls: {warning}[/yellow]")


def _figures(measured: list[Figures]) -> Table:
    heads = ["bridge", "calls", "served", "CPU % / call", "PSS MB / call"]
    heads += ["up p50 ms", "up p99", "down p50 ms", "down p99", "callers late p99"]
    table = Table(*heads, title="Side by side")
    for one in measured:
        if "could_not" in one:
            table.add_row(one["bridge"], str(one["calls"]), "could not")
            continue
        delays = [one[key] for key in list(COMPARED.values())[2:]]
        table.add_row(
            one["bridge"],
            str(one["calls"]),
            str(one["served"]),
            f"{one['cpu_pct_per_call']:.3f}",
            f"{one['pss_mb_per_call']:.1f}",
            *("-" if ms is None else f"{ms:.2f}" for ms in delays),
            f"{one['callers_late_p99_ms']:.2f}",
        )
    return table


def _by_group(
    title: str, carried: list[Figures], figures: Callable[[Figures], dict[str, float]]
) -> Table:
    """Bridges of several kinds of processes, by what those are for."""
    table = Table("bridge", "calls", "all", *GROUPS, title=f"{title}, by kind of process")
    for one in carried:
        by_kind = figures(one)
        if len(by_kind) > 1:
            sums = dict.fromkeys(GROUPS, 0.0)
            for kind, value in by_kind.items():
                sums[group_of(kind)] += value
            values = (sum(sums.values()), *sums.values())
            cells = (f"{value:.4g}" for value in values)
            table.add_row(one["bridge"], str(one["calls"]), *cells)
    return table


def group_of(kind: str) -> str:
    """What a kind of process (`tree.kind_of`) is for."""
    if kind in _RAY or kind.startswith("ray "):
        return "ray"
    return _GROUPS.get(kind, "others")


def _cpu(one: Figures) -> dict[str, float]:
    found: dict[str, float] = one["cpu_by_kind"]
    return found


def _pss(one: Figures) -> dict[str, float]:
    found: dict[str, float] = one["pss_mb_by_kind"]
    return found


def _ratios(gateway: list[Figures]) -> Table:
    table = Table("gateway over", "calls", *COMPARED, title="Ratios (below 1: the gateway is less)")
    for one in gateway:
        for peer, ratios in one["ratios"].items():
            cells = [f"{ratios[key]:.2f}" if key in ratios else "-" for key in COMPARED.values()]
            table.add_row(peer, str(one["calls"]), *cells)
    return table


def _warnings(one: Figures) -> list[str]:
    if "could_not" in one:
        return [f"could not: {one['could_not']}"]
    warnings = [*one["failed"][:3]]
    if one["served"] < one["calls"]:
        warnings.append(f"{one['calls'] - one['served']} calls were not served")
    if one["others_cpu_pct"] > OTHERS_PCT:
        warnings.append(f"other programs used {one['others_cpu_pct']} % of a core meanwhile")
    return warnings
