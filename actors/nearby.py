"""Actor calls within a node: over a Unix socket instead of Ray's RPC.

Ray places actors, supervises them and calls them across nodes. Where caller and actor
are on one node, the same call over a socket costs both sides together a twentieth of
Ray's (docs/performance.md). What a caller sees is the same: at most once, the actor's
error as RayTaskError, an actor that dies meanwhile as RayActorError.

The address is the actor's id in Linux's abstract namespace: it needs no file, a process
that Ray starts again has it again, and it is gone as soon as the process is. Both sides
ask the kernel whose process the other one is, and talk to those of their own user only:
what they read is unpickled.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import itertools
import operator
import os
import pickle  # nosec B403 - from processes of this user only
import socket
import struct
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any

from ray.exceptions import RayActorError, RayTaskError

from actors.log import log
from actors.tasks import Tasks
from reception.errors import LimitReached, ReceptionError

MAX_BYTES = 64 * 1024 * 1024  # of one call or answer
MAX_CALLS = 1_000  # under way on one connection
_BACKLOG = 1_000
_LENGTH = struct.Struct("!I")
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

Call = Callable[[str, tuple[Any, ...]], Awaitable[Any]]


def _address(actor_id: str) -> str:
    return f"\0reception-actor-{actor_id}"


def _is_own(peer: socket.socket) -> bool:
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(raw)[1] == os.getuid())


async def _read(reader: asyncio.StreamReader) -> Any:
    """The next message. Raises EOFError or OSError when there is none."""
    (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if size > MAX_BYTES:
        raise EOFError(f"a message of {size} bytes is over {MAX_BYTES}")
    return pickle.loads(await reader.readexactly(size))  # noqa: S301  # nosec B301 - as above: of this user only


class _Pickler(pickle.Pickler):
    """Frozen dataclasses go as their class and its arguments: as `dataclasses` have it each
    asks for its fields anew on both sides, which was a third of a call."""

    def reducer_override(self, obj: Any) -> Any:
        values = _values(type(obj))  # type: ignore[arg-type]  # classes are hashable
        return NotImplemented if values is None else (type(obj), values(obj))


@functools.cache
def _values(kind: type) -> Callable[[Any], tuple[Any, ...]] | None:
    """What such an object is made of; None: its class does more than to keep that."""
    params = vars(kind).get("__dataclass_params__")
    if params is None or not (params.frozen and params.init) or hasattr(kind, "__post_init__"):
        return None
    given = [each.name for each in fields(kind) if each.init and not each.kw_only]
    whole = len(given) == len(fields(kind)) > 1  # of one an attrgetter gives no tuple
    return operator.attrgetter(*given) if whole else None


def _packed(message: Any) -> bytes:
    """Raises LimitReached when it is too large; what pickle raises otherwise."""
    packed = io.BytesIO()
    _Pickler(packed, pickle.HIGHEST_PROTOCOL).dump(message)
    body = packed.getbuffer()
    if len(body) > MAX_BYTES:
        raise LimitReached(f"a message of {len(body)} bytes is over {MAX_BYTES}")
    return b"".join((_LENGTH.pack(len(body)), body))


async def serve(actor_id: str, call: Call) -> asyncio.Server | None:
    """Takes calls for an actor of this process from now on, until the process ends or
    the server is closed. None where there is no abstract namespace (not Linux): all
    calls come through Ray then.

    Args:
        actor_id: Ray's, in hexadecimal.
        call: carries one out.
    """
    if sys.platform != "linux":
        return None
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    listener.bind(_address(actor_id))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _is_own(writer.get_extra_info("socket")):
                await _answer_all(reader, writer, call)
        except (EOFError, OSError, asyncio.CancelledError):
            pass  # the caller has gone; what it asked for is done to the end
        finally:
            writer.close()

    return await asyncio.start_unix_server(connected, sock=listener, backlog=_BACKLOG)


async def _answer_all(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, call: Call
) -> None:
    room = asyncio.Semaphore(MAX_CALLS)
    under_way = Tasks()

    async def answer(number: int, method: str, args: tuple[Any, ...]) -> None:
        try:
            message = _packed((number, True, await call(method, args)))
        except Exception as error:
            message = _failed(number, method, error)
        if not writer.is_closing():
            writer.write(message)
            with contextlib.suppress(OSError):
                await writer.drain()
        room.release()

    while True:
        await room.acquire()
        under_way.begin(answer(*await _read(reader)))


def _failed(number: int, method: str, error: Exception) -> bytes:
    text = "".join(traceback.format_exception(error))
    if not isinstance(error, ReceptionError):
        log.error("actor call failed", method=method, error=text)
    try:
        return _packed((number, False, (text, error)))
    except Exception:  # an error that can't be pickled
        return _packed((number, False, (text, RuntimeError(repr(error)))))


class Nearby:
    """A connection to an actor on this node."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read_all(reader))

    @classmethod
    async def connect(cls, actor_id: str) -> Nearby | None:
        """None when the actor is not on this node, or not there yet."""
        if sys.platform != "linux":
            return None
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        end.setblocking(False)
        try:
            end.connect(_address(actor_id))
            if not _is_own(end):
                raise PermissionError("the actor's address is somebody else's")
            reader, writer = await asyncio.open_unix_connection(sock=end)
        except OSError:
            end.close()
            return None
        return cls(reader, writer)

    @property
    def lost(self) -> bool:
        """The actor's process is gone, or has closed the connection."""
        return self._reading.done()

    async def call(self, method: str, args: tuple[Any, ...]) -> Any:
        """Calls a method of the actor. Who is cancelled does not get the answer; the
        method goes on.

        Raises:
            RayTaskError: what the method raised, as an instance of that too.
            RayActorError: the actor died; the method may have run or not.
            LimitReached: MAX_CALLS are under way.
        """
        if len(self._waiting) >= MAX_CALLS:
            raise LimitReached(f"{MAX_CALLS} calls of an actor are under way", retry_after_s=1.0)
        if self.lost:
            raise RayActorError
        number = next(self._numbers)
        message = _packed((number, method, args))
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(message)
            good, value = await answer
        finally:
            del self._waiting[number]
        if good:
            return value
        text, cause = value
        raised: Any = RayTaskError
        raise raised(method, text, cause).as_instanceof_cause()

    async def _read_all(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                number, good, value = await _read(reader)
                answer = self._waiting.get(number)
                if answer is not None and not answer.done():
                    answer.set_result((good, value))
        except (EOFError, OSError):
            pass
        finally:
            self._writer.close()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(RayActorError())
