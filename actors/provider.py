"""The provider's socket of one call, opened through the `openai` client."""

from __future__ import annotations

import asyncio
import functools
import os
from collections import deque
from typing import Any

import websockets

from reception.errors import Unavailable
from reception.provider.base import DialPlan

MAX_WAITING_AUDIO = 250
_CLOSE_TIMEOUT_S = 2.0


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

    Audio and events leave in the order they were given. While the socket is
    slow, at most `MAX_WAITING_AUDIO` pieces of audio wait: the oldest are
    dropped and counted; events are never dropped.
    """

    def __init__(self, connection: Any) -> None:
        self.dropped_audio = 0
        self._socket = connection._connection
        self._waiting: deque[tuple[bool, str]] = deque()
        self._waiting_audio = 0
        self._wakeup = asyncio.Event()
        self._writer = asyncio.create_task(self._write())

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
                    websocket_connection_options={"max_size": 16 * 1024 * 1024},
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

    def send(self, message: str) -> None:
        """Sends an event."""
        self._waiting.append((False, message))
        self._wakeup.set()

    def send_audio(self, message: str) -> None:
        """Sends a piece of audio, or drops the oldest that waits."""
        self._waiting.append((True, message))
        self._waiting_audio += 1
        if self._waiting_audio > MAX_WAITING_AUDIO:
            oldest = next(at for at, (audio, _) in enumerate(self._waiting) if audio)
            del self._waiting[oldest]
            self._waiting_audio -= 1
            self.dropped_audio += 1
        self._wakeup.set()

    async def _write(self) -> None:
        while True:
            while self._waiting:
                audio, message = self._waiting.popleft()
                self._waiting_audio -= audio
                try:
                    await self._socket.send(message)
                except websockets.ConnectionClosed:
                    return
            self._wakeup.clear()
            await self._wakeup.wait()

    async def receive(self) -> str | bytes | None:
        """The next server message, or None when the socket is closed."""
        try:
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
        self._writer.cancel()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._socket.close()
        except TimeoutError:
            self._socket.transport.abort()
