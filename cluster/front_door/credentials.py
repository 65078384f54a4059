"""Who is calling the API: the credential in the metadata, the peer, the answer."""

from __future__ import annotations

from typing import Any

import grpc

from cluster.front_door.backends import Backends
from reception.errors import LimitReached, NotAuthenticated, NotPermitted
from reception.security.admission import PERMISSION_DENIED, RATE_LIMITED, Admission


async def admitted(
    backends: Backends, context: grpc.aio.ServicerContext[Any, Any], scope: str
) -> Admission:
    """The admission of this RPC. The peer is the connection's, never metadata's.

    Raises:
        NotAuthenticated, NotPermitted, LimitReached: refused.
    """
    admission = await backends.admit(_credential(context), context.peer() or "", scope)
    if admission.allowed:
        return admission
    if admission.code == RATE_LIMITED:
        raise LimitReached(admission.message, retry_after_s=admission.retry_after_s)
    if admission.code == PERMISSION_DENIED:
        raise NotPermitted(admission.message)
    raise NotAuthenticated(admission.message)


def _credential(context: grpc.aio.ServicerContext[Any, Any]) -> str | None:
    for key, value in context.invocation_metadata() or ():
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if key == "x-api-key":
            return text
        if key == "authorization" and text[:7].lower() == "bearer ":
            return text[7:].strip()
    return None
