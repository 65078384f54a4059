"""`python -m benchmarks [NAME ...]`: all benchmarks, or those that are named."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from functools import partial

from benchmarks import (
    balance,
    barge_in,
    door,
    forecast,
    frames,
    growth,
    heavy,
    link,
    money,
    never_ending,
    provider,
    setup,
    unary,
)
from benchmarks.bridges import __main__ as bridges
from benchmarks.scaling import __main__ as scaling
from cluster.chaos.databases import KINDS

BENCHMARKS: dict[str, Callable[[], None]] = {
    "balance": balance.run,
    "barge-in": barge_in.run,
    "door": door.run,
    "forecast": forecast.run,
    "frames": frames.run,
    "link": link.run,
    "money": money.run,
    "never-ending": never_ending.run,
    "provider": provider.run,
    "setup": setup.run,
    "unary": unary.run,
    "growth": growth.run,
    "heavy": heavy.run,
    "scaling": scaling.run,
    "bridges": bridges.run,
}


def main(args: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--database", choices=KINDS, default="sqlite", help="of money")
    options = parser.parse_args(args)
    names, unknown = options.names, sorted(set(options.names) - set(BENCHMARKS))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}: there are {', '.join(BENCHMARKS)}")
        return 1
    benchmarks = BENCHMARKS | {"money": partial(money.run, options.database)}
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in names or BENCHMARKS:
        print(f"\n== {name}")
        benchmarks[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
