"""Who may use the management API, and how it is told that something can't be done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from reception.errors import (
    InvalidRequest,
    LimitReached,
    NotFound,
    ReceptionError,
    Unavailable,
)
from reception.security.admission import RATE_LIMITED, UNAUTHENTICATED

PREFIX = "/api/v3/management"
MAX_SHOWN_CHARS = 100
ANONYMOUS = "anonymous"  # as the audit trail names who has no key

Ask = Callable[..., Awaitable[Any]]
"""`await ask("agent", "stats")` asks an actor by its role: agent, door, cost, security
or health."""

_STATUS = {InvalidRequest: 400, NotFound: 404, LimitReached: 429, Unavailable: 503}


@dataclass(frozen=True, slots=True)
class Access:
    """Dependencies of routes."""

    ask: Ask

    async def may_read(self, request: Request) -> None:
        """Refuses who has no key with the scope "read"."""
        await self._admit(request, "read")

    async def may_manage(self, request: Request) -> str:
        """Refuses who has no key with the scope "manage"; the key's id, ANONYMOUS for who
        needs none."""
        return await self._admit(request, "manage")

    async def _admit(self, request: Request, scope: str) -> str:
        given = request.headers.get("x-api-key") or request.headers.get(
            "authorization", ""
        ).removeprefix("Bearer ")
        client = request.client.host if request.client else ""
        peer = f"ipv6:[{client}]:0" if ":" in client else f"ipv4:{client}:0"
        admission = await self.ask("security", "admit", given or None, peer, scope)
        if not admission.allowed:
            status = {UNAUTHENTICATED: 401, RATE_LIMITED: 429}.get(admission.code, 403)
            raise HTTPException(status, admission.message)
        return str(admission.key_id) or ANONYMOUS


# ------------------------------------------------------------------ problems


async def refused(request: Request, error: Exception) -> JSONResponse:
    """What a route raised of itself."""
    assert isinstance(error, StarletteHTTPException)
    return _problem(request, error.status_code, str(error.detail))


async def failed(request: Request, error: Exception) -> JSONResponse:
    """What an actor raised: its message names field, value and bound."""
    assert isinstance(error, ReceptionError)
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    answer = _problem(request, status, error.message, error.field)
    if error.retry_after_s:
        answer.headers["retry-after"] = str(max(1, round(error.retry_after_s)))
    return answer


async def silent(request: Request, _error: Exception) -> JSONResponse:
    """An actor did not answer in time."""
    return _problem(request, 504, "it took too long: nothing is known of it")


async def malformed(request: Request, error: Exception) -> JSONResponse:
    """What can't be read: the first fault, with field, value and bound."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(each) for each in first["loc"][1:]) or str(first["loc"][0])
    if first["type"] == "missing":
        return _problem(request, 400, f"{field} is needed", field)
    bound = first["msg"].replace("Input should be", "must be")
    return _problem(request, 400, f"{field} is {shown(first['input'])}: {bound}", field)


def shown(value: Any) -> str:
    """A value in a message."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "…"


def _problem(request: Request, status: int, title: str, field: str = "") -> JSONResponse:
    """RFC 9457 problem details."""
    body = {
        "type": "about:blank", "title": title, "status": status, "instance": request.url.path,
    }  # fmt: skip
    body |= {"field": field} if field else {}
    return JSONResponse(body, status, media_type="application/problem+json")
