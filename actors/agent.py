"""The node agent: owns a node's pools and knows every call that lives there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from actors.assigner import Assigner
from actors.assignment import NodeConfig, ProviderConfig
from actors.bills import Delivery
from actors.caller_messages import call_of
from actors.changes import CallChange
from actors.deliveries import Deliveries
from actors.gossip import Listener
from actors.intake import Intake
from actors.keeper import CallKeeper
from actors.live_call import Means
from actors.live_calls import LiveCalls
from actors.membership import Cluster, Membership
from actors.outbox import Outbox
from actors.profiles import load_profiles
from actors.reaper import Reaper
from actors.shown_calls import Live, ShownPage, live_in, newest
from actors.spawn import find, in_time
from actors.storage import shown
from actors.storage.calls import ENDED
from actors.stray_reaper import StrayReaper
from actors.tasks import Tasks
from actors.warm_pool import WarmPool
from actors.worker_pool import WorkerPool
from reception.call import messages as m
from reception.call.profile import ProfileBook
from reception.call.record import CallRecord, CallSpec, TakenMessage
from reception.errors import InvalidRequest, NotFound, Unavailable
from reception.money.savings.levels import Level
from reception.placement.admission.priority import Priority, priority_of
from reception.placement.lease import Placement

log = structlog.get_logger()

LAST_CALLS_S = 3.0  # to end, when the node stops
REAP_AFTER_S = 10.0  # and the time for a caller to come back
LATE_S = 10.0  # more than a caller waits for its setup
FIRST_SESSIONS = 4  # ready at once; the rest of the pool is filled while calls are taken


class NodeAgent:
    """Leases warm sessions and places calls on workers; keeps the call records
    of its node.

    What one call does from then on is `LiveCall`'s; whether one is taken is `Intake`'s.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._workers = WorkerPool(config)
        self._assigner = Assigner(config, self._workers)
        self._pool = WarmPool(config.node_id, config.pool, config.sizing, self._assigner.rehearsal)
        self._membership = Membership(config.node_id, config.host, self._workers.open)
        self._calls = LiveCalls()
        self._intake = Intake(config, self._assigner, self._calls, self._workers, self._membership)
        self._means: Means | None = None  # before the start
        self._news: Listener | None = None
        self._tasks = Tasks()
        self._stopped = asyncio.Event()
        self._told_to_leave = asyncio.Event()
        self._leave_grace_s: float | None = None

    @property
    def _has(self) -> Means:
        if self._means is None:
            raise Unavailable("this node is still starting", retry_after_s=1.0)
        return self._means

    # ------------------------------------------------------------- life

    async def start(self) -> dict[str, Any]:
        """Opens the store, starts workers and fills the pool; ready when back."""
        config = self._config
        self._assigner.profiles = load_profiles(Path(config.profile_path))
        keeper = await asyncio.to_thread(
            CallKeeper, config.database_url, config.node_id, self._on_fenced
        )
        outbox = None
        if config.outbox_path:
            outbox = await asyncio.to_thread(Outbox, Path(config.outbox_path))
        self._provide(keeper, outbox)
        self._tasks.begin(self._has.deliveries.run())
        self._news = Listener(config.agent_socket, self._calls.hear)
        await self._workers.start()
        await self._pool.start(FIRST_SESSIONS)
        return await self.stats()

    def _provide(self, keeper: CallKeeper, outbox: Outbox | None) -> None:
        self._means = Means(
            self._config.node_id,
            self._pool,
            self._workers,
            keeper,
            Deliveries(keeper, outbox),
            self._tasks,
        )

    async def serve(self, provider: ProviderConfig) -> None:
        """The provider is known: warms everything up that the first call needs."""
        self._assigner.provider = provider
        await self._workers.serve(provider)
        await self._pool.serve()
        self._tasks.begin(self._has.keeper.keep_writing())
        self._tasks.begin(self._membership.open())
        self._tasks.begin(self._intake.look())
        self._tasks.begin(self._intake.tell_use())
        self._tasks.begin(self._reaper().run())
        self._tasks.begin(StrayReaper(self._calls, self._pool, self._workers).run())

    def _reaper(self) -> Reaper:
        return Reaper(
            self._has.keeper,
            self._config.node_id,
            self._config.resume_wait_s + REAP_AFTER_S,
            _alive,
            self._is_here,
            self._settle,
        )

    def _is_here(self, session_id: str) -> bool:
        """Whether a call is live here, or its record may still wait to be written."""
        return len(self._has.deliveries) > 0 or self._calls.of_session(session_id) is not None

    async def _settle(self, spec: CallSpec, pending: Iterable[m.Work]) -> int | None:
        transcriber = self._assigner.profile(spec).transcription_model
        return await self._has.deliveries.settle(spec, pending, transcriber)

    def _on_fenced(self, session_id: str) -> None:
        """Another node has the call."""
        live = self._calls.of_session(session_id)
        if live is not None:
            live.fenced()

    async def open_door(self, grpc_address: str) -> None:
        """The node's front door is open: other nodes may send callers there."""
        self._intake.grpc_address = grpc_address

    async def leave(self, grace_s: float | None, by: str) -> None:
        """Asks the process that brought this node up to drain and stop it.

        Args:
            grace_s: for live calls to end; None for the node's own setting.
            by: who wants it.

        Raises:
            InvalidRequest: the node would be killed before that.
        """
        if grace_s is not None and grace_s > self._config.most_grace_s:
            raise InvalidRequest(
                f"grace_s is {grace_s:g}: at most {self._config.most_grace_s:g} s fit into what "
                "the node's pod or unit is given (REALTIME_TERMINATION_GRACE_S)",
                field="grace_s",
            )
        log.info("node is to leave", by=by, grace_s=grace_s)
        if not self._told_to_leave.is_set():
            self._leave_grace_s = grace_s
            self._told_to_leave.set()

    async def until_told_to_leave(self) -> float | None:
        """The grace time that `leave` was given."""
        await self._told_to_leave.wait()
        return self._leave_grace_s

    async def close(self) -> None:
        """Takes no more calls; the other nodes are told so. Idempotent."""
        self._pool.close()
        await self._intake.close()

    async def drain(self, grace_s: float) -> int:
        """Waits until the live calls are over, and hands the rest over to other nodes.
        No call must come any more (`close`). Idempotent.

        Returns:
            How many were still live after all.
        """
        await self._calls.until_none(grace_s)
        if len(self._calls):
            log.info("calls are handed over", count=len(self._calls))
            await asyncio.gather(*(live.hand_over() for live in self._calls))
        return len(self._calls)

    async def stop(self) -> None:
        """Ends every actor of this node, and every call that can't go on at another one."""
        self._intake.open = False
        await self._membership.leave()
        self._pool.close()
        for live in self._calls:
            others = self._membership.has_others()
            self._tasks.begin(live.leave_behind() if others else live.end("shutdown"))
        await self._calls.until_none(LAST_CALLS_S)
        self._membership.close()
        await self._workers.stop()
        self._pool.kill()
        if self._news is not None:
            self._news.close()
        self._tasks.cancel()
        if self._means is not None:
            await asyncio.to_thread(self._means.keeper.close)
            self._means.deliveries.close()
        self._stopped.set()

    async def until_stopped(self) -> None:
        """Comes back after `stop`; fails when the process dies."""
        await self._stopped.wait()

    # ------------------------------------------------------------- taking calls

    async def profiles(self) -> tuple[ProfileBook, str, Level]:
        """Who answers which call; the model and the level of saving of those that name
        none."""
        provider = self._assigner.provider
        return self._assigner.book, provider.model, provider.savings

    async def lease(self, spec: CallSpec) -> Placement:
        """A session and a worker for a call; the session starts on it at once.

        Raises:
            CallIdInUse: a live call, of any node, has the id.
            InvalidRequest: there is no such profile.
            LimitReached: the node takes no call of this priority now, or the wait
                for a session is, or would be, longer than the pool's rules allow;
                says when to ask again.
            Unavailable: the node is draining or has no worker, or the caller gave
                up (`abandon_wait`).
        """
        if time.time() - spec.accepted_at_s > LATE_S:  # we stood still: it is elsewhere by now
            raise Unavailable("the call waited for too long", retry_after_s=1.0)
        return await self._intake.take(self._has, spec, priority_of(spec.metadata))

    async def take_over(
        self, spec: CallSpec, state: bytes, token: str, patient: bool = True
    ) -> Placement:
        """Goes on with a call whose node is lost.

        Args:
            spec: as `lease` was given it there.
            state: the session's last state, as far as the front door knows it.
            token: the caller's resume token; "" for a new one.
            patient: may wait for a session; False: takes it only if one is ready.

        Raises:
            NotFound: the call is over, or another node has it already.
            ReceptionError: as `lease`.
        """
        carried = state, token
        return await self._intake.take(
            self._has, spec, Priority.EMERGENCY, carried, patient=patient
        )

    async def resume(self, token: str, key_id: str, door_node: str) -> tuple[CallSpec, Placement]:
        """The place of a live call, for its caller who comes back, with a new token
        (`has_token`).

        Args:
            door_node: to whose front door the caller came.

        Raises:
            NotFound: no live call of this key has the token.
        """
        live = self._calls.of_token(token, key_id)
        live.caller_is_back(door_node)
        return live.spec, live.placement()

    async def has_token(self, session_id: str, token: str) -> None:
        """A caller who came back has its new token: the one before is used up."""
        live = self._calls.of_session(session_id)
        if live is not None:
            live.has_token(token)

    async def node_of(self, token: str, key_id: str) -> CallSpec:
        """Which node (`node_id`) has the live call that a resume token is for, wherever
        that is.

        Raises:
            NotFound: no live call of this key has the token.
        """
        return (await self._has.keeper.by_token(token, key_id)).spec

    async def place_in_line(self, session_id: str) -> tuple[int, float] | None:
        """Where a caller waits for a session (1 is next) and for how many seconds
        that is expected to be; None when it does not wait.

        Args:
            session_id: of the CallSpec that `lease` was given.
        """
        ticket = self._pool.ticket(session_id)
        return None if ticket is None else (ticket.position, ticket.expected_wait_s)

    async def abandon_wait(self, session_id: str) -> bool:
        """The caller hung up while waiting for its `lease`: that ends, or the call which
        has just begun. False: there is neither. Idempotent."""
        live = self._calls.of_session(session_id)
        if live is None:
            return self._pool.give_up(session_id)
        self._tasks.begin(live.end("caller_vanished"))
        return True

    # ------------------------------------------------------------- from workers and sessions

    async def another_worker(self, lease_id: str, lost: str) -> str:
        """The call's audio worker at `lost` is gone: where the one is that has the
        call now, in the same way (socket or TLS). Idempotent.

        Raises:
            NotFound: no live call has the lease.
            Unavailable: there is no other worker (yet).
        """
        live = self._calls.of_lease(lease_id)
        if live is None:
            raise NotFound("no live call has this lease", field="lease_id")
        return live.another_worker(lost, self._calls.legs())

    async def abandon(self, lease_id: str, reason: str) -> None:
        """The front door gave the call up; its session stops. Idempotent."""
        live = self._calls.of_lease(lease_id)
        if live is not None:
            self._tasks.begin(live.end(reason))

    async def keep_state(self, session_id: str, state: bytes) -> None:
        """A live call's state, for the node that goes on with it should this one be lost."""
        self._has.keeper.keep(session_id, state)

    async def owns(self, session_id: str) -> bool:
        """Whether a call that is live here is still this node's."""
        return await self._has.keeper.owns(session_id)

    async def save_message(self, message: TakenMessage) -> None:
        """Keeps a message that a caller left, durably. Idempotent."""
        await self._has.deliveries.save_message(message)

    async def send_later(self, delivery: Delivery) -> None:
        """Keeps on disk what is to be delivered once it can be (`Deliveries.later`)."""
        await self._has.deliveries.later(delivery)

    # ------------------------------------------------------------- looking at calls

    async def get_call(self, call_id: str) -> CallRecord | None:
        """A call that is live here, or an ended one of any node."""
        live = await self.live_call(call_id)
        if live is not None:
            return live
        return await self._has.keeper.read(lambda calls: calls.get_call(call_id))

    async def show_call(self, call_id: str) -> bytes | None:
        """The same as the API shows it: a serialized `Call`."""
        live = self._calls.get(call_id)
        if live is not None:
            return call_of(live.record).SerializeToString()
        return await self._has.keeper.look(partial(shown.newest, call_id=call_id))

    async def show_calls(
        self, state: str, page_size: int, page_token: str, elsewhere: int
    ) -> ShownPage:
        """Calls that are live here, and of all nodes those that have ended.

        Args:
            state: only calls in it; "" for all.
            page_size: 1 to 1,000, of calls of both kinds.
            page_token: what the page before gave; "" for the first, which alone has live ones.
            elsewhere: live calls of other nodes on this page.
        """
        here: list[Live] = []
        if not page_token and state != ENDED:
            here = live_in((live.record for live in self._calls.shown()), state)
        if state not in ("", ENDED):
            return ShownPage(newest(here, page_size), b"")
        room = max(1, page_size - len(here) - elsewhere)
        ended = partial(shown.ended, page_size=room, page_token=page_token)
        return ShownPage(newest(here, page_size), await self._has.keeper.look(ended))

    async def live_call(self, call_id: str) -> CallRecord | None:
        """A call that is live here."""
        live = self._calls.get(call_id)
        return None if live is None else live.record

    async def live_calls(self) -> tuple[CallRecord, ...]:
        return tuple(live.record for live in self._calls.shown())

    async def list_calls(
        self, state: str, page_size: int, page_token: str
    ) -> tuple[tuple[CallRecord, ...], str]:
        """The records of such a page, and the token of the next one (`show_calls`)."""
        here: list[CallRecord] = []
        if not page_token and state != ENDED:
            shown_here = (live.record for live in self._calls.shown())
            here = [record for record in shown_here if state in ("", record.state)]
            here.sort(key=lambda record: -record.spec.accepted_at_s)
        if state not in ("", ENDED):
            return tuple(here[:page_size]), ""
        room = max(1, page_size - len(here))
        ended, token = await self._has.keeper.read(
            lambda calls: calls.list_calls(ENDED, room, page_token)
        )
        return (*here[:page_size], *ended), token

    async def messages(self) -> tuple[TakenMessage, ...]:
        return tuple(await self._has.keeper.read(lambda calls: calls.messages()))

    async def end_call(self, call_id: str, reason: str, by: str) -> CallRecord:
        """Ends a live call politely. Raises NotFound."""
        live = self._calls.get(call_id)
        if live is None:
            raise NotFound(f"there is no live call {call_id!r}", field="call_id")
        log.info("call ended by operator", call_id=call_id, by=by)
        await live.end_politely("ended_by_operator")
        return live.record

    async def watch(self, after: int, timeout_s: float) -> tuple[int, tuple[CallChange, ...]]:
        """Starts, changes and ends of calls after number `after` (`Changes.watch`)."""
        return await self._calls.changes.watch(after, timeout_s)

    # ------------------------------------------------------------- looking at the node

    async def set_audio_level(self, level: str, by: str) -> None:
        """How much the audio workers do for their calls (`WorkerPool.set_level`)."""
        await self._workers.set_level(level, by)

    async def audio(self) -> dict[str, Any]:
        """What the audio workers do and measure, and what changed lately."""
        return await self._workers.report()

    async def cluster(self) -> Cluster:
        """The nodes as this one knows them, for its front door."""
        return self._membership.cluster()

    async def readiness(self) -> str:
        """Whether calls are taken: "ready", "draining" or "full"."""
        return self._intake.readiness

    async def stats(self) -> dict[str, Any]:
        """Pools, calls and workers of this node."""
        return {
            "node_id": self._config.node_id,
            **self._calls.stats(),
            "to_be_written": len(self._has.deliveries),
            "pool": self._pool.counts(),
            "sizing": self._pool.stats(),
            "admission": self._intake.stats(),
            "workers": self._calls.load(self._workers.names()),
            "sessions": self._calls.by_session(self._pool.names()),
            "processes": self._pool.processes(),
            "readiness": self._intake.readiness,
        }


async def _alive() -> set[str]:
    """The nodes that live, as the health singleton knows."""
    async with in_time():
        return set(await find("health").alive())
