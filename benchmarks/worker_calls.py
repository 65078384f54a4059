"""Calls at an audio worker in a process of its own; here whatever surrounds them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from actors.link import SESSION_SUFFIX, Link
from actors.provider import warm_up
from actors.worker import AudioWorker
from benchmarks.process import KEPT
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.framing import Kind, split_audio
from reception.media.leg import LegConfig
from reception.provider.base import DialPlan

FRAME_S = 0.02


async def worker() -> str:
    """The worker's process: gives its socket."""
    folder = tempfile.mkdtemp()
    worker = AudioWorker("w0", str(Path(folder) / "w.sock"), folder)
    KEPT.append(worker)
    await asyncio.to_thread(warm_up, "embedded", "http://127.0.0.1:1/v1")
    return await worker.start()


class WorkerCall:
    """One call: its caller, front door, session and provider.

    `frame` gives what the caller sends next; `on_answer` and `on_clear` hear what comes
    from the worker, `on_caller` what comes to the provider.
    """

    def __init__(self, leg: LegConfig, provider_format: str = "pcmu") -> None:
        self.leg, self._provider_format = leg, provider_format
        self.frame: Callable[[], bytes] = lambda: b"\xff" * 160
        self.on_answer: Callable[[int], None] = lambda _stamp_ns: None
        self.on_clear: Callable[[], None] = lambda: None
        self.on_caller: Callable[[bytes], None] = lambda _audio: None
        self._connected: asyncio.Future[ServerConnection] = asyncio.Future()
        self._door: Any = None
        self._session: Any = None
        self._caller: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def at(self, socket: str, name: str) -> AsyncIterator[None]:
        """The call, up and with a caller whose frames come in real time."""
        async with serve(self._serve, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            await self._attach(socket, name, f"http://127.0.0.1:{port}/v1")
            await self._connected
            caller = asyncio.create_task(self._stream())
            yield
            caller.cancel()
            await self._session.close()
            await self._door.close()

    async def say(self, item: str, audio: bytes) -> None:
        """The provider speaks, all at once."""
        await self.send("response.created", response={"id": item})
        fields = {"response_id": item, "item_id": item, "output_index": 0, "content_index": 0}
        delta = base64.b64encode(audio).decode()
        await self.send("response.output_audio.delta", delta=delta, **fields)

    async def send(self, event: str, **fields: Any) -> None:
        """The provider's event."""
        event_text = json.dumps({"type": event, "event_id": "e", **fields})
        await self._connected.result().send(event_text)

    async def _serve(self, connection: ServerConnection) -> None:
        self._connected.set_result(connection)
        with contextlib.suppress(Exception):
            async for raw in connection:
                event = json.loads(raw)
                if event["type"] == "input_audio_buffer.append":
                    self.on_caller(base64.b64decode(event["audio"]))

    async def _attach(self, socket: str, name: str, url: str) -> None:
        self._door = await Link.connect(socket, 5)
        self._session = await Link.connect(socket + SESSION_SUFFIX, 5)
        self._door.handle(self._on_door, lambda: None)
        self._session.handle(lambda _kind, _body: None, lambda: None)
        self._door.send(lk.DoorToWorker(attach=lk.DoorAttach(call_id=name, lease_id=name)))
        plan = DialPlan("embedded", url, "m", self._provider_format)
        attach = lk.SessionAttach(
            call_id=name,
            lease_id=name,
            dial_plan=json.dumps(asdict(plan)).encode(),
            leg_config=json.dumps(asdict(self.leg)).encode(),
        )
        self._session.send(lk.SessionToWorker(attach=attach))

    def _on_door(self, kind: Kind, body: bytes) -> None:
        if kind is not Kind.AUDIO:
            return
        stamp_ns, raw = split_audio(body)
        message = rv.ReceptionMessage.FromString(raw)
        if message.HasField("clear_audio"):
            self.on_clear()
        elif message.HasField("audio"):
            self.on_answer(stamp_ns)

    async def _stream(self) -> None:
        loop = asyncio.get_running_loop()
        next_s, sequence = loop.time(), 0
        while True:
            next_s += FRAME_S
            await asyncio.sleep(max(0.0, next_s - loop.time()))
            sequence += 1
            audio = rv.Audio(payload=self.frame(), sequence=sequence)
            message = rv.CallerMessage(audio=audio).SerializeToString()
            self._door.send_audio(time.monotonic_ns(), message)
