"""Backends of a front door that a test steers, with a real audio worker behind."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator
from copy import copy
from dataclasses import asdict, replace
from math import inf

from actors.caller_messages import call_of
from actors.link import SESSION_SUFFIX, Link
from actors.link_tls import NodeTls
from actors.worker import AudioWorker
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.call.record import CallRecord, CallSpec
from reception.errors import CallIdInUse, NotFound
from reception.media.leg import LegConfig
from reception.money.account import Hold
from reception.money.scopes import Owner
from reception.placement.admission.answer import Admitted, Answer
from reception.placement.admission.priority import Priority
from reception.placement.balancing.balancer import NodeView
from reception.placement.balancing.report import NodeReport
from reception.placement.lease import Placement
from reception.provider.base import DialPlan
from reception.security.admission import Admission
from tests.waiting import PATIENCE_S, patience

CallChange = tuple[str, CallRecord, float]


class FakeBackends:
    """Admits, holds and leases as its fields say; a little session answers each
    lease: it ends its call when the caller is gone or is refused."""

    def __init__(self, worker_path: str, provider_url: str) -> None:
        self.admission = Admission(True, "t", "k")
        self.hold = Hold(True, held_micros=1)
        self.holds: dict[str, Hold] = {}  # by model, where not that one
        self.room: Answer = Admitted(inf)
        self.rooms_asked: list[tuple[str, Priority]] = []
        self.lease_error: Exception | None = None
        self.with_session = True
        self.next_worker = ""
        self.waits_abandoned: list[str] = []
        self.tokens: list[str] = [""]
        self.told_tokens: list[tuple[str, str]] = []  # to callers who came back
        self.places: list[tuple[int, float]] = []  # told in this order, the last again
        self.line_moves = asyncio.Event()
        self.line_moves.set()
        self.opened_at = ""
        self.calls_without_ledger = 0
        self.report: NodeReport | None = None
        self.takes_calls = True
        self.leaving: list[tuple[str, float | None, str]] = []
        self.here: list[bool] = []
        self.left: list[str] = []
        self.opened: list[str] = []
        self.owners: list[Owner] = []
        self.emergency_numbers: tuple[str, ...] = ()
        self.closed: list[str] = []
        self.abandoned: list[str] = []
        self.credentials: list[str | None] = []
        self.live: dict[str, CallRecord] = {}
        self.refused: list[str] = []
        self.gone: list[str] = []
        self.told: list[CallChange] = []
        self._worker_path, self._provider_url = worker_path, provider_url
        self._sessions: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        return None

    async def serves_at(self, grpc_address: str) -> None:
        self.opened_at = grpc_address

    async def ready(self) -> bool:
        return self.takes_calls

    def close(self) -> None:
        return None

    @property
    def tls(self) -> NodeTls | None:
        return None

    def locate(self) -> tuple[str, str]:
        return "n", self.opened_at

    def nodes(self) -> list[NodeView]:
        return []

    def own_report(self) -> NodeReport | None:
        return self.report

    async def leave(self, node_id: str, grace_s: float | None, by: str) -> None:
        self.leaving.append((node_id, grace_s, by))

    def over(self, placement: Placement) -> None:
        self.left.append(placement.lease_id)

    async def admit(self, credential: str | None, peer: str, scope: str) -> Admission:
        assert peer.startswith(("ipv4:", "ipv6:"))
        assert scope in ("call", "read", "manage")
        self.credentials.append(credential)
        return self.admission

    async def open_call(self, owner: Owner) -> Hold:
        self.opened.append(owner.session_id)
        self.owners.append(owner)
        return self.holds.get(owner.model, self.hold)

    async def provider_room(self, session_id: str, priority: Priority) -> Answer:
        self.rooms_asked.append((session_id, priority))
        return self.room

    async def close_call(self, session_id: str) -> None:
        self.closed.append(session_id)

    def receptionist(
        self, profile: str, to_uri: str, *, full_model: bool = False
    ) -> tuple[str, str]:
        del profile, to_uri
        return "p", "full" if full_model else "m"

    def is_emergency(self, to_uri: str) -> bool:
        return to_uri in self.emergency_numbers

    async def lease(self, spec: CallSpec, *, here: bool) -> Placement:
        self.here.append(here)
        await self.line_moves.wait()
        if self.lease_error is not None:
            raise copy(self.lease_error)  # a fresh one, which remembers no other call
        if spec.call_id in self.live:
            raise CallIdInUse.of(spec.call_id)
        lease_id = secrets.token_hex(8)
        spec = replace(spec, lease_id=lease_id, profile="p")
        self.live[spec.call_id] = CallRecord(spec, "active", "listening", "m")
        if self.with_session:
            task = asyncio.create_task(self._session(spec))
            self._sessions.add(task)
            task.add_done_callback(self._sessions.discard)
        return self._placement(lease_id)

    def _placement(self, lease_id: str) -> Placement:
        self.tokens.append(f"n.{secrets.token_hex(24)}")
        return Placement("n1", self._worker_path, lease_id, "w0", "p", "m", self.tokens[-1])

    async def resume(self, token: str, key_id: str) -> tuple[CallSpec, Placement]:
        assert key_id == "k"
        if token != self.tokens[-1] or not self.live:
            raise NotFound("resume_token is not that of a live call", field="start.resume_token")
        spec = next(reversed(self.live.values())).spec
        return spec, self._placement(spec.lease_id)

    async def has_token(self, session_id: str, placement: Placement) -> None:
        self.told_tokens.append((session_id, placement.resume_token))

    async def place_in_line(self, session_id: str) -> tuple[int, float] | None:
        del session_id
        if not self.places:
            return None
        return self.places.pop(0) if len(self.places) > 1 else self.places[0]

    async def abandon_wait(self, session_id: str) -> None:
        self.waits_abandoned.append(session_id)

    async def another_worker(self, placement: Placement) -> str:
        if self.next_worker in ("", placement.worker_address):
            raise NotFound(f"nobody has {placement.lease_id}")
        return self.next_worker

    async def take_over(self, spec: CallSpec, state: bytes, lost: Placement) -> Placement:
        raise NotFound(f"nobody takes {spec.call_id} over from {lost.node_id}")

    async def abandon(self, placement: Placement, reason: str) -> None:
        del reason
        self.abandoned.append(placement.lease_id)

    async def get_call(self, call_id: str) -> bytes | None:
        found = self.live.get(call_id)
        return None if found is None else call_of(found).SerializeToString()

    async def live_calls(self) -> tuple[CallRecord, ...]:
        return tuple(self.live.values())

    async def list_calls(self, state: str, page_size: int, page_token: str) -> bytes:
        del page_token
        found = [call_of(each) for each in self.live.values() if state in ("", each.state)]
        more = "more" if len(found) > page_size else ""
        page = rv.ListCallsResponse(calls=found[:page_size], next_page_token=more)
        return page.SerializeToString()

    async def end_call(self, call_id: str, reason: str, by: str) -> CallRecord:
        del reason, by
        if call_id not in self.live:
            raise NotFound(f"there is no live call {call_id!r}", field="call_id")
        return self.live[call_id]

    async def changes(self) -> AsyncGenerator[CallChange]:
        return self._told(len(self.told))

    async def _told(self, after: int) -> AsyncGenerator[CallChange]:
        while True:
            while len(self.told) <= after:
                await asyncio.sleep(0.01)
            yield self.told[after]
            after += 1

    async def _session(self, spec: CallSpec) -> None:
        """As the real one does, without a conversation."""
        link = await Link.connect(self._worker_path + SESSION_SUFFIX, PATIENCE_S)
        plan = DialPlan("embedded", self._provider_url, "m", "pcmu")
        leg = LegConfig(spec.codec, spec.rate_hz, spec.ptime_ms, spec.sends_marks)
        attach = lk.SessionAttach(
            call_id=spec.call_id,
            lease_id=spec.lease_id,
            dial_plan=json.dumps(asdict(plan)).encode(),
            leg_config=json.dumps(asdict(leg)).encode(),
        )
        link.send(lk.SessionToWorker(attach=attach))
        while (frame := await link.receive()) is not None:
            message = lk.WorkerToSession.FromString(frame[1])
            match message.WhichOneof("message"):
                case "leg_refused":
                    self.refused.append(message.leg_refused.field)
                    link.send(lk.SessionToWorker(finish=lk.Finish()))
                case "leg_gone":
                    self.gone.append(message.leg_gone.reason)
                    link.send(lk.SessionToWorker(finish=lk.Finish()))
                case "from_caller":
                    caller = rv.CallerMessage.FromString(message.from_caller)
                    if caller.HasField("end"):
                        link.send(lk.SessionToWorker(finish=lk.Finish()))
                case "stats":
                    call = rv.Call(call_id=spec.call_id, end_reason="done")
                    summary = rv.ReceptionMessage(summary=rv.CallSummary(call=call))
                    link.send(lk.SessionToWorker(to_caller=summary.SerializeToString()))
                    link.send(lk.SessionToWorker(over=lk.Over()))
                    break
        await link.close()
        ended = replace(self.live.pop(spec.call_id), state="ended", ended_at_s=time.time())
        self.told.append(("ended", ended, time.time()))

    async def nobody_came(self) -> None:
        """Each call without a session ends as the real agent ends it: by what its door
        told, once it has. None is left that no door told of."""
        async with patience():
            while not all(
                each.spec.lease_id in self.abandoned or each.spec.session_id in self.waits_abandoned
                for each in self.live.values()
            ):
                await asyncio.sleep(0.01)
        self.live.clear()

    async def until_quiet(self) -> None:
        """Until no call is live."""
        async with patience():
            while self.live or self._sessions:
                await asyncio.sleep(0.01)


async def worker_at(path: str) -> AudioWorker:
    worker = AudioWorker("w0", path)
    await worker.start()
    return worker
