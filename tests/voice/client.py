"""A Realtime client that takes nothing the openai package's types don't describe."""

from __future__ import annotations

import base64
import json
from typing import Any

import pydantic
from openai.types.realtime import RealtimeServerEvent
from websockets.asyncio.client import ClientConnection, connect

from tests.waiting import patience

_EVENT: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(RealtimeServerEvent)
# The real server sends these, the package (3.54) doesn't describe them.
UNDESCRIBED = {
    "session.created.session": {"id", "object", "expires_at"},
    "session.updated.session": {"id", "object", "expires_at"},
}


def check(event: dict[str, Any]) -> Any:
    """The event as a typed object. Raises if a field is missing, wrong or unknown."""
    typed = _EVENT.validate_python(event)
    assert typed.type == event["type"]
    _no_extras(typed, event["type"])
    return typed


def _no_extras(value: Any, where: str) -> None:
    if isinstance(value, pydantic.BaseModel):
        unknown = set(value.model_extra or {}) - UNDESCRIBED.get(where, set())
        assert not unknown, f"{where} has unknown fields {sorted(unknown)}"
        for name in type(value).model_fields:
            _no_extras(getattr(value, name), f"{where}.{name}")
    elif isinstance(value, list):
        for each in value:
            _no_extras(each, f"{where}[]")


class Client:
    """One connection; every event received is checked and kept in `events`."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.events: list[dict[str, Any]] = []

    @classmethod
    async def open(cls, port: int, query: str = "model=m", key: str | None = "k") -> Client:
        client = cls(
            await connect(
                f"ws://127.0.0.1:{port}/v1/realtime?{query}",
                additional_headers={"Authorization": f"Bearer {key}"} if key else {},
                max_size=None,
            )
        )
        await client.until("session.created")
        return client

    async def close(self) -> None:
        await self.connection.close()

    async def send(self, event_type: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": event_type, **fields}))

    async def configure(self, **session: Any) -> dict[str, Any]:
        await self.send("session.update", session={"type": "realtime"} | session)
        return await self.until("session.updated")

    async def hear(self, audio: bytes, piece_bytes: int = 4800) -> None:
        """Caller audio, appended in pieces."""
        for at in range(0, len(audio), piece_bytes):
            piece = base64.b64encode(audio[at : at + piece_bytes]).decode()
            await self.send("input_audio_buffer.append", audio=piece)

    async def receive(self) -> dict[str, Any]:
        async with patience():
            event: dict[str, Any] = json.loads(await self.connection.recv())
        check(event)
        self.events.append(event)
        return event

    async def until(self, event_type: str) -> dict[str, Any]:
        """The next event of this type; those before it are kept too."""
        async with patience():
            while (event := await self.receive())["type"] != event_type:
                pass
        return event

    async def turn(self) -> list[dict[str, Any]]:
        """The events up to and with the next response.done."""
        before = len(self.events)
        await self.until("response.done")
        return self.events[before:]

    async def refused(self) -> dict[str, Any]:
        error: dict[str, Any] = (await self.until("error"))["error"]
        return error

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


def audio_of(events: list[dict[str, Any]]) -> bytes:
    """All sound in these events, in the session's output format."""
    return b"".join(
        base64.b64decode(event["delta"])
        for event in events
        if event["type"] == "response.output_audio.delta"
    )
