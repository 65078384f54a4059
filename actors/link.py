"""The byte link between front door, audio worker and call session.

One link carries one call, over a Unix socket on a node or over TLS between
nodes. Frames are those of `reception.framing`. Sending never waits: while the
peer doesn't read, audio queues up to a bound and then the OLDEST audio is
dropped and counted; nothing else is ever dropped, and a peer that lets too much
of it pile up is cut off, as is one that gives no sign of life for 2 s.

A frame costs 0.3 µs of Python to send and 0.6 µs to take, beside some
7 and 5 µs in the event loop and the kernel. Frames written in the same turn of
uvloop's go out in one write as it is: corking here would gain nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

from actors.link_tls import NodeTls, peer_node_id
from actors.pulse import Pulse
from reception.address import Address, UnixAddress, parse
from reception.backlog import Backlog
from reception.errors import LinkError, Unavailable
from reception.framing import (
    AUDIO_TAG,
    FrameReader,
    Kind,
    audio_body,
    encode,
    encode_audio,
    split_audio,
)
from reception.peer_clock import PeerClock

SESSION_SUFFIX = ".ctl"  # a worker's socket for sessions: its door socket's path + this
MAX_WAITING_AUDIO = 100
MAX_WAITING_CONTROL = 1_000
MAX_INBOX = 1_000
CLOSE_TIMEOUT_S = 1.0
_HIGH_WATER_BYTES = 64 * 1024
_PING_KIND, _PONG_KIND, _AUDIO_KIND = Kind.PING, Kind.PONG, Kind.AUDIO
_CLOCK = struct.Struct("!Q")  # body of a ping; a pong's is that and the peer's own
_CLOCKS = struct.Struct("!QQ")

FrameHandler = Callable[[Kind, bytes], None]


class Serializable(Protocol):
    """A protobuf message."""

    def SerializeToString(self) -> bytes: ...  # noqa: N802 - protobuf's name


class Link(asyncio.Protocol):
    """One end of a byte link.

    Stamps of audio are CLOCK_MONOTONIC ns, of the receiving node: a link over
    TLS moves those of the other node to this one's clock.

    Read it either with `receive` (frames wait in a bounded inbox; a full inbox
    stops reading from the socket) or with `handle`, which calls back for every
    frame as it comes.

    `end_reason` says why an end was ours: "silent" (no sign of life), "stuck"
    (too much control waited), "nonsense" (no frames), else it is empty.
    """

    def __init__(self, on_made: Callable[[Link], None] | None = None) -> None:
        self.end_reason = ""
        self.beats = 0
        self._on_made = on_made
        self._pulse = Pulse.of_loop()
        self._transport: asyncio.Transport | None = None
        self._write: Callable[[bytes], None]
        self._flowing = False  # connected, not at an end, and the peer reads
        self._backlog: Backlog[bytes] = Backlog(MAX_WAITING_AUDIO, MAX_WAITING_CONTROL)
        self._emptied: asyncio.Future[None] | None = None
        self._feed = self._read = FrameReader().feed
        self._peer_clock = PeerClock()
        self._inbox: deque[tuple[Kind, bytes]] = deque()
        self._wakeup: asyncio.Future[None] | None = None
        self._handler: FrameHandler | None = None
        self._on_end: Callable[[], None] | None = None
        self._reading_paused = False
        self._ended = False
        loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] = loop.create_future()
        self._asked: asyncio.Future[None] = loop.create_future()

    @classmethod
    async def connect(cls, address: str, timeout_s: float, tls: NodeTls | None = None) -> Link:
        """A link to whoever serves `address`; over TLS both have shown their
        certificates by then, for which this node needs its own in `tls`.

        Raises:
            Unavailable: nobody answers there within `timeout_s`, or either
                refuses the other's certificate.
        """
        where = parse(address)
        try:
            async with asyncio.timeout(timeout_s):
                return await cls._connect(where, tls)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"no link to {where.name}: {error}") from error

    @classmethod
    async def _connect(cls, where: Address, tls: NodeTls | None) -> Link:
        loop = asyncio.get_running_loop()
        if isinstance(where, UnixAddress):
            _, link = await loop.create_unix_connection(cls, where.path)
            return link
        if tls is None:
            raise ConnectionRefusedError("this node has no certificate")
        _, link = await loop.create_connection(cls, where.host, where.port, ssl=tls.client)
        try:
            # TLS 1.3 tells a client of its refusal after the handshake only:
            # the server's first question says that it took us.
            await link._asked
        except asyncio.CancelledError:
            link.abort()
            raise
        if link.ended:
            raise ConnectionRefusedError("the peer refused this node's certificate")
        return link

    # ------------------------------------------------------------- sending

    def send_audio(self, stamp_ns: int, message: bytes) -> None:
        """Sends one of the stream's messages with its stamp. If it is audio it
        may be dropped while the peer doesn't read; other messages never are."""
        frame = encode_audio(stamp_ns, message)
        if self._flowing:
            self._write(frame)
        else:
            self._hold(frame, message[:1] == AUDIO_TAG)

    def send(self, message: Serializable) -> None:
        """Sends a link.v1 message."""
        frame = encode(Kind.CONTROL, message.SerializeToString())
        if self._flowing:
            self._write(frame)
        else:
            self._hold(frame, False)

    def _hold(self, frame: bytes, audio: bool) -> None:
        if self._ended or self._transport is None:
            return
        self._backlog.add(frame, audio)
        if self._backlog.overfull:
            self._cut_off("stuck")

    @property
    def dropped_audio(self) -> int:
        """Frames of audio that were dropped because the peer didn't read."""
        return self._backlog.dropped_audio

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

    # ------------------------------------------------------------- the end

    async def close(self) -> None:
        """Closes the link; what was sent before still goes out, for
        `CLOSE_TIMEOUT_S` at most."""
        if self._transport is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if self._backlog and not self._ended:
                    self._emptied = asyncio.get_running_loop().create_future()
                    await self._emptied
                self._transport.close()
                await asyncio.shield(self._closed)
        if not self._closed.done():
            self._transport.abort()

    def abort(self) -> None:
        """Closes the link at once."""
        if self._transport is not None:
            self._transport.abort()

    def _cut_off(self, reason: str) -> None:
        self.end_reason = self.end_reason or reason
        self.abort()

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def peer_node_id(self) -> str:
        """The node in the peer's certificate; empty on a Unix socket."""
        return "" if self._transport is None else peer_node_id(self._transport)

    # ------------------------------------------------------------- signs of life

    def ask(self) -> None:
        """Asks the peer for a sign of life. Not while it doesn't read: what
        waits for it is then reason enough to answer once it reads again."""
        if self._flowing:
            self._write(encode(_PING_KIND, _CLOCK.pack(time.monotonic_ns())))

    def give_up(self) -> None:
        """The peer gave no sign of life; who doesn't read can't know that, and
        shows the peer instead that it lives itself."""
        if self._reading_paused:
            self.beats = 0
            self.ask()
        else:
            self._cut_off("silent")

    def _on_sign_of_life(self, kind: Kind, body: bytes) -> None:
        now_ns = time.monotonic_ns()
        if kind is _PING_KIND:
            if self._flowing:
                self._write(encode(_PONG_KIND, body + _CLOCK.pack(now_ns)))
            if not self._asked.done():
                self._asked.set_result(None)
        elif len(body) == _CLOCKS.size:
            asked_ns, peer_ns = _CLOCKS.unpack(body)
            self._peer_clock.answered(asked_ns, peer_ns, now_ns)

    def _read_foreign(self, data: bytes) -> list[tuple[Kind, bytes]]:
        """Frames of another node, with stamps of this one's clock."""
        frames = self._read(data)
        now_ns = time.monotonic_ns()
        for at, (kind, body) in enumerate(frames):
            if kind is _AUDIO_KIND:
                stamp_ns, message = split_audio(body)
                if stamp_ns:
                    ours_ns = self._peer_clock.ours(stamp_ns, now_ns)
                    frames[at] = kind, audio_body(ours_ns, message)
        return frames

    # ----------------------------------------------- asyncio.Protocol's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        self._write = self._transport.write
        self._flowing = True
        self._pulse.watch(self)
        if transport.get_extra_info("ssl_object") is not None:
            self._feed = self._read_foreign
            self.ask()
        if self._on_made is not None:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        self.beats = 0
        try:
            frames = self._feed(data)
        except LinkError:
            self._cut_off("nonsense")
            return
        handler = self._handler
        for kind, body in frames:
            if kind is _PING_KIND or kind is _PONG_KIND:
                self._on_sign_of_life(kind, body)
            elif handler is not None:
                handler(kind, body)
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
        self._flowing = False
        self._pulse.forget(self)
        self._backlog.clear()
        for future in (self._closed, self._asked, self._emptied):
            if future is not None and not future.done():
                future.set_result(None)
        self._wake()
        if self._on_end is not None:
            self._on_end()

    def pause_writing(self) -> None:
        self._flowing = False

    def resume_writing(self) -> None:
        self._flowing = not self._ended
        while self._backlog and self._flowing:
            self._write(self._backlog.take())
        if self._emptied is not None and not self._backlog and not self._emptied.done():
            self._emptied.set_result(None)

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)
