"""The database of a chaos run: what it is, and how it goes away."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from cluster.local_postgres import LocalPostgres, programs

LOCKED_S = 30.0  # for others to be done with it


class Database(Protocol):
    """url: for the cluster. ways: in which it goes away."""

    url: str
    ways: tuple[str, ...]

    def away(self, way: str, seconds: float) -> None:
        """Nobody can write to it for so long; blocks."""

    def close(self) -> None:
        """Ends it."""


class Sqlite:
    """A file. While it is away, it is locked."""

    ways: tuple[str, ...] = ("locked",)

    def __init__(self, folder: Path) -> None:
        self._path = folder / "reception.db"
        self.url = f"sqlite:///{self._path}"

    def away(self, way: str, seconds: float) -> None:
        del way  # there is one
        connection = sqlite3.connect(self._path, timeout=LOCKED_S, isolation_level=None)
        try:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    def close(self) -> None:
        """A file needs no end."""


class Postgresql:
    """A server of its own. While it is away, it does not run, or stands still and leaves
    who asks it without an answer.

    Raises:
        Unavailable: it can't be started, or is not installed.
    """

    ways: tuple[str, ...] = ("stopped", "frozen")

    def __init__(self, folder: Path) -> None:
        binaries = programs()
        folder.chmod(0o711)  # where its user may pass
        self._server = LocalPostgres(folder / "postgresql", binaries)
        self._server.start()
        self.url = self._server.create("reception")

    def away(self, way: str, seconds: float) -> None:
        server = self._server
        go, come = (server.stop, server.start) if way == "stopped" else (
            partial(server.send, signal.SIGSTOP), partial(server.send, signal.SIGCONT)
        )  # fmt: skip
        go()
        try:
            time.sleep(seconds)
        finally:
            come()

    def close(self) -> None:
        self._server.stop()


KINDS: dict[str, Callable[[Path], Database]] = {"sqlite": Sqlite, "postgresql": Postgresql}
