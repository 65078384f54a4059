"""Looks into the database from an event loop without stopping it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.engine import Connection

from actors.storage.engine import Store

T = TypeVar("T")


class Reader:
    """Runs functions of a connection on one consistent view, in other threads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns. Raises Unavailable when the database can't."""
        return await asyncio.to_thread(self._read, work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self._store.reading() as connection:
            return work(connection)
