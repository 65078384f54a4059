"""`python -m benchmarks.bridges`: see the package's docstring."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.bridges import report
from benchmarks.bridges.parts import ROOT
from benchmarks.bridges.run import BRIDGES, Plan, measure_all
from benchmarks.bridges.tones import SPEAKERS

OUT = ROOT / "out" / "bench.json"


def run() -> None:
    """With the default sizes, as one of `make bench`."""
    measure(Plan(), OUT)


def measure(plan: Plan, path: Path) -> None:
    """Measures, shows, writes."""
    measured = []
    for figures in measure_all(plan, lambda line: print(line, file=sys.stderr, flush=True)):
        measured.append(figures)
        report.add_ratios(measured)
        report.write(measured, path)  # a long run that is broken off has been worth something
    report.show(measured)
    print(f"written to {path}")


def _calls(word: str) -> int:
    if not 1 <= int(word) <= SPEAKERS:
        raise argparse.ArgumentTypeError(f"calls is {word}: must be 1 to {SPEAKERS}")
    return int(word)


def main() -> None:
    plan = Plan()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bridges", description=__doc__)
    parser.add_argument("--bridges", nargs="+", choices=BRIDGES, default=plan.bridges)
    parser.add_argument("--calls", nargs="+", type=_calls, default=plan.calls)
    parser.add_argument("--seconds", type=float, default=plan.seconds, help="that are measured")
    parser.add_argument("--per-second", type=float, default=plan.per_second, help="new calls")
    parser.add_argument("--answers", choices=("paced", "burst"), default=plan.answers)
    parser.add_argument("--no-dashboard", action="store_true", help="start Ray without it")
    parser.add_argument("--json", type=Path, default=OUT, help="where the figures go")
    options = parser.parse_args()
    chosen = Plan(
        bridges=tuple(options.bridges),
        calls=tuple(options.calls),
        seconds=options.seconds,
        per_second=options.per_second,
        answers=options.answers,
        dashboard=not options.no_dashboard,
    )
    measure(chosen, options.json)


if __name__ == "__main__":
    main()
