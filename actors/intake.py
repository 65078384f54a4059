"""Which calls a node takes: admission, what a call gets then, what the node measures for
that each second and tells the other nodes."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import asdict, replace
from typing import Any

import psutil
import structlog

from actors.assigner import Assigner
from actors.assignment import NodeConfig
from actors.live_call import LiveCall, Means
from actors.live_calls import LiveCalls
from actors.membership import Membership
from actors.memory import node_memory
from actors.worker_pool import WorkerPool
from reception.call.profile import Profile
from reception.call.record import CallSpec
from reception.errors import CallIdInUse, LimitReached, NotFound, Unavailable
from reception.placement.admission.admission import Admission
from reception.placement.admission.answer import Refused
from reception.placement.admission.concurrency import NodeLoad
from reception.placement.admission.priority import Priority
from reception.placement.balancing.rate import Rate
from reception.placement.balancing.report import REPORT_S, NodeReport
from reception.placement.lease import Placement
from reception.placement.sizer import NodeMemory
from reception.version import VERSION

log = structlog.get_logger()

USE_S = 2.0
WRITTEN_S = 0.25  # that a new call waits to be written down; most take a few ms

Carried = tuple[bytes, str]
"""The last state of a call from another node, and its caller's resume token."""


class Intake:
    """Keeps a place for each call that is about to begin, and for each that is live.

    Attributes:
        open: whether calls are taken at all.
        grpc_address: of the node's front door; "" before that is open.
    """

    def __init__(
        self,
        config: NodeConfig,
        assigner: Assigner,
        calls: LiveCalls,
        workers: WorkerPool,
        membership: Membership,
    ) -> None:
        self._config, self._assigner, self._calls = config, assigner, calls
        self._workers, self._membership = workers, membership
        self._admission = Admission(config.admission_rules())
        self._calls_rate, self._errors_rate = Rate(), Rate()
        self.open, self.grpc_address = True, ""

    async def close(self) -> None:
        """Takes no more calls; the other nodes know when back."""
        self.open = False
        self._admission.drain()
        await self._membership.tell(self._report(NodeLoad(), node_memory()))

    # ------------------------------------------------------------- taking calls

    async def take(
        self,
        means: Means,
        spec: CallSpec,
        priority: Priority,
        carried: Carried | None = None,
        *,
        patient: bool = True,
    ) -> Placement:
        """A session and a worker for a call, which begins at once.

        Args:
            carried: of a call that was on another node until now.
            patient: it may wait for a session.

        Raises:
            ReceptionError: as `NodeAgent.lease` and `take_over`.
        """
        if not self.open:
            raise Unavailable("this node takes no more calls", retry_after_s=5.0)
        self._calls.must_be_new(spec.call_id)
        profile, session_id = self._assigner.profile(spec), spec.session_id
        now_s, moves = time.monotonic(), carried is not None
        answer = self._admission.ask(session_id, priority, now_s, moves=moves)
        if isinstance(answer, Refused):
            if moves:
                log.warning("call not taken over", call_id=spec.call_id, reason=answer.reason)
            raise LimitReached(answer.reason, retry_after_s=answer.retry_after_s)
        self._calls_rate.add(time.monotonic())
        try:
            session = await means.pool.lease(session_id, live=moves, patient=patient)
            try:
                if carried is not None:
                    carried = await self._claim(means, spec, *carried)
                live, placement = self._begin(means, spec, profile, session, carried)
            except BaseException:
                means.pool.unused(session)
                raise
        except BaseException as error:
            self._admission.ended(session_id)
            if not isinstance(error, LimitReached | CallIdInUse | NotFound):
                self._errors_rate.add(time.monotonic())
            raise
        if carried is None:
            await self._until_written(means, live)
        self._calls.show(live)
        return placement

    async def _until_written(self, means: Means, live: LiveCall) -> None:
        """Until the new call is written down, and its call id is known to be no other's;
        its session starts meanwhile. Where that takes long the call begins all the same,
        and ends if its id turns out to be another's.

        Raises:
            CallIdInUse: it is another live call's.
        """
        writing = means.tasks.begin(self._write_down(means, live))
        if (await asyncio.wait((writing,), timeout=WRITTEN_S))[1]:
            log.warning("call begins before it is written down", call_id=live.spec.call_id)
        elif (error := writing.result()) is not None:
            raise error

    async def _write_down(self, means: Means, live: LiveCall) -> CallIdInUse | None:
        try:
            await means.keeper.begin(live.spec, live.resume_token)
        except CallIdInUse as error:
            live.refuse(error)
            return error
        return None

    async def _claim(self, means: Means, spec: CallSpec, state: bytes, token: str) -> Carried:
        """A call of another node must be ours first of all; from which state it goes on,
        and with which token."""
        token = token or means.resume_token()
        claim = await means.keeper.take(replace(spec, node_id=means.node_id), token)
        log.warning("call taken over", call_id=spec.call_id, generation=claim.generation)
        return state or claim.checkpoint, token

    def _begin(
        self,
        means: Means,
        spec: CallSpec,
        profile: Profile,
        session: str,
        carried: Carried | None,
    ) -> tuple[LiveCall, Placement]:
        self._calls.must_be_new(spec.call_id)  # another may have begun meanwhile
        worker_id = self._workers.choose(self._calls.legs())
        if worker_id is None:
            raise Unavailable("this node has no audio worker", retry_after_s=2.0)
        if not self._admission.began(spec.session_id, time.monotonic()):
            raise Unavailable("the call waited for too long", retry_after_s=1.0)
        lease_id = secrets.token_urlsafe(16)
        ours = replace(spec, lease_id=lease_id, profile=profile.name, node_id=means.node_id)
        state, token = carried or (None, means.resume_token())
        assignment = self._assigner.assignment(ours, profile, worker_id)
        live = LiveCall(means, assignment, session, worker_id, spec.node_id, token)
        placement = live.placement()
        self._calls.began(live)
        means.tasks.begin(self._run(live, state))
        return live, placement

    async def _run(self, live: LiveCall, state: bytes | None) -> None:
        record = await live.run(state)
        self._admission.ended(live.spec.session_id)
        self._calls.ended(live, record)

    # ------------------------------------------------------------- measuring and telling

    async def look(self) -> None:
        """Once a second: what the node measures, for admission and the other nodes."""
        next_s = time.monotonic()
        while True:
            load, memory = await self._workers.load(), node_memory()
            self._admission.observe(load, memory, time.monotonic())
            self._workers.recycle(self._calls.legs(), memory)
            await self._membership.tell(self._report(load, memory))
            next_s = max(next_s + REPORT_S, time.monotonic() + REPORT_S / 2)
            await asyncio.sleep(next_s - time.monotonic())

    async def tell_use(self) -> None:
        """For admission against the provider's own limits."""
        while True:
            await asyncio.sleep(USE_S)
            await self._membership.tell_use(await self._workers.provider_use())

    def _report(self, load: NodeLoad, memory: NodeMemory) -> NodeReport:
        config, now_s = self._config, time.monotonic()
        occupancy = self._admission.occupancy(now_s)
        return NodeReport(
            node_id=config.node_id,
            zone=config.zone,
            at_s=now_s,
            capacity=min(config.pool.ceiling, occupancy.limit),
            live=occupancy.live,
            reserved=occupancy.reserved,
            cpu=min(1.0, psutil.cpu_percent() / 100),
            memory=min(1.0, memory.used_mb / memory.total_mb),
            lag_ms=load.lag_p95_ms,
            misses_per_s=load.misses_per_s,
            calls_per_s=self._calls_rate.at(now_s),
            errors_per_s=self._errors_rate.at(now_s),
            ready=self.open,
            version=VERSION,
            link_address=self._membership.address,
            grpc_address=self.grpc_address,
        )

    @property
    def readiness(self) -> str:
        """Whether a call of no special priority would be taken: "ready", "draining" or
        "full"."""
        if not self.open:
            return "draining"
        return "ready" if self._admission.takes(Priority.NORMAL, time.monotonic()) else "full"

    def stats(self) -> dict[str, Any]:
        """Places, and who was admitted and refused."""
        tally = self._admission.tally()
        return asdict(self._admission.occupancy(time.monotonic())) | {
            "admitted": {str(priority): count for priority, count in tally.admitted.items()},
            "refused": tally.refusals(),
        }
