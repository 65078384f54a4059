"""A Realtime provider whose every word the test decides."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve


class FakeProvider:
    """Takes connections; the test reads what came and sends what it likes."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.audio = bytearray()
        self.pieces: list[int] = []  # of audio, in bytes
        self.open = 0
        self.url = ""
        self._server: Server | None = None

    async def start(self) -> str:
        self._server = await serve(self._serve, "127.0.0.1", 0, ping_interval=None)
        port = next(iter(self._server.sockets)).getsockname()[1]
        return f"http://127.0.0.1:{port}/v1"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, connection: ServerConnection) -> None:
        self.open += 1
        await self.connections.put(connection)
        try:
            async for raw in connection:
                event = json.loads(raw)
                if event["type"] == "input_audio_buffer.append":
                    piece = base64.b64decode(event["audio"])
                    self.audio += piece
                    self.pieces.append(len(piece))
                else:
                    await self.received.put(event)
        finally:
            self.open -= 1


async def send(connection: ServerConnection, event_type: str, **fields: Any) -> None:
    """One server event."""
    await connection.send(json.dumps({"type": event_type, "event_id": "e", **fields}))


async def speak(connection: ServerConnection, item_id: str, audio: bytes) -> None:
    """One piece of an answer's audio."""
    await send(
        connection,
        "response.output_audio.delta",
        response_id="r1",
        item_id=item_id,
        output_index=0,
        content_index=0,
        delta=base64.b64encode(audio).decode(),
    )
