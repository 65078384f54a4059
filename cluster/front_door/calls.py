"""The methods that look at calls: GetCall, ListCalls, EndCall, WatchCalls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from actors.caller_messages import call_of
from cluster.front_door.backends import Backends
from cluster.front_door.credentials import admitted
from cluster.grpc_errors import abort
from protos.reception.v1 import reception_pb2 as rv
from reception.errors import InvalidRequest, NotFound

MAX_PAGE = 1_000
DEFAULT_PAGE = 100
MAX_REASON_BYTES = 256

_STATES = {
    rv.CALL_STATE_UNSPECIFIED: "",
    rv.CALL_STATE_CONNECTING: "connecting",
    rv.CALL_STATE_ACTIVE: "active",
    rv.CALL_STATE_ENDING: "ending",
    rv.CALL_STATE_ENDED: "ended",
}
_KINDS = {
    "started": rv.CallUpdate.KIND_STARTED,
    "changed": rv.CallUpdate.KIND_CHANGED,
    "ended": rv.CallUpdate.KIND_ENDED,
}

Context = grpc.aio.ServicerContext[Any, Any]


class Calls:
    """Handlers; each checks the key's scope first. What is serialized already is given on."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    async def get_call(self, request: rv.GetCallRequest, context: Context) -> bytes:
        try:
            await admitted(self._backends, context, "read")
            call = await self._backends.get_call(_call_id(request.call_id))
            if call is None:
                raise NotFound(f"there is no call {request.call_id!r}", field="call_id")
            return call
        except Exception as error:
            await abort(context, error)
            raise

    async def list_calls(self, request: rv.ListCallsRequest, context: Context) -> bytes:
        try:
            await admitted(self._backends, context, "read")
            if request.page_size > MAX_PAGE:
                raise InvalidRequest(
                    f"page_size {request.page_size} is over {MAX_PAGE}", field="page_size"
                )
            if request.state not in _STATES:
                raise InvalidRequest(f"state {request.state} is not 0 to 4", field="state")
            return await self._backends.list_calls(
                _STATES[request.state], request.page_size or DEFAULT_PAGE, request.page_token
            )
        except Exception as error:
            await abort(context, error)
            raise

    async def end_call(self, request: rv.EndCallRequest, context: Context) -> rv.Call:
        try:
            admission = await admitted(self._backends, context, "manage")
            if len(request.reason.encode()) > MAX_REASON_BYTES:
                raise InvalidRequest(f"reason is over {MAX_REASON_BYTES} bytes", field="reason")
            record = await self._backends.end_call(
                _call_id(request.call_id), request.reason, admission.key_id
            )
            return call_of(record)
        except Exception as error:
            await abort(context, error)
            raise

    async def locate(self, request: rv.LocateRequest, context: Context) -> rv.LocateResponse:
        try:
            await admitted(self._backends, context, "call")
            node_id, address = self._backends.locate()
            return rv.LocateResponse(node_id=node_id, address=address)
        except Exception as error:
            await abort(context, error)
            raise

    async def watch_calls(
        self, request: rv.WatchCallsRequest, context: Context
    ) -> AsyncIterator[rv.CallUpdate]:
        try:
            await admitted(self._backends, context, "read")
            async with aclosing(await self._backends.changes()) as feed:
                if request.include_current:
                    for record in await self._backends.live_calls():
                        if request.call_id in ("", record.spec.call_id):
                            began_s = record.spec.accepted_at_s
                            yield _update(rv.CallUpdate.KIND_CURRENT, record, began_s)
                async for kind, record, at_s in feed:
                    if request.call_id in ("", record.spec.call_id):
                        yield _update(_KINDS[kind], record, at_s)
        except Exception as error:
            await abort(context, error)
            raise


def _call_id(call_id: str) -> str:
    if not call_id:
        raise InvalidRequest("call_id is empty", field="call_id")
    return call_id


def _update(kind: rv.CallUpdate.Kind, record: Any, at_s: float) -> rv.CallUpdate:
    at = Timestamp()
    at.FromNanoseconds(int(at_s * 1e9))
    return rv.CallUpdate(kind=kind, call=call_of(record), at=at)
