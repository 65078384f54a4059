"""One call on its node, from the lease to its record: on its session and its audio worker,
or on those after them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any

import structlog
from ray.exceptions import RayError

from actors import checkpoint
from actors.assignment import Assignment
from actors.deliveries import Deliveries
from actors.keeper import CallKeeper
from actors.tasks import Tasks
from actors.warm_pool import WarmPool
from actors.worker_pool import WorkerPool
from reception.call.journal import FENCED, TAKEOVER_S
from reception.call.record import CallRecord, CallSpec
from reception.errors import CallIdInUse, LimitReached, Unavailable
from reception.placement.lease import Placement
from reception.placement.workers import Leg, leg_weight

log = structlog.get_logger()

TAKEOVERS = 2  # of a call whose sessions die; then it may be the call's fault
TAKEOVER_PAUSE_S = 0.1
HAND_OVER_TIMEOUT_S = 15.0
HAND_OVER_LOOK_S = 0.2
TURN_AWAY_S, TURN_AWAY_PAUSE_S = 2.0, 0.05
IN_USE = "invalid_request"  # as calls end that their worker refuses


@dataclass(frozen=True, slots=True)
class Means:
    """What a node has for its calls. tasks: that nobody waits for."""

    node_id: str
    pool: WarmPool
    workers: WorkerPool
    keeper: CallKeeper
    deliveries: Deliveries
    tasks: Tasks

    def resume_token(self) -> str:
        """A new one; it names this node."""
        return f"{self.node_id}.{secrets.token_urlsafe(24)}"


class LiveCall:
    """A call that a session and a worker were leased for.

    Attributes:
        spec: of the call, as it is on this node.
        record: as far as it is known.
        session_id: who runs it; worker_id: who carries its audio.
        resume_token: with which its caller may come back, until it has the next one.
        takeovers: how often another session was looked for.
        ending: it has no session any more, and its record is being written.
        shown: whether others may hear of it; before that it may come to nothing.

    Args:
        door_node: where its front door is.
    """

    def __init__(
        self,
        means: Means,
        assignment: Assignment,
        session_id: str,
        worker_id: str,
        door_node: str,
        resume_token: str,
    ) -> None:
        self._means, self._assignment, self._door_node = means, assignment, door_node
        self.spec: CallSpec = assignment.spec
        self.record = CallRecord(self.spec, "connecting", "connecting", assignment.model)
        self.session_id, self.worker_id = session_id, worker_id
        self._placed_s = time.monotonic()  # at that worker
        self._session = means.pool.handle(session_id)
        self.resume_token, self._next_token = resume_token, ""
        self.takeovers, self.shown, self.ending = 0, False, False
        self._refused = False
        self._session_lost = asyncio.Event()
        self._over = asyncio.Event()  # here

    # ------------------------------------------------------------- its life

    async def run(self, state: bytes | None) -> CallRecord | None:
        """One call on its session, or when that dies on another, to the end.

        Args:
            state: of a call that was elsewhere before.

        Returns:
            Its record, for those who watch, and kept by then unless the call was refused;
            None: it goes on elsewhere, or never began.
        """
        given = replace(self._assignment, session=self.session_id)
        session = self._session
        running = session.run_call(given) if state is None else session.carry_on(given, state)
        record = await self._run_session(running)
        while record is None and self._may_go_on() and await self._find_session():
            socket = self._means.workers.socket(self.worker_id)
            given = replace(given, worker_socket=socket, session=self.session_id)
            last = self._means.keeper.state(self.spec.session_id)
            record = await self._run_session(self._session.take_over(given, self.record, last))
        self.ending = True
        if record is None:
            self._means.tasks.begin(self._means.workers.give_up(self.worker_id, self.spec.lease_id))
            record = await self._given_up()
        if self._refused:
            self._means.keeper.forget(self.spec.session_id)
            told = self.shown
        else:
            told = await self._means.deliveries.save_call(record)
        self._over.set()
        return record if told else None

    def _may_go_on(self) -> bool:
        return self.takeovers < TAKEOVERS and not self._refused

    async def _given_up(self) -> CallRecord:
        """What is known of a call that nobody goes on with. Its bills are made, and its
        account is closed, unless another node has it."""
        record = replace(self.record, state="ended", ended_at_s=time.time(), end_reason="internal")
        keeper, session_id = self._means.keeper, self.spec.session_id
        if not await keeper.owns(session_id):
            return record
        _, work = checkpoint.left_by(self.spec, keeper.state(session_id))
        transcriber = self._assignment.profile.transcription_model
        cost_micros = await self._means.deliveries.settle(self.spec, work, transcriber)
        return record if cost_micros is None else replace(record, cost_micros=cost_micros)

    async def _run_session(self, work: Coroutine[Any, Any, CallRecord]) -> CallRecord | None:
        """The call's record; None when the session died, or stood still for so long
        that its worker cut it off. The session goes back to the pool."""
        self._session_lost.clear()
        running = asyncio.ensure_future(work)
        lost = asyncio.ensure_future(self._session_lost.wait())
        try:
            await asyncio.wait((running, lost), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                record = running.result()
                self._means.pool.give_back(self.session_id)
                return record
            error = "its audio worker hears nothing of it"
        except RayError as failure:
            error = str(failure)[:200]
        finally:
            lost.cancel()
            running.cancel()
        log.warning("session lost", call_id=self.spec.call_id, error=error)
        self._means.pool.give_back(self.session_id, dead=True)
        return None

    async def _find_session(self) -> bool:
        """A session that goes on with the call; False when there is none in time. A live
        call asks again where a new one would be sent away."""
        self.takeovers += 1
        caller = f"{self.spec.session_id}/{self.takeovers}"
        with contextlib.suppress(TimeoutError, Unavailable):
            async with asyncio.timeout(TAKEOVER_S):
                while True:
                    try:
                        self.session_id = await self._means.pool.lease(caller, live=True)
                    except LimitReached:
                        await asyncio.sleep(TAKEOVER_PAUSE_S)
                        continue
                    self._session = self._means.pool.handle(self.session_id)
                    return True
        return False

    def session_lost(self, session_id: str) -> None:
        """Its worker hears nothing of this session. Of one before it: nothing changes."""
        if session_id == self.session_id:
            self._session_lost.set()

    # ------------------------------------------------------------- its place

    def placement(self) -> Placement:
        """Where its front door finds it.

        Raises:
            Unavailable: the door is on another node, and this one is not open to those yet.
        """
        return Placement(
            self._means.node_id,
            self._address(self._door_node),
            self.spec.lease_id,
            self.worker_id,
            self.spec.profile,
            self.record.model,
            self._next_token or self.resume_token,
        )

    def _address(self, door_node: str) -> str:
        """Of its worker, for a front door of that node."""
        workers = self._means.workers
        where = workers.socket if door_node == self._means.node_id else workers.address
        return where(self.worker_id)

    def caller_is_back(self, door_node: str) -> None:
        """At a front door of that node; there is a new token for it. The one before stays
        good until the caller has it (`has_token`): the answer may be lost on its way.

        Raises:
            Unavailable: as `placement`.
        """
        self._address(door_node)
        self._next_token, self._door_node = self._means.resume_token(), door_node
        log.info("caller is back", call_id=self.spec.call_id)

    def opens(self, token: str) -> bool:
        """Whether its caller may come back with the token. With the newest one it has
        shown that it has it."""
        now, newest = (
            secrets.compare_digest(each.encode(), token.encode())
            for each in (self.resume_token, self._next_token)
        )
        if newest:
            self.has_token(token)
        return bool(token) and (now or newest)

    def has_token(self, token: str) -> None:
        """The caller has its new token: the one before is used up. Idempotent."""
        if token and token == self._next_token:
            self.resume_token, self._next_token = token, ""
            keeper = self._means.keeper
            self._means.tasks.begin(keeper.new_token(self.spec.session_id, token))

    def leg(self) -> Leg:
        """What it is for its audio worker."""
        spec, profile = self.spec, self._assignment.profile
        weight = leg_weight(spec.codec, spec.rate_hz, profile.hearing, profile.recording)
        return Leg(self.worker_id, weight, self._placed_s)

    def another_worker(self, lost: str, legs: Iterable[Leg]) -> str:
        """As `NodeAgent.another_worker`.

        Args:
            legs: of all calls of the node.
        """
        workers = self._means.workers
        where = workers.address if lost.startswith("tls:") else workers.socket
        if where(self.worker_id) != lost:
            return where(self.worker_id)
        worker_id = workers.choose(legs, without=self.worker_id)
        if worker_id is None:
            raise Unavailable("this node has no other audio worker", retry_after_s=1.0)
        log.warning("call moved to another worker", call_id=self.spec.call_id)
        self.worker_id, self._placed_s = worker_id, time.monotonic()
        return where(worker_id)

    # ------------------------------------------------------------- its end

    async def end(self, reason: str) -> None:
        """Ends it at once; a dead session is found by `run`."""
        with contextlib.suppress(RayError):
            await self._session.end_call(self.spec.lease_id, reason, False)

    async def end_politely(self, reason: str) -> None:
        """The receptionist says goodbye. Raises RayError where the session is dead."""
        await self._session.end_call(self.spec.lease_id, reason, True)

    async def hand_over(self) -> None:
        """Has its front door bring it to another node; ends it here when it is there."""
        await self._means.workers.hand_over(self.worker_id, self.spec.lease_id)
        until_s = time.monotonic() + HAND_OVER_TIMEOUT_S
        while not self._over.is_set() and time.monotonic() < until_s:
            if not await self._means.keeper.owns(self.spec.session_id):
                self.fenced()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HAND_OVER_LOOK_S):
                    await self._over.wait()

    def fenced(self) -> None:
        """Another node has it, and its caller hears that one: it ends here, and leaves
        nothing."""
        self._means.tasks.begin(self._let_go())

    async def leave_behind(self) -> None:
        """No other node has it yet: whichever its caller comes back to goes on with it, as
        with a call of a lost node. It ends here, and leaves nothing."""
        log.warning("call is left behind", call_id=self.spec.call_id)
        await self._let_go()

    async def _let_go(self) -> None:
        await self._means.workers.let_go(self.worker_id, self.spec.lease_id)
        await self.end(FENCED)

    def refuse(self, error: CallIdInUse) -> None:
        """Another live call has its call id: it ends, and there is no record of it, which
        might be taken for that call's. A caller who was accepted already is told the
        error, and the session makes its bills and closes its account; of one that was not,
        the front door does so."""
        log.warning("call id is in use", call_id=self.spec.call_id, accepted=self.shown)
        self._refused = True
        self._means.tasks.begin(self._turn_away(error) if self.shown else self._let_go())

    async def _turn_away(self, error: CallIdInUse) -> None:
        until_s = time.monotonic() + TURN_AWAY_S
        refuse = self._means.workers.refuse
        while not await refuse(self.worker_id, self.spec.lease_id, error):
            if time.monotonic() >= until_s:
                await self.end(IN_USE)
                return
            await asyncio.sleep(TURN_AWAY_PAUSE_S)  # its door may be about to attach
