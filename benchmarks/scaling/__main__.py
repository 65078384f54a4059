"""`python -m benchmarks.scaling`: one simulated cluster, its tables and its plots."""

from __future__ import annotations

import argparse
import os
import platform
import time
from dataclasses import fields
from pathlib import Path

from benchmarks.scaling.capacity import measure
from benchmarks.scaling.cluster import Cluster
from benchmarks.scaling.leases import table
from benchmarks.scaling.measures import Sample
from benchmarks.scaling.model import Model
from benchmarks.scaling.paper import draw, tables
from reception.placement.balancing.pickers import PICKERS

OPTIONS = (
    "nodes", "calls", "load", "seed", "minutes", "policy", "subset", "hold_s", "report_s",
    "response_s", "kill", "slow", "join",
)  # fmt: skip


def run() -> None:
    """A tenth of the size, for `python -m benchmarks`: a minute or two."""
    simulate(Model(nodes=100, calls=10_000), Path("out/scaling"), capacity_s=0.0)


def simulate(model: Model, folder: Path, capacity_s: float) -> None:
    """Runs, prints and draws.

    Args:
        capacity_s: for how long each singleton is measured; 0: not.
    """
    capacities = measure(capacity_s) if capacity_s else {}
    began_s, cpu_s = time.monotonic(), time.process_time()
    outcome = Cluster(model).run(_progress)
    took_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
    print(f"\n{model}\n{model.end_s:.0f} simulated seconds, {outcome.events:,} events: "
          f"{took_s:.0f} s, {cpu_s:.0f} s of CPU\n")  # fmt: skip
    print(tables(outcome, capacities))
    print(f"\n{table(model)}")
    draw(outcome, folder)
    print(f"\nplots are in {folder}")


def _progress(now: Sample) -> None:
    if int(now.at_s) % 60 == 0:
        print(f"{now.at_s:6.0f} s  {now.live:,} calls  worst node {now.worst:.3f}", flush=True)


def main() -> None:
    defaults = {each.name: each.default for each in fields(Model)}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    for name in OPTIONS:
        kind, choices = type(defaults[name]), PICKERS if name == "policy" else None
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=kind, default=defaults[name], choices=choices
        )
    parser.add_argument("--no-failures", dest="failures", action="store_false")
    parser.add_argument("--out", type=Path, default=Path("out/scaling"), help="for the plots")
    parser.add_argument("--capacity-s", type=float, default=0.0,
                        help="measure each singleton for so long")  # fmt: skip
    told = vars(parser.parse_args())
    folder, capacity_s = told.pop("out"), told.pop("capacity_s")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    simulate(Model(**told), folder, capacity_s)


if __name__ == "__main__":
    main()
