"""Where byte links are served: a Unix socket, or a TCP port with mutual TLS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable

import structlog

from actors.link import Link
from actors.link_tls import NodeTls
from actors.tasks import Tasks
from reception.address import TlsAddress, UnixAddress, parse
from reception.errors import InvalidRequest

log = structlog.get_logger()

HANDSHAKE_TIMEOUT_S = 3.0
MAX_HANDSHAKES = 100
BACKLOG = 1_024  # a burst of calls connects at once
ACCEPT_RETRY_S = 0.1

OnLink = Callable[[Link], Awaitable[None]]


class LinkServer:
    """Takes links until it is closed; a link outlives its server.

    Attributes:
        address: where it listens, with the port that was bound.
        refused: peers that showed no certificate of the cluster's CA, or did
            not finish their handshake within `HANDSHAKE_TIMEOUT_S`, or came
            while `MAX_HANDSHAKES` others were at it.
    """

    def __init__(self, address: str, on_link: OnLink) -> None:
        self.address = address
        self.refused = 0
        self._on_link = on_link
        self._server: asyncio.Server | None = None
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes = Tasks()
        self._serving = Tasks()

    def close(self) -> None:
        """Takes no more links; handshakes under way are given up."""
        if self._server is not None:
            self._server.close()
        if self._accepting is not None:
            self._accepting.cancel()
        self._handshakes.cancel()
        if self._listener is not None:
            self._listener.close()

    # ------------------------------------------------------------- Unix sockets

    async def listen_unix(self, where: UnixAddress) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(where.path)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: Link(self._made), where.path, backlog=BACKLOG
        )
        os.chmod(where.path, 0o600)

    # ------------------------------------------------------------- TLS

    async def listen_tls(self, where: TlsAddress, tls: NodeTls) -> None:
        # Accepted by hand: a server of asyncio's own keeps failed handshakes to itself.
        loop = asyncio.get_running_loop()
        [found, *_] = await loop.getaddrinfo(
            where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, bound = found
        self._listener = socket.create_server(bound[:2], family=family, backlog=BACKLOG)
        self._listener.setblocking(False)
        self.address = str(TlsAddress(where.host, self._listener.getsockname()[1]))
        self._accepting = asyncio.create_task(self._accept(self._listener, tls))

    async def _accept(self, listener: socket.socket, tls: NodeTls) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, _ = await loop.sock_accept(listener)
            except OSError:  # no file handle left, or the peer is gone already
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            if len(self._handshakes) >= MAX_HANDSHAKES:
                peer.close()
                self._refuse("too many handshakes at once")
            else:
                self._handshakes.begin(self._shake_hands(peer, tls))

    async def _shake_hands(self, peer: socket.socket, tls: NodeTls) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Link(self._made),
                peer,
                ssl=tls.server,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            )
        except OSError as error:
            self._refuse(str(error) or type(error).__name__)

    def _refuse(self, reason: str) -> None:
        self.refused += 1
        log.warning("link refused", address=self.address, reason=reason)

    # ------------------------------------------------------------- links

    def _made(self, link: Link) -> None:
        self._serving.begin(self._serve(link))

    async def _serve(self, link: Link) -> None:
        try:
            await self._on_link(link)
        except Exception:
            log.exception("a link's service failed", address=self.address)
            link.abort()


async def serve(address: str, on_link: OnLink, tls: NodeTls | None = None) -> LinkServer:
    """Serves links at `address`; `on_link` runs as a task for each that is made.

    Raises:
        InvalidRequest: it is no address, or a TLS one and `tls` is missing.
        OSError: it can't be bound.
    """
    where = parse(address)
    server = LinkServer(str(where), on_link)
    if isinstance(where, UnixAddress):
        await server.listen_unix(where)
    elif tls is None:
        raise InvalidRequest(f"{address!r} needs this node's certificate", field="tls")
    else:
        await server.listen_tls(where, tls)
    return server
