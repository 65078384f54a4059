"""Whom the front door asks: security, cost and the node agent."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from ray.exceptions import RayActorError, RayError, RayTaskError

from actors.spawn import find
from reception.call.profile import ProfileBook
from reception.call.record import CallRecord, CallSpec
from reception.errors import ReceptionError, Unavailable
from reception.money.account import Hold
from reception.placement.lease import Placement
from reception.security.admission import Admission

CallChange = tuple[str, CallRecord, float]


class Backends(Protocol):
    """What the front door needs of the rest. Methods raise ReceptionError."""

    async def warm_up(self) -> None: ...

    async def admit(self, credential: str | None, peer: str, scope: str) -> Admission: ...

    async def open_call(
        self, session_id: str, call_id: str, tenant: str, key_id: str, model: str
    ) -> Hold: ...

    async def close_call(self, session_id: str) -> None: ...

    def model(self, profile: str, to_uri: str) -> str: ...

    async def lease(self, spec: CallSpec) -> Placement: ...

    async def resume(self, token: str, key_id: str) -> tuple[CallSpec, Placement]: ...

    async def abandon_wait(self, session_id: str) -> None: ...

    async def place_in_line(self, session_id: str) -> tuple[int, float] | None: ...

    async def another_worker(self, lease_id: str, lost_socket: str) -> str: ...

    async def abandon(self, lease_id: str, reason: str) -> None: ...

    async def get_call(self, call_id: str) -> CallRecord | None: ...

    async def live_calls(self) -> tuple[CallRecord, ...]: ...

    async def list_calls(
        self, state: str, page_size: int, page_token: str
    ) -> tuple[tuple[CallRecord, ...], str]: ...

    async def end_call(self, call_id: str, reason: str, by: str) -> CallRecord: ...

    async def watch(self, after: int, timeout_s: float) -> tuple[int, tuple[CallChange, ...]]: ...


class RayBackends:
    """The named actors of the cluster and this node's agent."""

    def __init__(self, node_id: str, timeout_s: float = 5.0) -> None:
        self._timeout_s = timeout_s
        self._actors = {
            "security": find("security"),
            "cost": find("cost"),
            "agent": find(f"agent:{node_id}"),
        }
        self._profiles: tuple[ProfileBook, str] | None = None

    async def warm_up(self) -> None:
        """Connects to every actor, so that the first call does not wait for it."""
        for name in ("security", "cost"):
            await self._call(name, "warm_up", patience_s=30.0)
        self._profiles = await self._call("agent", "profiles", patience_s=30.0)

    async def admit(self, credential: str | None, peer: str, scope: str) -> Admission:
        admission: Admission = await self._call("security", "admit", credential, peer, scope)
        return admission

    async def open_call(
        self, session_id: str, call_id: str, tenant: str, key_id: str, model: str
    ) -> Hold:
        args = (session_id, call_id, tenant, key_id, model)
        hold: Hold = await self._call("cost", "open_call", *args)
        return hold

    async def close_call(self, session_id: str) -> None:
        await self._call("cost", "close_call", session_id)

    def model(self, profile: str, to_uri: str) -> str:
        if self._profiles is None:
            raise Unavailable("this node is still starting", retry_after_s=1.0)
        book, model = self._profiles
        return book.choose(profile, to_uri).model or model

    async def lease(self, spec: CallSpec) -> Placement:
        placement: Placement = await self._call("agent", "lease", spec)
        return placement

    async def resume(self, token: str, key_id: str) -> tuple[CallSpec, Placement]:
        found: tuple[CallSpec, Placement] = await self._call("agent", "resume", token, key_id)
        return found

    async def abandon_wait(self, session_id: str) -> None:
        await self._call("agent", "abandon_wait", session_id)

    async def place_in_line(self, session_id: str) -> tuple[int, float] | None:
        place: tuple[int, float] | None = await self._call("agent", "place_in_line", session_id)
        return place

    async def another_worker(self, lease_id: str, lost_socket: str) -> str:
        socket: str = await self._call("agent", "another_worker", lease_id, lost_socket)
        return socket

    async def abandon(self, lease_id: str, reason: str) -> None:
        await self._call("agent", "abandon", lease_id, reason)

    async def get_call(self, call_id: str) -> CallRecord | None:
        record: CallRecord | None = await self._call("agent", "get_call", call_id)
        return record

    async def live_calls(self) -> tuple[CallRecord, ...]:
        records: tuple[CallRecord, ...] = await self._call("agent", "live_calls")
        return records

    async def list_calls(
        self, state: str, page_size: int, page_token: str
    ) -> tuple[tuple[CallRecord, ...], str]:
        page: tuple[tuple[CallRecord, ...], str] = await self._call(
            "agent", "list_calls", state, page_size, page_token
        )
        return page

    async def end_call(self, call_id: str, reason: str, by: str) -> CallRecord:
        record: CallRecord = await self._call("agent", "end_call", call_id, reason, by)
        return record

    async def watch(self, after: int, timeout_s: float) -> tuple[int, tuple[CallChange, ...]]:
        changes: tuple[int, tuple[CallChange, ...]] = await self._call(
            "agent", "watch", after, timeout_s, patience_s=timeout_s
        )
        return changes

    async def _call(self, name: str, method: str, *args: Any, patience_s: float = 0.0) -> Any:
        """One actor call with a deadline; errors of the core come back as
        themselves, everything else as Unavailable."""
        try:
            async with asyncio.timeout(self._timeout_s + patience_s):
                return await getattr(self._actors[name], method)(*args)
        except RayTaskError as error:
            if isinstance(error.cause, ReceptionError):
                raise error.cause from None
            raise
        except RayActorError as error:
            raise Unavailable(f"{name} is restarting", retry_after_s=2.0) from error
        except (RayError, TimeoutError) as error:
            raise Unavailable(f"{name} did not answer in time", retry_after_s=2.0) from error
