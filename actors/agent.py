"""The node agent: owns a node's pools and knows every call that lives there."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Coroutine, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import psutil
import structlog
from ray.exceptions import RayError

from actors.assignment import Assignment, NodeConfig, ProviderConfig
from actors.bills import Delivery
from actors.changes import CallChange, Changes
from actors.checkpoint import Pending
from actors.deliveries import DELIVERY_TIMEOUT_S, Deliveries
from actors.gossip import Listener
from actors.keeper import CallKeeper
from actors.membership import Cluster, Membership
from actors.memory import node_memory
from actors.outbox import Outbox
from actors.phrase_files import recordings
from actors.profiles import load_profiles
from actors.reaper import Reaper
from actors.spawn import Remote, find
from actors.storage.calls import ENDED
from actors.warm_pool import WarmPool
from actors.worker_pool import WorkerPool
from reception.call import progress
from reception.call.journal import FENCED, TAKEOVER_S, lost_session
from reception.call.phrases import Recorded
from reception.call.profile import Profile, ProfileBook
from reception.call.record import CallRecord, CallSpec, TakenMessage
from reception.errors import (
    CallIdInUse,
    InvalidRequest,
    LimitReached,
    NotFound,
    Unavailable,
)
from reception.media.codecs import AudioFormat
from reception.money.savings.levels import LEVELS, Level
from reception.placement.admission.admission import Admission
from reception.placement.admission.answer import Refused
from reception.placement.admission.concurrency import NodeLoad
from reception.placement.admission.priority import Priority, priority_of
from reception.placement.balancing.rate import Rate
from reception.placement.balancing.report import REPORT_S, NodeReport
from reception.placement.lease import Placement
from reception.placement.pool import least_loaded
from reception.placement.sizer import NodeMemory
from reception.version import VERSION

log = structlog.get_logger()

T = TypeVar("T")

TAKEOVER_PAUSE_S = 0.1
HAND_OVER_TIMEOUT_S = 15.0
HAND_OVER_LOOK_S = 0.2
LAST_CALLS_S = 3.0  # to end, when the node stops
REAP_AFTER_S = 10.0  # and the time for a caller to come back
USE_S = 2.0
LATE_S = 10.0  # more than a caller waits for its setup
TAKEOVERS = 2  # of a call whose sessions die; then it may be the call's fault
FIRST_SESSIONS = 4  # ready at once; the rest of the pool is filled while calls are taken

# What sessions are warmed up with; it never reaches a provider.
_REHEARSAL = CallSpec(
    call_id="rehearsal",
    session_id="rehearsal",
    lease_id="rehearsal",
    from_uri="",
    to_uri="",
    direction="inbound",
    codec="pcmu",
    rate_hz=8_000,
    ptime_ms=20,
    sends_marks=False,
    profile="",
    metadata={},
    tenant="",
    key_id="",
    node_id="",
    accepted_at_s=0.0,
)


@dataclass(slots=True)
class _Live:
    record: CallRecord
    lease_id: str
    session_id: str
    session: Remote
    worker_id: str
    resume_token: str
    door_node: str  # where its front door is
    lost: asyncio.Event = field(default_factory=asyncio.Event)  # its session
    over: asyncio.Event = field(default_factory=asyncio.Event)  # here


class NodeAgent:
    """Leases warm sessions and places calls on workers; keeps the call records
    of its node.

    `changed` runs through `watch`: every start, change and end of a call.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._pool = WarmPool(config.node_id, config.pool, config.sizing, self._rehearsal)
        self._workers = WorkerPool(config)
        self._admission = Admission(config.admission_rules())
        self._membership = Membership(config.node_id, config.host, self._workers.open)
        self._calls_rate, self._errors_rate = Rate(), Rate()
        self._grpc_address = ""
        self._progress: Listener | None = None
        self._live: dict[str, _Live] = {}
        self._changes = Changes()
        self._takeovers = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._profiles: ProfileBook | None = None
        self._keeper: CallKeeper | None = None
        self._deliveries: Deliveries | None = None
        self._draining = False
        self._stopped = asyncio.Event()
        self._told_to_leave = asyncio.Event()
        self._leave_grace_s: float | None = None
        self._provider = ProviderConfig("", "", "")
        self._ended = 0
        self._usage = dict.fromkeys(("usage_differs", "usage_estimated"), 0)

    async def start(self) -> dict[str, Any]:
        """Opens the store, starts workers and fills the pool; ready when back."""
        config = self._config
        self._profiles = load_profiles(Path(config.profile_path))
        self._keeper = await asyncio.to_thread(
            CallKeeper, config.database_url, config.node_id, self._on_fenced
        )
        outbox = None
        if config.outbox_path:
            outbox = await asyncio.to_thread(Outbox, Path(config.outbox_path))
        self._deliveries = Deliveries(self._keeper, outbox)
        self._background(self._deliveries.run())
        self._progress = Listener(config.agent_socket, self._on_news)
        await self._workers.start()
        await self._pool.start(FIRST_SESSIONS)
        return await self.stats()

    async def serve(self, provider: ProviderConfig) -> None:
        """The provider is known: warms everything up that the first call needs."""
        self._provider = provider
        await self._workers.serve(provider)
        await self._pool.serve()
        self._background(self._kept.keep_writing())
        self._background(self._membership.open())
        self._background(self._look())
        self._background(self._tell_use())
        self._background(self._reaper().run())

    def _reaper(self) -> Reaper:
        return Reaper(
            self._kept,
            self._config.node_id,
            self._config.resume_wait_s + REAP_AFTER_S,
            _alive,
            self._is_here,
            self._settle,
        )

    def _is_here(self, session_id: str) -> bool:
        """Whether a call is live here, or its record may still wait to be written."""
        return len(self._told) > 0 or any(
            live.record.spec.session_id == session_id for live in self._live.values()
        )

    async def _settle(self, spec: CallSpec, pending: Iterable[Pending]) -> int | None:
        profile = self._profile(spec.profile, spec.to_uri)
        return await self._told.settle(spec.session_id, pending, profile.transcription_model)

    async def open_door(self, grpc_address: str) -> None:
        """The node's front door is open: other nodes may send callers there."""
        self._grpc_address = grpc_address

    async def stop(self) -> None:
        """Ends every call and every actor of this node."""
        self._draining = True
        await self._membership.leave()
        self._pool.close()
        for live in list(self._live.values()):
            self._background(self._end(live, "shutdown"))
        await self._until_empty(LAST_CALLS_S)
        self._membership.close()
        await self._workers.stop()
        self._pool.kill()
        if self._progress is not None:
            self._progress.close()
        for task in list(self._tasks):
            task.cancel()
        if self._keeper is not None:
            await asyncio.to_thread(self._keeper.close)
        if self._deliveries is not None:
            self._deliveries.close()
        self._stopped.set()

    async def until_stopped(self) -> None:
        """Comes back after `stop`; fails when the process dies."""
        await self._stopped.wait()

    @property
    def _kept(self) -> CallKeeper:
        return _started(self._keeper)

    @property
    def _told(self) -> Deliveries:
        return _started(self._deliveries)

    async def leave(self, grace_s: float | None, by: str) -> None:
        """Asks the process that brought this node up to drain and stop it.

        Args:
            grace_s: for live calls to end; None for the node's own setting.
            by: who wants it.
        """
        log.info("node is to leave", by=by, grace_s=grace_s)
        if not self._told_to_leave.is_set():
            self._leave_grace_s = grace_s
            self._told_to_leave.set()

    async def until_told_to_leave(self) -> float | None:
        """The grace time that `leave` was given."""
        await self._told_to_leave.wait()
        return self._leave_grace_s

    async def drain(self, grace_s: float) -> int:
        """Takes no more calls, waits until the live ones are over, and hands the rest
        over to other nodes.

        Returns:
            How many were still live after all.
        """
        self._draining = True
        self._admission.drain()
        self._pool.close()
        await self._membership.tell(self._report(NodeLoad(), node_memory()))
        await self._until_empty(grace_s)
        if self._live:
            log.info("calls are handed over", count=len(self._live))
            await asyncio.gather(*(self._hand_over(each) for each in list(self._live.values())))
        return len(self._live)

    async def _hand_over(self, live: _Live) -> None:
        """Has the call's front door bring it to another node; ends it here when it is
        there."""
        spec = live.record.spec
        await self._workers.hand_over(live.worker_id, live.lease_id)
        until_s = time.monotonic() + HAND_OVER_TIMEOUT_S
        while not live.over.is_set() and time.monotonic() < until_s:
            if not await self._kept.owns(spec.session_id):
                self._on_fenced(spec.session_id)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HAND_OVER_LOOK_S):
                    await live.over.wait()

    async def _let_go(self, live: _Live) -> None:
        """The caller hears another node by now."""
        await self._workers.let_go(live.worker_id, live.lease_id)
        await self._end(live, FENCED)

    async def _end(self, live: _Live, reason: str) -> None:
        with contextlib.suppress(RayError):  # a dead session is found by who waits for it
            await live.session.end_call(live.lease_id, reason, False)

    def _on_fenced(self, session_id: str) -> None:
        """Another node has the call: it ends here, and leaves nothing."""
        for live in self._live.values():
            if live.record.spec.session_id == session_id:
                self._background(self._let_go(live))

    async def _until_empty(self, wait_s: float) -> None:
        """Until no call is live, or the time is up."""
        await self._changes.until(lambda: not self._live, wait_s)

    # ------------------------------------------------------------- the pools

    async def set_audio_level(self, level: str, by: str) -> None:
        """How much the audio workers do for their calls (`WorkerPool.set_level`)."""
        await self._workers.set_level(level, by)

    async def audio(self) -> dict[str, Any]:
        """What the audio workers do and measure, and what changed lately."""
        return await self._workers.report()

    def _rehearsal(self) -> Assignment | None:
        """What a session is warmed up with, once provider and worker are there."""
        workers = self._workers.names()
        if not (self._provider.provider and workers):
            return None
        return self._assignment(_REHEARSAL, self._profile("", ""), workers[0])

    async def _look(self) -> None:
        """Once a second: what the node measures, for admission and the other nodes."""
        next_s = time.monotonic()
        while True:
            load, memory = await self._workers.load(), node_memory()
            self._admission.observe(load, memory, time.monotonic())
            await self._membership.tell(self._report(load, memory))
            next_s = max(next_s + REPORT_S, time.monotonic() + REPORT_S / 2)
            await asyncio.sleep(next_s - time.monotonic())

    async def _tell_use(self) -> None:
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
            ready=not self._draining,
            version=VERSION,
            link_address=self._membership.address,
            grpc_address=self._grpc_address,
        )

    async def cluster(self) -> Cluster:
        """The nodes as this one knows them, for its front door."""
        return self._membership.cluster()

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ------------------------------------------------------------- leasing

    async def profiles(self) -> tuple[ProfileBook, str, Level]:
        """Who answers which call; the model and the level of saving of those that name
        none."""
        return self._book(), self._provider.model, self._provider.savings

    def _profile(self, name: str, to_uri: str) -> Profile:
        return self._book().choose(name, to_uri)

    def _book(self) -> ProfileBook:
        return _started(self._profiles)

    def _assignment(self, spec: CallSpec, profile: Profile, worker_id: str) -> Assignment:
        level = profile.savings or self._provider.savings
        model = profile.speaks(self._provider.model, level)
        leg = AudioFormat(spec.codec, spec.rate_hz)
        audio_format = self._workers.provider_format(worker_id, leg)
        socket = self._workers.socket(worker_id)
        return Assignment(
            spec,
            profile,
            model,
            socket,
            self._provider,
            audio_format,
            self._config.agent_socket,
            unbilled_s=self._config.unbilled_s,
            level=level,
            phrases=self._recorded(profile) if LEVELS[level].premade_phrases else {},
        )

    def _recorded(self, profile: Profile) -> dict[str, Recorded]:
        """Read for each call: whoever makes recordings need not restart anything."""
        provider = self._provider
        return recordings(self._config.phrases_path, provider.provider, provider.voice, profile)

    async def lease(self, spec: CallSpec) -> Placement:
        """A session and a worker for a call; the session starts on it at once.

        Raises:
            CallIdInUse: a live call of this node has the id.
            InvalidRequest: there is no such profile.
            LimitReached: the node takes no call of this priority now, or the wait
                for a session is, or would be, longer than the pool's rules allow;
                says when to ask again.
            Unavailable: the node is draining or has no worker, or the caller gave
                up (`abandon_wait`).
        """
        if time.time() - spec.accepted_at_s > LATE_S:  # we stood still: it is elsewhere by now
            raise Unavailable("the call waited for too long", retry_after_s=1.0)
        return await self._place(spec, priority_of(spec.metadata))

    async def take_over(self, spec: CallSpec, state: bytes, token: str) -> Placement:
        """Goes on with a call whose node is lost.

        Args:
            spec: as `lease` was given it there.
            state: the session's last state, as far as the front door knows it.
            token: the caller's resume token; "" for a new one.

        Raises:
            NotFound: the call is over, or another node has it already.
            ReceptionError: as `lease`.
        """
        return await self._place(spec, Priority.EMERGENCY, (state, token))

    async def _place(
        self, spec: CallSpec, priority: Priority, carried: tuple[bytes, str] | None = None
    ) -> Placement:
        if self._draining:
            raise Unavailable("this node takes no more calls", retry_after_s=5.0)
        if spec.call_id in self._live:
            raise CallIdInUse(f"call_id {spec.call_id!r} is a live call's", field="call_id")
        profile = self._profile(spec.profile, spec.to_uri)
        answer = self._admission.ask(spec.session_id, priority, time.monotonic())
        if isinstance(answer, Refused):
            raise LimitReached(answer.reason, retry_after_s=answer.retry_after_s)
        self._calls_rate.add(time.monotonic())
        try:
            session_id = await self._pool.lease(spec.session_id)
            try:
                if carried is None:
                    return self._begin(spec, profile, session_id)
                return await self._carry_on(spec, profile, session_id, *carried)
            except BaseException:
                self._pool.unused(session_id)
                raise
        except BaseException as error:
            self._admission.ended(spec.session_id)
            if not isinstance(error, LimitReached | CallIdInUse | NotFound):
                self._errors_rate.add(time.monotonic())
            raise

    async def _carry_on(
        self, spec: CallSpec, profile: Profile, session_id: str, state: bytes, token: str
    ) -> Placement:
        """A call of another node; first of all it must be ours."""
        token = token or self._resume_token()
        claim = await self._kept.take(replace(spec, node_id=self._config.node_id), token)
        state = state or claim.checkpoint
        log.warning("call taken over", call_id=spec.call_id, generation=claim.generation)
        return self._begin(spec, profile, session_id, (state, token))

    def _begin(
        self,
        spec: CallSpec,
        profile: Profile,
        session_id: str,
        carried: tuple[bytes, str] | None = None,
    ) -> Placement:
        """A call on a session that was leased for it, from its beginning or from the state
        in which it was elsewhere."""
        if spec.call_id in self._live:
            raise CallIdInUse(f"call_id {spec.call_id!r} is a live call's", field="call_id")
        worker_id = least_loaded(self._load_by_worker())
        if worker_id is None:
            raise Unavailable("this node has no audio worker", retry_after_s=2.0)
        if not self._admission.began(spec.session_id, time.monotonic()):
            raise Unavailable("the call waited for too long", retry_after_s=1.0)
        lease_id, door_node = secrets.token_urlsafe(16), spec.node_id
        spec = replace(spec, lease_id=lease_id, profile=profile.name, node_id=self._config.node_id)
        assignment = self._assignment(spec, profile, worker_id)
        live = _Live(
            CallRecord(spec=spec, state="connecting", phase="connecting", model=assignment.model),
            lease_id,
            session_id,
            self._pool.handle(session_id),
            worker_id,
            self._resume_token() if carried is None else carried[1],
            door_node,
        )
        self._live[spec.call_id] = live
        if carried is None:
            self._background(self._kept.begin(spec, live.resume_token))
        self._background(self._run(live, assignment, None if carried is None else carried[0]))
        self._changes.note("started", live.record)
        return self._placement(live)

    def _placement(self, live: _Live) -> Placement:
        record, near = live.record, live.door_node == self._config.node_id
        find = self._workers.socket if near else self._workers.address
        return Placement(
            self._config.node_id,
            find(live.worker_id),
            live.lease_id,
            live.worker_id,
            record.spec.profile,
            record.model,
            live.resume_token,
        )

    def _resume_token(self) -> str:
        return f"{self._config.node_id}.{secrets.token_urlsafe(24)}"

    async def resume(self, token: str, key_id: str, door_node: str) -> tuple[CallSpec, Placement]:
        """The place of a live call, for its caller who comes back, with a new token.

        Args:
            door_node: to whose front door the caller came.

        Raises:
            NotFound: no live call of this key has the token.
        """
        for live in self._live.values():
            if secrets.compare_digest(live.resume_token.encode(), token.encode()):
                if live.record.spec.key_id != key_id:
                    break
                live.resume_token, live.door_node = self._resume_token(), door_node
                session_id = live.record.spec.session_id
                self._background(self._kept.new_token(session_id, live.resume_token))
                log.info("caller is back", call_id=live.record.spec.call_id)
                return live.record.spec, self._placement(live)
        raise NotFound(
            "resume_token is not that of a live call of this key", field="start.resume_token"
        )

    async def node_of(self, token: str, key_id: str) -> CallSpec:
        """Which node (`node_id`) has the live call that a resume token is for, wherever
        that is.

        Raises:
            NotFound: no live call of this key has the token.
        """
        return (await self._kept.by_token(token, key_id)).spec

    async def place_in_line(self, session_id: str) -> tuple[int, float] | None:
        """Where a caller waits for a session (1 is next) and for how many seconds
        that is expected to be; None when it does not wait.

        Args:
            session_id: of the CallSpec that `lease` was given.
        """
        ticket = self._pool.ticket(session_id)
        return None if ticket is None else (ticket.position, ticket.expected_wait_s)

    async def abandon_wait(self, session_id: str) -> bool:
        """The caller hung up while waiting for a session: its `lease` ends, and
        nothing of it is left. False: it did not wait. Idempotent."""
        return self._pool.give_up(session_id)

    def _load_by_worker(self) -> dict[str, int]:
        load = dict.fromkeys(self._workers.names(), 0)
        for live in self._live.values():
            if live.worker_id in load:  # else it has just died
                load[live.worker_id] += 1
        return load

    async def _run(self, live: _Live, assignment: Assignment, state: bytes | None) -> None:
        """One call on its session, or when that dies on another, to the end; then the
        record and the pool."""
        session, given = live.session, replace(assignment, session=live.session_id)
        running = session.run_call(given) if state is None else session.carry_on(given, state)
        record = await self._run_session(live, running)
        for _ in range(TAKEOVERS):
            if record is not None or not await self._another_session(live):
                break
            socket = self._workers.socket(live.worker_id)
            given = replace(assignment, worker_socket=socket, session=live.session_id)
            last = self._kept.state(live.record.spec.session_id)
            record = await self._run_session(live, live.session.take_over(given, live.record, last))
        if record is None:
            self._background(self._workers.give_up(live.worker_id, live.lease_id))
            record = replace(
                live.record, state="ended", ended_at_s=time.time(), end_reason="internal"
            )
        kept = await self._told.save_call(record)
        self._live.pop(record.spec.call_id, None)
        self._admission.ended(record.spec.session_id)
        live.over.set()
        if kept:
            self._ended += 1
            for name in self._usage:
                self._usage[name] += record.stats.get(name, 0)
            self._changes.note("ended", record)
        else:  # it goes on elsewhere
            self._changes.wake()

    async def _run_session(
        self, live: _Live, work: Coroutine[Any, Any, CallRecord]
    ) -> CallRecord | None:
        """The call's record; None when the session died, or stood still for so long
        that its worker cut it off. The session goes back to the pool."""
        live.lost.clear()
        running = asyncio.ensure_future(work)
        lost = asyncio.ensure_future(live.lost.wait())
        try:
            await asyncio.wait((running, lost), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                record = running.result()
                self._pool.give_back(live.session_id)
                return record
            error = "its audio worker hears nothing of it"
        except RayError as failure:
            error = str(failure)[:200]
        finally:
            lost.cancel()
            running.cancel()
        log.warning("session lost", call_id=live.record.spec.call_id, error=error)
        self._pool.give_back(live.session_id, dead=True)
        return None

    async def _another_session(self, live: _Live) -> bool:
        """A session that goes on with a call; False when there is none in time. A live
        call asks again where a new one would be sent away."""
        self._takeovers += 1
        caller = f"{live.record.spec.session_id}/{self._takeovers}"
        with contextlib.suppress(TimeoutError, Unavailable):
            async with asyncio.timeout(TAKEOVER_S):
                while True:
                    try:
                        live.session_id = await self._pool.lease(caller)
                    except LimitReached:
                        await asyncio.sleep(TAKEOVER_PAUSE_S)
                        continue
                    live.session = self._pool.handle(live.session_id)
                    return True
        return False

    async def another_worker(self, lease_id: str, lost: str) -> str:
        """The call's audio worker at `lost` is gone: where the one is that has the
        call now, in the same way (socket or TLS). Idempotent.

        Raises:
            NotFound: no live call has the lease.
            Unavailable: there is no other worker (yet).
        """
        live = next((each for each in self._live.values() if each.lease_id == lease_id), None)
        if live is None:
            raise NotFound("no live call has this lease", field="lease_id")
        find = self._workers.address if lost.startswith("tls:") else self._workers.socket
        if find(live.worker_id) != lost:
            return find(live.worker_id)
        load = self._load_by_worker()
        load.pop(live.worker_id, None)
        worker_id = least_loaded(load)
        if worker_id is None:
            raise Unavailable("this node has no other audio worker", retry_after_s=1.0)
        log.warning("call moved to another worker", call_id=live.record.spec.call_id)
        live.worker_id = worker_id
        return find(worker_id)

    async def abandon(self, lease_id: str, reason: str) -> None:
        """The front door gave the call up; its session stops. Idempotent."""
        for live in self._live.values():
            if live.lease_id == lease_id:
                self._background(self._end(live, reason))

    # ------------------------------------------------------------- from sessions

    def _on_news(self, data: bytes) -> None:
        """A live call changed, or has lost its session."""
        lost = lost_session(data)
        if lost is not None:
            for each in self._live.values():
                if (each.lease_id, each.session_id) == lost:
                    each.lost.set()
            return
        try:
            news = progress.decode(data)
        except InvalidRequest as error:
            log.warning("what a session told is not valid", error=error.message)
            return
        live = self._live.get(news.call_id)
        if live is not None and live.lease_id == news.lease_id:
            live.record = progress.applied(live.record, news)
            self._changes.note("changed", live.record)

    async def keep_state(self, session_id: str, state: bytes) -> None:
        """A live call's state, for the node that goes on with it should this one be lost."""
        self._kept.keep(session_id, state)

    async def owns(self, session_id: str) -> bool:
        """Whether a call that is live here is still this node's."""
        return await self._kept.owns(session_id)

    async def save_message(self, message: TakenMessage) -> None:
        """Keeps a message that a caller left, durably. Idempotent."""
        await self._told.save_message(message)

    async def send_later(self, delivery: Delivery) -> None:
        """Keeps on disk what is to be delivered once it can be (`Deliveries.later`)."""
        await self._told.later(delivery)

    # ------------------------------------------------------------- looking at calls

    async def get_call(self, call_id: str) -> CallRecord | None:
        """A call that is live here, or an ended one of any node."""
        live = await self.live_call(call_id)
        if live is not None:
            return live
        return await self._kept.read(lambda calls: calls.get_call(call_id))

    async def live_call(self, call_id: str) -> CallRecord | None:
        """A call that is live here."""
        live = self._live.get(call_id)
        return None if live is None else live.record

    async def live_calls(self) -> tuple[CallRecord, ...]:
        return tuple(live.record for live in self._live.values())

    async def ended_calls(
        self, page_size: int, page_token: str
    ) -> tuple[tuple[CallRecord, ...], str]:
        """Of all nodes, newest first (`CallStore.list_calls`)."""
        return await self._kept.read(lambda calls: calls.list_calls(ENDED, page_size, page_token))

    async def messages(self) -> tuple[TakenMessage, ...]:
        return tuple(await self._kept.read(lambda calls: calls.messages()))

    async def end_call(self, call_id: str, reason: str, by: str) -> CallRecord:
        """Ends a live call politely. Raises NotFound."""
        live = self._live.get(call_id)
        if live is None:
            raise NotFound(f"there is no live call {call_id!r}", field="call_id")
        log.info("call ended by operator", call_id=call_id, by=by)
        await live.session.end_call(live.lease_id, "ended_by_operator", True)
        return live.record

    async def watch(self, after: int, timeout_s: float) -> tuple[int, tuple[CallChange, ...]]:
        """Changes after number `after` (`Changes.watch`)."""
        return await self._changes.watch(after, timeout_s)

    def _admission_stats(self) -> dict[str, Any]:
        tally = self._admission.tally()
        return asdict(self._admission.occupancy(time.monotonic())) | {
            "admitted": {str(priority): count for priority, count in tally.admitted.items()},
            "refused": tally.refusals(),
        }

    async def stats(self) -> dict[str, Any]:
        """Pools, calls and workers of this node."""
        return {
            "node_id": self._config.node_id,
            "live": len(self._live),
            "ended": self._ended,
            **self._usage,
            "takeovers": self._takeovers,
            "to_be_written": 0 if self._deliveries is None else len(self._deliveries),
            "pool": self._pool.counts(),
            "sizing": self._pool.stats(),
            "admission": self._admission_stats(),
            "workers": self._load_by_worker(),
            "sessions": {
                name: next(
                    (
                        live.record.spec.call_id
                        for live in self._live.values()
                        if live.session_id == name
                    ),
                    "",
                )
                for name in self._pool.names()
            },
            "processes": self._pool.processes(),
            "draining": self._draining,
            "full": not self._admission.takes(Priority.NORMAL, time.monotonic()),
        }


def _started(part: T | None) -> T:
    if part is None:
        raise Unavailable("this node is still starting", retry_after_s=1.0)
    return part


async def _alive() -> set[str]:
    """The nodes that live, as the health singleton knows."""
    async with asyncio.timeout(DELIVERY_TIMEOUT_S):
        return set(await find("health").alive())
