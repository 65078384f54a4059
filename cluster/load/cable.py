"""A TCP connection that can be cut, or pulled out: for callers who vanish.

gRPC always says goodbye (a reset stream); a dead peer does not. So the connection
of such a caller runs through this relay.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: RST, no FIN


class _End(asyncio.Protocol):
    """One of the two sockets; what it gets goes to the other."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()


class Cable:
    """Relays one connection. Dial `address` once.

    Its buffers are the transports' own, which stop reading when they are full.
    """

    def __init__(self, far: _End) -> None:
        self.address = ""
        self._far, self._near = far, _End()
        self._server: asyncio.Server | None = None

    @classmethod
    async def plug(cls, address: str) -> Cable:
        """Connects to host:port.

        Raises:
            OSError: nobody is there.
        """
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        transport, far = await loop.create_connection(_End, host.strip("[]"), int(port))
        transport.pause_reading()
        cable = cls(far)
        cable._server = await loop.create_server(cable._joined, "127.0.0.1", 0)
        cable.address = f"127.0.0.1:{cable._server.sockets[0].getsockname()[1]}"
        return cable

    def _joined(self) -> _End:
        """The caller's side has dialled."""
        if self._near.other is not None:
            return _End()  # gRPC dials again after a cut: nobody answers
        self._near.other, self._far.other = self._far, self._near
        assert self._far.transport is not None
        self._far.transport.resume_reading()
        return self._near

    def cut(self) -> None:
        """The connection breaks: the server gets a reset."""
        if self._far.transport is not None:
            line: socket.socket = self._far.transport.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self.close()

    def freeze(self) -> None:
        """The connection stays, and nothing passes any more, either way."""
        self._near.other = self._far.other = None
        if self._far.transport is not None:
            self._far.transport.pause_reading()

    def close(self) -> None:
        """Both sockets and the listening one."""
        if self._server is not None:
            self._server.close()
        for end in (self._far, self._near):
            if end.transport is not None:
                end.transport.abort()
