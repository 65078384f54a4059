"""A whole run: drivers beside a watch of the server's processes, then the report."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from typing import Any

from cluster.load.fleet import Drivers, Progress
from cluster.load.measures import Measures
from cluster.load.report import Report, report_of
from cluster.load.watch import Watch

LEAD_S = 1.0  # until the first call, for the word to reach every driver
POLL_S = 0.25


def run(
    drivers: Drivers,
    about: dict[str, Any],
    watch: Watch | None,
    tell: Callable[[Progress, float], None],
) -> Report:
    """The run from the first call to the last; Ctrl-C once has the callers hang
    up, and what was measured until then is reported.

    Args:
        drivers: not started yet; closed at the end.
        about: words for the report.
        watch: of the server, if it is here.
        tell: gets counts and the seconds since the run began.

    Raises:
        ReceptionError: nothing answers, or a driver died.
    """
    stopped = False
    try:
        drivers.start()
        if watch is not None:
            watch.began_s = time.monotonic() + LEAD_S
            watch.look(0, pss=True)
        at_s = time.time() + LEAD_S
        drivers.go(at_s)
        over = False
        while not over:
            try:
                progress, over = drivers.poll(POLL_S)
                tell(progress, time.time() - at_s)
                if watch is not None and not over:
                    watch.look(progress.get("live", 0))
            except KeyboardInterrupt:
                if stopped:
                    raise
                stopped = True
                drivers.stop()
        took_s = time.time() - at_s
        measures = Measures.of(drivers.result())
    finally:
        drivers.close()
    about = _machine() | about | {"stopped_early": stopped}
    return report_of(about, measures, watch.account if watch is not None else None, took_s)


def _machine() -> dict[str, Any]:
    return {
        "began_at": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": {
            "host": platform.node(),
            "cores": os.cpu_count(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
    }
