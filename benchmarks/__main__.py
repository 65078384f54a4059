"""`python -m benchmarks [NAME ...]`: all benchmarks, or those that are named."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable

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
)
from benchmarks.bridges import __main__ as bridges
from benchmarks.scaling import __main__ as scaling

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
    "growth": growth.run,
    "heavy": heavy.run,
    "scaling": scaling.run,
    "bridges": bridges.run,
}


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}: there are {', '.join(BENCHMARKS)}")
        return 1
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in names or BENCHMARKS:
        print(f"\n== {name}")
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
