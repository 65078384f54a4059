"""The provider's socket of one call, opened through the `openai` client."""

from __future__ import annotations

import asyncio
import functools
import os
from typing import Any

import structlog
import websockets
from websockets.asyncio.server import broadcast

from reception.backlog import Backlog
from reception.errors import Unavailable
from reception.provider.base import DialPlan

log = structlog.get_logger()

MAX_WAITING_AUDIO = 250
MAX_WAITING_EVENTS = 1_000
_CLOSE_TIMEOUT_S = 2.0
_HIGH_WATER_BYTES = 32 * 1024
_SOCKET_OPTIONS = {
    "max_size": 16 * 1024 * 1024,
    # Deflating base64 of every frame costs more CPU than all else that is done
    # with it, and 0.3 MB of memory per call; it saves a quarter of the bytes.
    "compression": None,
}


@functools.cache
def _client(provider: str, base_url: str) -> Any:
    """One client per provider and process: making one takes tens of ms. The
    account's key goes to OpenAI only."""
    import openai  # noqa: PLC0415 - a second of CPU, for worker processes only

    key = os.environ.get("OPENAI_API_KEY", "") if provider == "openai" else "embedded"
    return openai.AsyncOpenAI(api_key=key or "missing", base_url=base_url or None, max_retries=0)


def warm_up(provider: str, base_url: str) -> None:
    """Pays what the first dial would: the SDK's import and its client."""
    _ = _client(provider, base_url).realtime


class ProviderRefused(Unavailable):
    """The provider did not open a session; `code` is the HTTP status or close
    code, 0 when there was none."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class ProviderSocket:
    """One open Realtime session.

    Audio and events leave in the order they were given, at once as long as the
    socket takes them. While it doesn't, at most `MAX_WAITING_AUDIO` pieces of
    audio wait: the oldest are dropped and counted; events are never dropped, and
    a provider that lets `MAX_WAITING_EVENTS` of them pile up is cut off.
    """

    def __init__(self, connection: Any) -> None:
        self._socket = connection._connection
        self._sockets = (self._socket,)
        self._waiting: Backlog[str] = Backlog(MAX_WAITING_AUDIO, MAX_WAITING_EVENTS)
        self._draining: asyncio.Task[None] | None = None
        self._piece_bytes = 0

    @classmethod
    async def dial(cls, plan: DialPlan) -> ProviderSocket:
        """Opens the session and sends the plan's opening messages.

        Raises:
            ProviderRefused: no connection within the plan's time, or refused.
        """
        client = _client(plan.provider, plan.base_url)
        try:
            async with asyncio.timeout(plan.connect_timeout_s):
                connection = await client.realtime.connect(
                    model=plan.model,
                    websocket_connection_options=_SOCKET_OPTIONS,
                ).enter()
        except websockets.InvalidStatus as error:
            status = error.response.status_code
            raise ProviderRefused(f"the provider answered HTTP {status}", status) from error
        except (OSError, TimeoutError, websockets.WebSocketException) as error:
            raise ProviderRefused(f"the provider can't be reached: {error}", 0) from error
        provider = cls(connection)
        for message in plan.opening:
            provider.send(message)
        return provider

    @property
    def dropped_audio(self) -> int:
        """Pieces of audio that were dropped because the provider didn't read."""
        return self._waiting.dropped_audio

    @property
    def backlog_bytes(self) -> int:
        """What the provider has not taken yet."""
        waiting = self._waiting.audio_waiting * self._piece_bytes
        return waiting + int(self._socket.transport.get_write_buffer_size())

    @property
    def round_trip_ms(self) -> float | None:
        """Of the last ping (one every 20 s); None before the first pong."""
        return 1000 * self._socket.latency or None

    def send(self, message: str) -> None:
        """Sends an event."""
        self._send(message, False)

    def send_audio(self, message: str) -> None:
        """Sends a piece of audio, or drops the oldest that waits."""
        self._piece_bytes = len(message)
        self._send(message, True)

    def _send(self, message: str, audio: bool) -> None:
        if self._draining is None and (
            self._socket.transport.get_write_buffer_size() <= _HIGH_WATER_BYTES
        ):
            broadcast(self._sockets, message)  # which writes without waiting
            return
        self._waiting.add(message, audio)
        if self._waiting.overfull:
            self._socket.transport.abort()
        elif self._draining is None:
            self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        """Sends what waits, as fast as the socket takes it."""
        try:
            while self._waiting:
                await self._socket.send(self._waiting.take())
        except websockets.ConnectionClosed:
            self._waiting.clear()
        self._draining = None

    async def receive(self) -> bytes | None:
        """The next server message, or None when the socket is closed."""
        try:
            # the SDK's connection has no types
            return await self._socket.recv(decode=False)  # type: ignore[no-any-return]
        except websockets.ConnectionClosed:
            return None

    @property
    def close_code(self) -> int:
        return int(self._socket.close_code or 0)

    @property
    def close_reason(self) -> str:
        return str(self._socket.close_reason or "")

    async def close(self) -> None:
        """Closes the socket; nothing is billed after this."""
        if self._draining is not None:
            self._draining.cancel()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._socket.close()
        except TimeoutError:
            log.warning("the provider does not close its socket")
        finally:
            self._socket.transport.abort()
