"""The byte link between front door, audio worker and call session.

One link carries one call over a Unix socket. Frames are those of
`reception.framing`. Sending never waits: while the peer doesn't read, audio
queues up to a bound and then the OLDEST audio is dropped and counted; control
messages are never dropped, and a peer that lets too many of them pile up is
cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, cast

from reception import framing
from reception.errors import LinkError, Unavailable
from reception.framing import FrameReader, Kind

SESSION_SUFFIX = ".ctl"  # a worker's socket for sessions: its door socket's path + this
MAX_WAITING_AUDIO = 100
MAX_WAITING_CONTROL = 1_000
MAX_INBOX = 1_000
_HIGH_WATER_BYTES = 64 * 1024

FrameHandler = Callable[[Kind, bytes], None]


class Serializable(Protocol):
    """A protobuf message."""

    def SerializeToString(self) -> bytes: ...  # noqa: N802 - protobuf's name


class Link(asyncio.Protocol):
    """One end of a byte link.

    Read it either with `receive` (frames wait in a bounded inbox; a full inbox
    stops reading from the socket) or with `handle`, which calls back for every
    frame as it comes.
    """

    def __init__(self, on_made: Callable[[Link], None] | None = None) -> None:
        self.dropped_audio = 0
        self._on_made = on_made
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._inbox: deque[tuple[Kind, bytes]] = deque()
        self._wakeup: asyncio.Future[None] | None = None
        self._handler: FrameHandler | None = None
        self._on_end: Callable[[], None] | None = None
        self._paused = False
        self._reading_paused = False
        self._ended = False
        self._waiting: deque[tuple[bool, bytes]] = deque()
        self._waiting_audio = 0
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(cls, path: str, timeout_s: float) -> Link:
        """A link to whoever serves `path`.

        Raises:
            Unavailable: nobody answers there within `timeout_s`.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                _, link = await loop.create_unix_connection(cls, path)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"no link to {Path(path).name}: {error}") from error
        return link

    # ------------------------------------------------------------- sending

    def send_audio(self, stamp_ns: int, message: bytes) -> None:
        """Sends a message that carries audio, or drops the oldest one waiting."""
        self._send(True, framing.encode_audio(stamp_ns, message))

    def send(self, message: Serializable) -> None:
        """Sends a link.v1 message."""
        self._send(False, framing.encode(Kind.CONTROL, message.SerializeToString()))

    def _send(self, audio: bool, frame: bytes) -> None:
        if self._ended or self._transport is None:
            return
        if not self._paused:
            self._transport.write(frame)
            return
        self._waiting.append((audio, frame))
        if audio:
            self._waiting_audio += 1
            if self._waiting_audio > MAX_WAITING_AUDIO:
                self._drop_oldest_audio()
        elif len(self._waiting) - self._waiting_audio > MAX_WAITING_CONTROL:
            self._transport.abort()

    def _drop_oldest_audio(self) -> None:
        for at, (audio, _) in enumerate(self._waiting):
            if audio:
                del self._waiting[at]
                self._waiting_audio -= 1
                self.dropped_audio += 1
                return

    # ----------------------------------------------------------- receiving

    def handle(self, on_frame: FrameHandler, on_end: Callable[[], None]) -> None:
        """Calls `on_frame` for each frame from now on, `on_end` once at the end."""
        self._handler, self._on_end = on_frame, on_end
        while self._inbox:
            on_frame(*self._inbox.popleft())
        self._resume_reading()
        if self._ended:
            on_end()

    async def receive(self) -> tuple[Kind, bytes] | None:
        """The next frame, or None when the link is at its end."""
        while not self._inbox:
            if self._ended:
                return None
            self._wakeup = asyncio.get_running_loop().create_future()
            try:
                await self._wakeup
            finally:
                self._wakeup = None
        frame = self._inbox.popleft()
        if len(self._inbox) < MAX_INBOX // 2:
            self._resume_reading()
        return frame

    def _resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None and not self._ended:
            self._reading_paused = False
            self._transport.resume_reading()

    async def close(self) -> None:
        """Closes the link; what was sent before still goes out, for a second at most."""
        if self._transport is not None:
            self._transport.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await asyncio.shield(self._closed)
            if not self._closed.done():
                self._transport.abort()

    def abort(self) -> None:
        """Closes the link at once."""
        if self._transport is not None:
            self._transport.abort()

    # ----------------------------------------------- asyncio.Protocol's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        if self._on_made is not None:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        try:
            frames = self._reader.feed(data)
        except LinkError:
            self.abort()
            return
        for kind, body in frames:
            if kind is Kind.PING:
                self._send(False, framing.encode(Kind.PONG, body))
            elif self._handler is not None:
                self._handler(kind, body)
            else:
                self._inbox.append((kind, body))
        if self._inbox:
            if len(self._inbox) >= MAX_INBOX and not self._reading_paused:
                self._reading_paused = True
                cast("asyncio.Transport", self._transport).pause_reading()
            self._wake()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._waiting.clear()
        if not self._closed.done():
            self._closed.set_result(None)
        self._wake()
        if self._on_end is not None:
            self._on_end()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        while self._waiting and not self._paused and self._transport is not None:
            audio, frame = self._waiting.popleft()
            self._waiting_audio -= audio
            self._transport.write(frame)

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    @property
    def ended(self) -> bool:
        return self._ended


async def serve(path: str, on_link: Callable[[Link], Awaitable[None]]) -> asyncio.Server:
    """Serves links at `path`; `on_link` runs as a task for each that is made.

    Close the server to stop taking links; a link outlives its server.
    """
    tasks: set[asyncio.Task[None]] = set()

    def made(link: Link) -> None:
        task = asyncio.ensure_future(on_link(link))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop = asyncio.get_running_loop()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    server = await loop.create_unix_server(lambda: Link(made), path)
    os.chmod(path, 0o600)
    return server
