"""A gRPC server in the front door's place, whose every message the test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from cluster.playback import FRAME_BYTES, FRAME_S
from cluster.script import loud
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc

Context = grpc.aio.ServicerContext[rv.CallerMessage, rv.ReceptionMessage]


class Line:
    """The server's end of one call."""

    def __init__(self, requests: AsyncIterator[rv.CallerMessage], context: Context) -> None:
        self.received: list[rv.CallerMessage] = []
        self.context = context
        self._requests = requests

    async def send(self, **one: Any) -> None:
        await self.context.write(rv.ReceptionMessage(**one))

    def begin_with(self, first: rv.CallerMessage) -> Line:
        """Puts back what was read already."""
        rest = self._requests

        async def everything() -> AsyncIterator[rv.CallerMessage]:
            yield first
            async for message in rest:
                yield message

        self._requests = everything()
        return self

    async def next(self, *kinds: str) -> rv.CallerMessage:
        """The next message of these kinds; what comes before it is kept in `received`."""
        async for message in self._requests:
            self.received.append(message)
            if message.WhichOneof("message") in kinds:
                return message
        raise EOFError(f"the stream ended before {kinds}")

    async def rest(self) -> list[rv.CallerMessage]:
        """What is left until the caller's half-close."""
        return [message async for message in self._requests]

    async def accept(self, call_id: str = "call-1") -> rv.CallStart:
        start = (await self.next("start")).start
        await self.send(accepted=rv.CallAccepted(call_id=call_id, format=start.format))
        return start

    async def speak(self, frames: int, mark: str = "", code: int = 0x10) -> None:
        """An answer at the pace of a telephone line, then a mark."""
        for number in range(frames):
            audio = rv.Audio(payload=bytes([code]) * FRAME_BYTES, sequence=number + 1)
            await self.send(audio=audio)
            await asyncio.sleep(FRAME_S)
        if mark:
            await self.send(mark=rv.Mark(name=mark))

    async def turn(self, kind: rv.TurnEvent.Kind) -> None:
        await self.send(turn=rv.TurnEvent(kind=kind))

    async def hear_words(self, pause_frames: int = 5) -> None:
        """Until the caller has spoken and paused."""
        while not loud((await self.next("audio")).audio.payload):
            pass
        quiet = 0
        while quiet < pause_frames:
            quiet = 0 if loud((await self.next("audio")).audio.payload) else quiet + 1


Conversation = Callable[[Line], Awaitable[None]]


class FakeDoor(rpc.ReceptionServicer):
    """Serves `conversation`; answers the call methods from `calls`."""

    def __init__(self) -> None:
        self.conversation: Conversation | None = None
        self.calls: dict[str, rv.Call] = {}
        self.updates: list[rv.CallUpdate] = []
        self.requests: list[object] = []
        self.keys: list[str] = []
        self.page_size = 2
        self.address = ""
        self._server = grpc.aio.server()

    async def start(self) -> str:
        rpc.add_ReceptionServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        self.address = f"127.0.0.1:{port}"
        return self.address

    async def stop(self) -> None:
        await self._server.stop(None)

    async def _check_key(self, context: Context) -> None:
        given = dict(context.invocation_metadata() or ()).get("x-api-key", "")
        self.keys.append(str(given))
        if given == "wrong":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the API key is not known")

    async def Converse(self, requests: AsyncIterator[rv.CallerMessage], context: Context) -> None:
        line = Line(requests, context)
        first = await anext(requests)  # as the real door does
        await self._check_key(context)
        assert self.conversation is not None
        await self.conversation(line.begin_with(first))

    async def GetCall(self, request: rv.GetCallRequest, context: Context) -> rv.Call:
        await self._check_key(context)
        if request.call_id not in self.calls:
            message = f"there is no call {request.call_id!r}"
            await context.abort(grpc.StatusCode.NOT_FOUND, message)
        return self.calls[request.call_id]

    async def ListCalls(
        self, request: rv.ListCallsRequest, context: Context
    ) -> rv.ListCallsResponse:
        await self._check_key(context)
        self.requests.append(request)
        found = [c for c in self.calls.values() if request.state in (0, c.state)]
        at = int(request.page_token or 0)
        page = found[at : at + min(self.page_size, request.page_size)]
        end = at + len(page)
        return rv.ListCallsResponse(
            calls=page, next_page_token=str(end) if end < len(found) else ""
        )

    async def EndCall(self, request: rv.EndCallRequest, context: Context) -> rv.Call:
        await self._check_key(context)
        self.requests.append(request)
        if request.call_id not in self.calls:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such live call")
        return self.calls[request.call_id]

    async def WatchCalls(
        self, request: rv.WatchCallsRequest, context: Context
    ) -> AsyncIterator[rv.CallUpdate]:
        await self._check_key(context)
        self.requests.append(request)
        for update in self.updates:
            yield update
