"""A throw-away PostgreSQL server for tests, from the installed binaries."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.local_postgres import LocalPostgres, programs
from reception.errors import Unavailable

_SETTINGS = ("fsync=off", "max_connections=50")


@contextlib.contextmanager
def server() -> Iterator[LocalPostgres]:
    """Runs a server; skips the test where none is installed."""
    try:
        binaries = programs()
    except Unavailable as missing:
        pytest.skip(missing.message)  # says what to install
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        running = LocalPostgres(folder, binaries, _SETTINGS)
        running.start()
        try:
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def database(running: LocalPostgres, name: str) -> Iterator[str]:
    """A fresh database; yields its URL."""
    url = running.create(name)
    try:
        yield url
    finally:
        running.drop(name)
