"""Coverage plugin: in Ray's workers, writes what was measured once a second.

Ray ends them without running exit handlers, so a process that waited for its
end to save would never do it. Every other process does save at its end, and must
not save beside its work: measured, that loses whole modules of a busy one.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import coverage
from coverage.exceptions import CoverageException

INTERVAL_S = 1.0
RAY_WORKER = "default_worker.py"
_stop = threading.Event()


def coverage_init(_registry: Any, _options: Any) -> None:
    """Called by coverage when it starts in a process."""
    if Path(sys.argv[0] if sys.argv else "").name == RAY_WORKER:
        threading.Thread(target=_save_often, name="coverage-saver", daemon=True).start()


def _save_often() -> None:
    while not _stop.wait(INTERVAL_S):
        measured = coverage.Coverage.current()
        if measured is not None:
            with contextlib.suppress(CoverageException, RuntimeError, sqlite3.Error, OSError):
                measured.save()
