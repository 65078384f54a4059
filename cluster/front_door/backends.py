"""Whom the front door asks: security, cost, and the agents of the nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import structlog

from actors.caller_messages import call_of
from actors.link_tls import NodeTls
from actors.shown_calls import Live, ShownPage, live_in
from actors.spawn import find
from cluster.door_config import DoorConfig
from cluster.front_door.budget import Budget
from cluster.front_door.feed import CallChange, changes
from cluster.front_door.nodes import Nodes, ask
from reception.call.profile import ProfileBook
from reception.call.record import CallRecord, CallSpec
from reception.errors import LimitReached, NodeLost, NotFound, ReceptionError, Unavailable
from reception.money.account import Hold
from reception.money.savings.levels import Level
from reception.money.scopes import Owner
from reception.placement.admission.answer import Admitted, Answer
from reception.placement.admission.priority import Priority
from reception.placement.balancing.balancer import NodeView
from reception.placement.balancing.report import NodeReport
from reception.placement.lease import Placement
from reception.security.admission import Admission
from reception.security.standby import Standby

log = structlog.get_logger()

ROOM_TIMEOUT_S = 0.5
PATIENCE_S = 3.0  # less than a caller waits for its setup
IMPATIENCE_S = 0.5  # when the call can begin out of a lease
AGAIN_S = 0.1


class Backends(Protocol):
    """What the front door needs of the rest. Methods raise ReceptionError."""

    async def start(self) -> None: ...

    async def serves_at(self, grpc_address: str) -> None: ...

    async def ready(self) -> bool: ...

    def close(self) -> None: ...

    @property
    def tls(self) -> NodeTls | None: ...

    async def admit(self, credential: str | None, peer: str, scope: str) -> Admission: ...

    async def open_call(self, owner: Owner) -> Hold: ...

    async def provider_room(self, session_id: str, priority: Priority) -> Answer: ...

    async def close_call(self, session_id: str) -> None: ...

    @property
    def calls_without_ledger(self) -> int: ...

    def receptionist(
        self, profile: str, to_uri: str, *, full_model: bool = False
    ) -> tuple[str, str]: ...

    def is_emergency(self, to_uri: str) -> bool: ...

    def locate(self) -> tuple[str, str]: ...

    def nodes(self) -> list[NodeView]: ...

    def own_report(self) -> NodeReport | None: ...

    async def leave(self, node_id: str, grace_s: float | None, by: str) -> None: ...

    async def lease(self, spec: CallSpec, *, here: bool) -> Placement: ...

    async def resume(self, token: str, key_id: str) -> tuple[CallSpec, Placement]: ...

    async def has_token(self, session_id: str, placement: Placement) -> None: ...

    async def abandon_wait(self, session_id: str) -> None: ...

    async def place_in_line(self, session_id: str) -> tuple[int, float] | None: ...

    async def another_worker(self, placement: Placement) -> str: ...

    async def take_over(self, spec: CallSpec, state: bytes, lost: Placement) -> Placement: ...

    async def abandon(self, placement: Placement, reason: str) -> None: ...

    def over(self, placement: Placement) -> None: ...

    async def get_call(self, call_id: str) -> bytes | None: ...

    async def live_calls(self) -> tuple[CallRecord, ...]: ...

    async def list_calls(self, state: str, page_size: int, page_token: str) -> bytes: ...

    async def end_call(self, call_id: str, reason: str, by: str) -> CallRecord: ...

    async def changes(self) -> AsyncGenerator[CallChange]: ...


class RayBackends:
    """The named actors of the cluster and its nodes."""

    def __init__(self, config: DoorConfig, timeout_s: float = 5.0) -> None:
        self._node_id, self._timeout_s = config.node_id, timeout_s
        self._singletons = {name: find(name) for name in ("security", "cost", "health")}
        self._nodes = Nodes(config.node_id, config.balancing, config.zone, timeout_s)
        self._following: asyncio.Task[None] | None = None
        self._standby = Standby(config.security_failure)
        self._budget = Budget(config.cost_failure, self._singletons["cost"])
        self._profiles: tuple[ProfileBook, str, Level] | None = None
        self._grpc_address = ""

    async def start(self) -> None:
        """Connects to every actor, so that the first call does not wait for it."""
        for name in ("security", "cost"):
            await self._ask(name, "warm_up", patience_s=30.0)
        self._profiles = await self._own("profiles", patience_s=30.0)
        self._following = asyncio.ensure_future(self._nodes.follow())
        self._budget.start()

    async def serves_at(self, grpc_address: str) -> None:
        """The door is open there."""
        self._grpc_address = grpc_address
        await self._own("open_door", grpc_address)

    async def ready(self) -> bool:
        """Whether the node takes calls: it neither drains nor is full."""
        try:
            return bool(await self._own("readiness") == "ready")
        except Unavailable:
            return False

    def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
        self._budget.close()
        self._nodes.close()

    @property
    def tls(self) -> NodeTls | None:
        return self._nodes.tls

    # ------------------------------------------------------------- singletons

    async def admit(self, credential: str | None, peer: str, scope: str) -> Admission:
        """While the security singleton does not answer: as the settings say."""
        try:
            admission: Admission = await self._patiently(
                "security", "admit", credential, peer, scope
            )
        except Unavailable:
            allowed = self._standby.admit(credential, scope, time.monotonic())
            if allowed is None:
                raise
            log.warning("admitted without the security singleton", key_id=allowed.key_id)
            return allowed
        self._standby.admitted(credential, scope, admission, time.monotonic())
        return admission

    async def open_call(self, owner: Owner) -> Hold:
        """While the cost singleton does not answer: as the settings say. What a call then
        uses is billed once it does."""
        patience_s = IMPATIENCE_S if self._budget.has(owner) else PATIENCE_S
        try:
            hold: Hold = await self._patiently("cost", "open_call", owner, patience_s=patience_s)
        except Unavailable:
            claim = self._budget.begin(owner)
            if claim is None:
                raise
            return Hold(True, held_micros=claim.micros, claim=claim)
        if hold.admitted:
            self._budget.came(owner)
        return hold

    @property
    def calls_without_ledger(self) -> int:
        """That began while the cost singleton did not answer."""
        return self._budget.calls

    async def provider_room(self, session_id: str, priority: Priority) -> Answer:
        """While the health singleton does not answer, calls are taken: the worst that can
        come of it is the provider's own refusal."""
        try:
            async with asyncio.timeout(ROOM_TIMEOUT_S):
                answer: Answer = await self._ask("health", "provider_room", session_id, priority)
        except (TimeoutError, Unavailable):
            return Admitted(ROOM_TIMEOUT_S)
        return answer

    async def close_call(self, session_id: str) -> None:
        """The call does not begin."""
        with suppress(Unavailable):
            await self._ask("health", "gave_up", session_id)
        await self._ask("cost", "close_call", session_id)

    # ------------------------------------------------------------- placing

    def receptionist(
        self, profile: str, to_uri: str, *, full_model: bool = False
    ) -> tuple[str, str]:
        """The name of the profile that answers, and its model."""
        book, model, level = self._known_profiles()
        chosen = book.choose(profile, to_uri)
        level = chosen.savings or level
        return chosen.name, chosen.speaks(model, level, full_asked=full_model)

    def is_emergency(self, to_uri: str) -> bool:
        """Whether whoever calls there has an emergency."""
        return self._known_profiles()[0].is_emergency(to_uri)

    def _known_profiles(self) -> tuple[ProfileBook, str, Level]:
        if self._profiles is None:
            raise Unavailable("this node is still starting", retry_after_s=1.0)
        return self._profiles

    def locate(self) -> tuple[str, str]:
        """The node that the next call is best brought to, and its front door's address."""
        node_id = self._nodes.locate()
        return node_id, self._nodes.grpc_address(node_id) or self._grpc_address

    def nodes(self) -> list[NodeView]:
        return self._nodes.view()

    def own_report(self) -> NodeReport | None:
        return self._nodes.own

    async def leave(self, node_id: str, grace_s: float | None, by: str) -> None:
        """Has a node drain and leave the cluster (`NodeAgent.leave`)."""
        if node_id not in self._nodes.reachable:
            raise NotFound(f"there is no node {node_id!r}", field="node_id")
        await self._nodes.agent(node_id, "leave", grace_s, by)

    async def lease(self, spec: CallSpec, *, here: bool) -> Placement:
        return await self._nodes.place(spec, "lease", here=here)

    async def resume(self, token: str, key_id: str) -> tuple[CallSpec, Placement]:
        """Where the call of a caller who comes back is, or if its node is lost, goes on."""
        node_id = token.partition(".")[0]
        args = (token, key_id, self._node_id)
        found: tuple[CallSpec, Placement]
        if node_id in self._nodes.reachable:
            with suppress(NotFound, NodeLost):  # it may be at another node since
                found = await self._nodes.agent(node_id, "resume", *args)
                return found
        spec: CallSpec = await self._own("node_of", token, key_id)
        if spec.node_id in self._nodes.reachable:
            found = await self._nodes.agent(spec.node_id, "resume", *args)
            return found
        here = replace(spec, node_id=self._node_id)
        # It keeps its token: whoever gets no answer finds the call with it where it is then.
        placement = await self._go_on(here, b"", token, spec.node_id)
        found = await self._nodes.agent(placement.node_id, "resume", *args)
        return found

    async def has_token(self, session_id: str, placement: Placement) -> None:
        """The caller has been told its new token."""
        with suppress(ReceptionError):  # it is good in any case
            await self._nodes.agent(
                placement.node_id, "has_token", session_id, placement.resume_token
            )

    async def take_over(self, spec: CallSpec, state: bytes, lost: Placement) -> Placement:
        """Another node goes on with a call, from the session's last state."""
        here = replace(spec, node_id=self._node_id)
        return await self._go_on(here, state, lost.resume_token, lost.node_id)

    async def _go_on(self, spec: CallSpec, state: bytes, token: str, lost: str) -> Placement:
        """With a live call, on a node that has a session ready; where none has, on the
        first that will have one."""
        carried = spec, "take_over", state, token
        with suppress(LimitReached):
            return await self._nodes.place(*carried, False, lost=lost)
        return await self._nodes.place(*carried, True, lost=lost)

    async def abandon_wait(self, session_id: str) -> None:
        """Also called when the lease that waits there has been cancelled already."""
        for node_id in self._nodes.reachable:
            if await self._nodes.agent(node_id, "abandon_wait", session_id):
                return

    async def place_in_line(self, session_id: str) -> tuple[int, float] | None:
        node_id = self._nodes.waits_at(session_id)
        if not node_id:
            return None
        place: tuple[int, float] | None = await self._nodes.agent(
            node_id, "place_in_line", session_id
        )
        return place

    async def another_worker(self, placement: Placement) -> str:
        args = (placement.lease_id, placement.worker_address)
        address: str = await self._nodes.agent(placement.node_id, "another_worker", *args)
        return address

    async def abandon(self, placement: Placement, reason: str) -> None:
        await self._nodes.agent(placement.node_id, "abandon", placement.lease_id, reason)

    def over(self, placement: Placement) -> None:
        self._nodes.over(placement)

    # ------------------------------------------------------------- looking at calls

    async def get_call(self, call_id: str) -> bytes | None:
        """A live call wherever it is, else an ended one: a serialized `Call`."""
        for live in await self._nodes.elsewhere("live_call", call_id):
            if live is not None:
                return call_of(live).SerializeToString()
        call: bytes | None = await self._own("show_call", call_id)
        return call

    async def live_calls(self) -> tuple[CallRecord, ...]:
        found = await self._nodes.everywhere("live_calls")
        return tuple(record for records in found for record in records)

    async def list_calls(self, state: str, page_size: int, page_token: str) -> bytes:
        """Live calls first (on the first page), then ended ones, newest first: a
        serialized `ListCallsResponse`."""
        live: list[Live] = []
        if not page_token and state != "ended":
            for records in await self._nodes.elsewhere("live_calls"):
                live += live_in(records, state)
        page: ShownPage = await self._own("show_calls", state, page_size, page_token, len(live))
        return page.with_live(live, page_size)

    async def end_call(self, call_id: str, reason: str, by: str) -> CallRecord:
        live = await self._live(call_id)
        if live is None:
            raise NotFound(f"there is no live call {call_id!r}", field="call_id")
        record: CallRecord = await self._nodes.agent(
            live.spec.node_id, "end_call", call_id, reason, by
        )
        return record

    async def changes(self) -> AsyncGenerator[CallChange]:
        """What happens to calls of all nodes, from now on."""
        return await changes(self._nodes)

    async def _live(self, call_id: str) -> CallRecord | None:
        found = await self._nodes.everywhere("live_call", call_id)
        return next((record for record in found if record is not None), None)

    # ------------------------------------------------------------- asking

    async def _patiently(
        self, name: str, method: str, *args: Any, patience_s: float | None = None
    ) -> Any:
        """A singleton that died is back within seconds: it is asked again until then."""
        until_s = time.monotonic() + (PATIENCE_S if patience_s is None else patience_s)
        while True:
            left_s = until_s - time.monotonic()
            try:
                return await ask(self._singletons[name], name, method, *args, timeout_s=left_s)
            except Unavailable:
                if left_s < AGAIN_S:
                    raise
                await asyncio.sleep(AGAIN_S)

    async def _own(self, method: str, *args: Any, patience_s: float = 0.0) -> Any:
        return await self._nodes.agent(self._node_id, method, *args, patience_s=patience_s)

    async def _ask(self, name: str, method: str, *args: Any, patience_s: float = 0.0) -> Any:
        timeout_s = self._timeout_s + patience_s
        return await ask(self._singletons[name], name, method, *args, timeout_s=timeout_s)
