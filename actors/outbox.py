"""What could not be written yet: kept on disk, and delivered in order once it can be.

For bills, records and messages while the database, or the singleton in front of it, does
not answer. Each delivery is told apart by its ids where it goes, so that one that is made
again counts once. The file is the node's own; one that a dead process left behind is
delivered by the next that starts here.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pickle  # nosec B403 - read by actors.checkpoint, which makes our own classes only
import struct
import tempfile
from collections import deque
from collections.abc import Awaitable, Callable
from io import BufferedRandom
from pathlib import Path
from typing import cast

import structlog

from actors.bills import Delivery
from actors.checkpoint import Reader
from reception.errors import LimitReached, LinkError

log = structlog.get_logger()

AGAIN_S = 1.0
MAX_WAITING = 100_000
MAX_BYTES = 16 * 1024 * 1024  # of one delivery
_LENGTH = struct.Struct("!I")
_SUFFIX = ".outbox"


Deliver = Callable[[Delivery], Awaitable[bool]]


class Outbox:
    """Open it in a thread; the rest is for one event loop.

    Args:
        folder: where it is kept.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        left = [each for each in map(_locked, sorted(folder.glob(f"*{_SUFFIX}"))) if each]
        handle, self._path = tempfile.mkstemp(dir=folder, suffix=_SUFFIX)  # with mode 0600
        self._file = cast("BufferedRandom", os.fdopen(handle, "r+b", buffering=0))
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._waiting: deque[Delivery] = deque()
        for file in left:
            self._waiting.extend(_read(file))
        for delivery in self._waiting:
            self._append(delivery)
        os.fsync(self._file.fileno())
        for file in left:
            os.unlink(file.name)
            file.close()
        self._more = asyncio.Event()
        self._writing = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    async def add(self, delivery: Delivery) -> None:
        """Kept, durably, when this comes back.

        Raises:
            LimitReached: MAX_WAITING wait already, or it is larger than MAX_BYTES.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise LimitReached(f"{MAX_WAITING} deliveries wait already")
        async with self._writing:
            await asyncio.to_thread(self._keep, delivery)
            self._waiting.append(delivery)
        self._more.set()

    async def deliver(self, deliver: Deliver) -> None:
        """Delivers one after the other, for ever.

        Args:
            deliver: False: not now; the same is tried again, and nothing before it.
        """
        while True:
            while self._waiting:
                if not await deliver(self._waiting[0]):
                    await asyncio.sleep(AGAIN_S)
                    continue
                async with self._writing:
                    self._waiting.popleft()
                    if not self._waiting:
                        await asyncio.to_thread(self._file.truncate, 0)
                        self._file.seek(0)
            self._more.clear()
            await self._more.wait()

    def close(self) -> None:
        """What waits stays for the next process that starts here."""
        if not self._waiting:
            os.unlink(self._path)
        self._file.close()

    def _keep(self, delivery: Delivery) -> None:
        self._append(delivery)
        os.fsync(self._file.fileno())

    def _append(self, delivery: Delivery) -> None:
        body = pickle.dumps(delivery, pickle.HIGHEST_PROTOCOL)
        if len(body) > MAX_BYTES:
            raise LimitReached(f"a delivery of {len(body)} bytes is over {MAX_BYTES}")
        self._file.write(_LENGTH.pack(len(body)) + body)


def _locked(path: Path) -> BufferedRandom | None:
    """A file that no living process has."""
    file = path.open("r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _read(file: BufferedRandom) -> list[Delivery]:
    """What is whole in it: its process may have died in the middle of a write."""
    found = []
    while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
        body = file.read(_LENGTH.unpack(head)[0])
        try:
            delivery = Reader.loads(body)
        except LinkError:
            break
        if isinstance(delivery, Delivery):
            found.append(delivery)
    return found
