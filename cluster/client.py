"""A client of the gRPC API's call methods, and plain words for its errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc
from reception.errors import (
    CallIdInUse,
    IdleTimeout,
    InvalidRequest,
    LimitReached,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    ReceptionError,
    Unavailable,
)

CONNECT_S = 5.0
CALL_S = 10.0
_DECIDED = (
    grpc.ChannelConnectivity.READY,
    grpc.ChannelConnectivity.TRANSIENT_FAILURE,
    grpc.ChannelConnectivity.SHUTDOWN,
)

_ERRORS: dict[grpc.StatusCode, type[ReceptionError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: NotAuthenticated,
    grpc.StatusCode.PERMISSION_DENIED: NotPermitted,
    grpc.StatusCode.ALREADY_EXISTS: CallIdInUse,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitReached,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: IdleTimeout,
}


def credentials(key: str) -> list[tuple[str, str]]:
    """The metadata of every RPC; none for no key."""
    return [("x-api-key", key)] if key else []


def in_our_words(error: grpc.aio.AioRpcError) -> ReceptionError:
    """The error that the server meant."""
    message = error.details() or error.code().name
    return _ERRORS.get(error.code(), ReceptionError)(message)


def says_when(error: grpc.aio.AioRpcError) -> bool:
    """Whether a refusal has a RetryInfo."""
    status = rpc_status.from_call(error)
    return status is not None and any(
        detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details
    )


async def connected(channel: grpc.aio.Channel, address: str, within_s: float = CONNECT_S) -> None:
    """Waits until the server is there; a refused connection is an answer, too.

    Raises:
        Unavailable: nothing answers at `address`.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            state = channel.get_state(try_to_connect=True)
            while state not in _DECIDED:
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
            if state is grpc.ChannelConnectivity.READY:
                return
    raise Unavailable(
        f"nothing answers at {address}: start a server with `reception serve`, "
        "or name another with --server"
    )


class Client:
    """Looks at calls and ends them. Use as an async context manager.

    Args:
        address: host:port of a front door.
        key: API key with the scope read (and manage, to end calls); "" for none.

    Every method raises the `reception.errors` class of the server's status.
    """

    def __init__(self, address: str, key: str = "") -> None:
        self._address, self._metadata = address, credentials(key)

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._address)
        # generated code has none
        self._stub = rpc.ReceptionStub(self._channel)  # type: ignore[no-untyped-call]
        try:
            await connected(self._channel, self._address)
        except BaseException:
            await self._channel.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._channel.close()

    async def get_call(self, call_id: str) -> rv.Call:
        """One call, live or ended."""
        request = rv.GetCallRequest(call_id=call_id)
        try:
            call: rv.Call = await self._stub.GetCall(
                request, metadata=self._metadata, timeout=CALL_S
            )
        except grpc.aio.AioRpcError as error:
            raise in_our_words(error) from None
        return call

    async def list_calls(
        self, state: rv.CallState | str = rv.CALL_STATE_UNSPECIFIED, at_most: int = 100
    ) -> list[rv.Call]:
        """The newest calls, from as many pages as it takes."""
        calls: list[rv.Call] = []
        request = rv.ListCallsRequest(state=state)
        while len(calls) < at_most:
            request.page_size = min(at_most - len(calls), 1_000)
            try:
                page: rv.ListCallsResponse = await self._stub.ListCalls(
                    request, metadata=self._metadata, timeout=CALL_S
                )
            except grpc.aio.AioRpcError as error:
                raise in_our_words(error) from None
            calls += page.calls
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        return calls

    async def end_call(self, call_id: str, reason: str = "") -> rv.Call:
        """Ends a live call; returns it as it then was."""
        request = rv.EndCallRequest(call_id=call_id, reason=reason)
        try:
            call: rv.Call = await self._stub.EndCall(
                request, metadata=self._metadata, timeout=CALL_S
            )
        except grpc.aio.AioRpcError as error:
            raise in_our_words(error) from None
        return call

    async def watch_calls(
        self, call_id: str = "", *, include_current: bool = True
    ) -> AsyncIterator[rv.CallUpdate]:
        """What happens to calls, until the server or the reader ends it."""
        request = rv.WatchCallsRequest(call_id=call_id, include_current=include_current)
        try:
            async for update in self._stub.WatchCalls(request, metadata=self._metadata):
                yield update
        except grpc.aio.AioRpcError as error:
            raise in_our_words(error) from None
