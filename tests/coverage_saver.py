"""Coverage plugin: writes what was measured once a second.

Ray ends its workers without running exit handlers, so a process that waited
for its end to save would never do it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import Any

import coverage
from coverage.exceptions import CoverageException

INTERVAL_S = 1.0
_stop = threading.Event()


def coverage_init(_registry: Any, _options: Any) -> None:
    """Called by coverage when it starts in a process."""
    if os.environ.get("COVERAGE_PROCESS_START"):
        threading.Thread(target=_save_often, name="coverage-saver", daemon=True).start()


def _save_often() -> None:
    while not _stop.wait(INTERVAL_S):
        measured = coverage.Coverage.current()
        if measured is not None:
            with contextlib.suppress(CoverageException, RuntimeError, sqlite3.Error, OSError):
                measured.save()
