"""How a caller speaks to each bridge: open, send frames, receive audio, close."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import grpc
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from benchmarks.bridges import echo
from benchmarks.bridges.tones import FRAME_MS, PCMU, Ear
from cluster.client import credentials
from protos.reception.v1 import reception_pb2 as rv

CLOSE_S = 5.0
CONVERSE = "/reception.v1.Reception/Converse"

GrpcStream = grpc.aio.StreamStreamCall[bytes, bytes]


class Refused(Exception):
    """The bridge did not take the call; it may take it later."""


class Leg(Protocol):
    """One call. Audio is mu-law at 8 kHz."""

    far: list[tuple[int, int]]
    """(mark, ns) of what the far end heard, where it says so itself."""

    async def open(self) -> None:
        """Places the call. Raises Refused."""

    async def send(self, frame: bytes) -> None: ...

    async def receive(self) -> bytes | None:
        """The next audio; None when the bridge ended the call."""

    async def close(self) -> None:
        """Hangs up."""


class GatewayLeg:
    """Reception/Converse; protobuf, one channel for all calls, as a PBX would."""

    def __init__(self, channel: grpc.aio.Channel, key: str) -> None:
        self.far: list[tuple[int, int]] = []
        self._channel, self._metadata = channel, credentials(key)
        self._sequence = 0

    async def open(self) -> None:
        self._stream = _open(self._channel, CONVERSE, self._metadata)
        start = rv.CallStart(format=rv.LegFormat(codec=rv.CODEC_PCMU), to="+15550123")
        try:
            await self._stream.write(rv.CallerMessage(start=start).SerializeToString())
            raw = await self._stream.read()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise Refused(str(await self._stream.details())) from error
        if raw is grpc.aio.EOF:
            raise Refused(f"{await self._stream.code()}: {await self._stream.details()}")

    async def send(self, frame: bytes) -> None:
        self._sequence += 1
        at_ms = (self._sequence - 1) * FRAME_MS
        audio = rv.Audio(payload=frame, sequence=self._sequence, timestamp_ms=at_ms)
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # reading tells
            await self._stream.write(rv.CallerMessage(audio=audio).SerializeToString())

    async def receive(self) -> bytes | None:
        with suppress(grpc.aio.AioRpcError):
            while isinstance(raw := await self._stream.read(), bytes):
                message = rv.ReceptionMessage.FromString(raw)
                if message.WhichOneof("message") == "audio":
                    return message.audio.payload
        return None

    async def close(self) -> None:
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                end = rv.CallEnd(reason="normal_clearing")
                await self._stream.write(rv.CallerMessage(end=end).SerializeToString())
                await self._stream.done_writing()
                while await self._stream.read() is not grpc.aio.EOF:
                    pass
        self._stream.cancel()


class EchoLeg:
    """The bare stream. The far end hears what it sends back, when it stamped it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.far: list[tuple[int, int]] = []
        self._channel = channel
        self._ear = Ear(PCMU)

    async def open(self) -> None:
        self._stream = _open(self._channel, f"/{echo.SERVICE}/{echo.METHOD}", None)

    async def send(self, frame: bytes) -> None:
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._stream.write(frame)

    async def receive(self) -> bytes | None:
        with suppress(grpc.aio.AioRpcError):
            reply = await self._stream.read()
            if isinstance(reply, bytes):
                audio, stamp = reply[: -echo.STAMP_BYTES], reply[-echo.STAMP_BYTES :]
                self.far += self._ear.hear(audio, int.from_bytes(stamp, "big"))
                return bytes(audio)
        return None

    async def close(self) -> None:
        self._stream.cancel()


class TwilioLeg:
    """A Media Stream as Twilio's servers open it (Twilio's documentation)."""

    def __init__(self, address: str, number: int) -> None:
        self.far: list[tuple[int, int]] = []
        self._url, self._sid = f"ws://{address}/ws", f"MZ{number:032x}"
        self._chunk = 0
        self._socket: ClientConnection | None = None

    async def open(self) -> None:
        try:
            self._socket = await connect(self._url, compression=None, ping_interval=None)
            await self._send(event="connected", protocol="Call", version="1.0.0")
            media = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
            start = {
                "accountSid": "AC0", "streamSid": self._sid, "callSid": self._sid,
                "tracks": ["inbound"], "customParameters": {}, "mediaFormat": media,
            }  # fmt: skip
            await self._send(event="start", sequenceNumber="1", streamSid=self._sid, start=start)
        except (OSError, TimeoutError, WebSocketException) as error:
            raise Refused(str(error)) from error

    async def _send(self, **message: Any) -> None:
        assert self._socket is not None
        with suppress(ConnectionClosed):
            await self._socket.send(json.dumps(message))

    async def send(self, frame: bytes) -> None:
        self._chunk += 1
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str((self._chunk - 1) * FRAME_MS),
            "payload": base64.b64encode(frame).decode(),
        }
        number = str(self._chunk + 1)
        await self._send(event="media", sequenceNumber=number, streamSid=self._sid, media=media)

    async def receive(self) -> bytes | None:
        assert self._socket is not None
        with suppress(ConnectionClosed):
            while True:
                message = json.loads(await self._socket.recv())
                if message["event"] == "media":
                    return base64.b64decode(message["media"]["payload"])
        return None

    async def close(self) -> None:
        if self._socket is not None:
            await self._send(event="stop", sequenceNumber="0", streamSid=self._sid)
            await self._socket.close()


def _open(channel: grpc.aio.Channel, method: str, metadata: Any) -> GrpcStream:
    """A stream of raw bytes."""
    return channel.stream_stream(method)(metadata=metadata)


def legs_of(bridge: str, address: str, key: str) -> Callable[[int], Leg]:
    """Makes a leg for a call's number; to be called within the event loop."""
    if bridge in ("gateway", "echo"):
        channel = grpc.aio.insecure_channel(address)
        if bridge == "echo":
            return lambda number: EchoLeg(channel)
        return lambda number: GatewayLeg(channel, key)
    return lambda number: TwilioLeg(address, number)
