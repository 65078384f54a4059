"""One thread that writes for a singleton: many requests, one durable commit.

Requests that wait while a commit is under way share the next one (group
commit). Each runs in its own savepoint, so one that fails takes back nothing
of the others, and every transaction begins with the check of the epoch.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy.engine import Connection

from actors.storage.engine import Store, check_epoch, faults
from reception.errors import Fenced, LimitReached, ReceptionError, Unavailable

T = TypeVar("T")

MAX_WAITING = 10_000
MAX_BATCH = 256


Work = Callable[[Connection], Any]


class Around(Protocol):
    """What goes with every transaction of a writer; called in its thread."""

    def begin(self, connection: Connection, works: Sequence[Work]) -> None:
        """Before the requests of a commit."""

    def end(self, connection: Connection, epoch: int) -> None:
        """After them, before it is durable."""

    def lost(self) -> None:
        """It came to nothing, or nobody knows whether it did."""


@dataclass(slots=True)
class _Request:
    work: Work
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    outcome: Any = None
    error: BaseException | None = None


class Writer:
    """Runs functions of a connection, in the order of their coming.

    The epoch is taken with the first request, not before: a process that only
    looks does not replace the one that works.

    Args:
        store: stays open until after `close`.
        singleton: whose epoch the writes carry.
        around: what surrounds its transactions. A request may then fail with a
            ReceptionError and must have changed nothing; after any other
            exception all of a commit is taken back and each request is tried in
            one of its own.
    """

    def __init__(self, store: Store, singleton: str, around: Around | None = None) -> None:
        self._store = store
        self._around = around
        self._singleton = singleton
        self._epoch: int | None = None
        self._fenced: Fenced | None = None
        self._requests: queue.Queue[_Request | None] = queue.Queue(MAX_WAITING)
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name=f"{singleton}-writer", daemon=True)
        self._thread.start()

    @property
    def epoch(self) -> int:
        """The epoch of the writes; 0 before the first."""
        return self._epoch or 0

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in a transaction; its result, once that is durable.

        Cancelling gives up the answer; the work may still be done.

        Raises:
            Fenced: another process took this singleton's place.
            LimitReached: MAX_WAITING requests wait already.
            Unavailable: the database can't do it now, or this is closed.
            Whatever `work` raises; then nothing of it was written.
        """
        if self._closed:
            raise Unavailable(f"the store of {self._singleton} is closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        try:
            self._requests.put_nowait(_Request(work, loop, answer))
        except queue.Full:
            raise LimitReached(
                f"{MAX_WAITING} writes of {self._singleton} wait already", retry_after_s=1.0
            ) from None
        return await answer

    async def rehearse(self, work: Callable[[Connection], object]) -> None:
        """Runs `work` and takes back all that it wrote: the first real one then
        finds its statements compiled."""

        def and_back(connection: Connection) -> None:
            with connection.begin_nested() as savepoint:
                work(connection)
                savepoint.rollback()

        await self.run(and_back)

    async def begin(self) -> int:
        """Takes the epoch, if that has not been done; returns it."""
        await self.run(lambda _: None)
        return self.epoch

    def close(self) -> None:
        """Finishes what waits and ends the thread. Idempotent; blocks."""
        if not self._closed:
            self._closed = True
            self._requests.put(None)
        self._thread.join()

    # ------------------------------------------------------------- the thread

    def _serve(self) -> None:
        while (first := self._requests.get()) is not None:
            batch, last = self._more([first])
            batch = [request for request in batch if not request.answer.cancelled()]
            if batch:
                self._write(batch)
                _answer(batch)
            if last:
                return

    def _more(self, batch: list[_Request]) -> tuple[list[_Request], bool]:
        """Adds what waits; True if the end was asked for."""
        while len(batch) < MAX_BATCH:
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                break
            if request is None:
                return batch, True
            batch.append(request)
        return batch, False

    def _write(self, batch: list[_Request]) -> None:
        try:
            if self._fenced is not None:
                raise self._fenced
            if self._epoch is None:
                self._epoch = self._store.take_epoch(self._singleton)
            self._commit(batch, self._epoch)
        except BaseException as error:  # the answer carries it
            if isinstance(error, Fenced):
                self._fenced = error
            if self._around is not None:
                self._around.lost()
                if len(batch) > 1 and not isinstance(error, Fenced | Unavailable):
                    for request in batch:  # one of them is at fault: each for itself
                        request.error = None
                        self._write([request])
                    return
            for request in batch:
                request.error = error

    def _commit(self, batch: list[_Request], epoch: int) -> None:
        with self._store.transaction() as connection:
            check_epoch(connection, self._singleton, epoch)
            if self._around is not None:
                self._surrounded(self._around, connection, batch, epoch)
                return
            if len(batch) == 1:
                batch[0].outcome = batch[0].work(connection)
                return
            for request in batch:
                try:
                    with faults(), connection.begin_nested():
                        request.outcome = request.work(connection)
                except Exception as error:  # the answer carries it
                    request.error = error

    def _surrounded(
        self, around: Around, connection: Connection, batch: list[_Request], epoch: int
    ) -> None:
        around.begin(connection, [request.work for request in batch])
        for request in batch:
            try:
                request.outcome = request.work(connection)
            except ReceptionError as error:
                request.error = error
        around.end(connection, epoch)


def _answer(batch: list[_Request]) -> None:
    """All answers of a commit with one wake-up of each loop that waits."""
    for loop in {request.loop for request in batch}:
        answered = [request for request in batch if request.loop is loop]
        with contextlib.suppress(RuntimeError):  # it is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, answered)


def _resolve(batch: list[_Request]) -> None:
    for request in batch:
        if request.answer.done():
            continue
        if request.error is not None:
            request.answer.set_exception(request.error)
        else:
            request.answer.set_result(request.outcome)
