"""A node's warm sessions: started ahead, leased, replaced, as many as traffic needs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from ray.exceptions import RayError

from actors.assignment import Assignment
from actors.memory import node_memory, proportional_mb, resident_mb
from actors.spawn import SOON, Remote, spawn
from actors.tasks import Tasks
from reception.errors import CallIdInUse, LimitReached, Unavailable
from reception.placement.line import Refusal, Ticket
from reception.placement.pool import PoolRules, SessionPool
from reception.placement.sizer import PoolSizer, SizerRules

log = structlog.get_logger()

START_TIMEOUT_S = 60.0
START_AGAIN_S = 1.0  # after a session that did not start
# Calls seldom come alone, and their setup needs the CPU more: sessions are started
# when no call came for so long, but no later than so long after one was missing.
QUIET_S, REFILL_AFTER_S = 0.5, 2.0
RESIZE_EVERY_S = 5.0
WEIGH_EVERY = 16  # calls of a node: what a session weighs changes slowly

Spawn = Callable[[str], Remote]
Rehearsal = Callable[[], Assignment | None]


def spawn_session(node_id: str, name: str) -> Remote:
    return spawn("actors.session:CallSession", name, node_id, name=name, niceness=SOON, pooled=True)


class WarmPool:
    """Leases warm sessions in arrival order; the decisions are `SessionPool`'s
    (who gets one, who waits) and `PoolSizer`'s (how many).

    Args:
        node_id: names the sessions.
        rehearsal: what a new session is warmed up with; None: nothing yet.
        spawn_one: starts an actor of that name; None for a session's.
    """

    def __init__(
        self,
        node_id: str,
        rules: PoolRules,
        sizing: SizerRules,
        rehearsal: Rehearsal,
        spawn_one: Spawn | None = None,
    ) -> None:
        self._node_id, self._rehearsal = node_id, rehearsal
        self._spawn = spawn_one or partial(spawn_session, node_id)
        self._pool = SessionPool(rules)
        self._sizer = PoolSizer(rules, sizing)
        self._handles: dict[str, Remote] = {}
        self._pids: dict[str, int] = {}
        self._leased_at_s: dict[str, float] = {}
        self._turns: dict[str, asyncio.Future[str]] = {}
        self._last_lease_s = 0.0
        self._hurry = asyncio.Event()
        self._growing = self._closed = False
        self._started = self._ended = 0
        self._reason = ""
        self._tasks = Tasks()

    # ------------------------------------------------------------- life

    async def start(self, first: int) -> None:
        """Starts `first` sessions at once; the others when `serve` is called."""
        first = min(first, self._pool.wanted())
        await asyncio.gather(*(self._start_session() for _ in range(first)))

    async def serve(self) -> None:
        """What sessions are rehearsed with is known: rehearses those that there
        are, and keeps the pool at its size from now on."""
        rehearsal = self._rehearsal()
        if rehearsal is not None:
            await asyncio.gather(*(handle.rehearse(rehearsal) for handle in self._handles.values()))
            for name, pid in self._pids.items():
                self._pool.weighs(name, _resident_mb(pid))
        self._tasks.begin(self._keep_size())

    def close(self) -> None:
        """Starts no more sessions, and tells those who wait."""
        self._closed = True
        for turn in self._turns.values():
            _fail(turn, Unavailable("this node takes no more calls", retry_after_s=5.0))

    def kill(self) -> None:
        """Ends every session at once."""
        self.close()
        for handle in self._handles.values():
            handle.kill()
        self._tasks.cancel()

    # ------------------------------------------------------------- leasing

    async def lease(self, caller: str, *, live: bool = False, patient: bool = True) -> str:
        """A session's name, at once or when it is the caller's turn. Whoever is
        cancelled while waiting leaves nothing behind.

        Args:
            live: for a call that is live already: before all new ones.
            patient: False: it does not wait.

        Raises:
            CallIdInUse: this caller waits already.
            LimitReached: the wait is, or would be, too long; says when to ask again.
            Unavailable: `close` or `give_up` was called meanwhile.
        """
        now_s = time.monotonic()
        self._sizer.arrived(now_s)
        session = self._pool.lease(caller, live=live)
        if session is None and not patient:
            self.resize()
            raise LimitReached("no session of this node is ready", retry_after_s=1.0)
        session = session or await self._wait(caller, now_s, live)
        self._leased_at_s[session] = self._last_lease_s = time.monotonic()
        self.resize()
        return session

    async def _wait(self, caller: str, now_s: float, live: bool) -> str:
        if caller in self._turns:
            raise CallIdInUse(f"{caller} waits for a session already", field="call_id")
        self.resize()
        answer = self._pool.wait(caller, self._supply_per_s(), now_s, live=live)
        if isinstance(answer, Refusal):
            raise LimitReached(answer.reason, retry_after_s=answer.retry_after_s)
        turn: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._turns[caller] = turn
        self._hurry.set()
        self._grow()
        try:
            async with asyncio.timeout(answer.until_s - now_s):
                return await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pool.unused(turn.result())  # it came as the caller left
                self._serve_line()
            if not isinstance(error, TimeoutError):
                raise
            late = self._pool.refuse(self._supply_per_s(), time.monotonic())
            raise LimitReached(late.reason, retry_after_s=late.retry_after_s) from None
        finally:
            self._pool.cancel(caller)
            self._turns.pop(caller, None)

    def _serve_line(self) -> None:
        """Ready sessions to those who wait, in their order."""
        while served := self._pool.serve():
            for caller, session in served:
                turn = self._turns[caller]
                if turn.done():  # the caller has left, but was not seen to go yet
                    self._pool.unused(session)
                else:
                    turn.set_result(session)

    def ticket(self, caller: str) -> Ticket | None:
        """Where a caller is in the line now; None when not in it."""
        return self._pool.ticket(caller, self._supply_per_s())

    def give_up(self, caller: str) -> bool:
        """The caller no longer waits. False: it did not. Idempotent."""
        turn = self._turns.get(caller)
        self._pool.cancel(caller)
        return turn is not None and _fail(turn, Unavailable("the caller gave up waiting"))

    def unused(self, session: str) -> None:
        """A leased session had no call."""
        self._leased_at_s.pop(session, None)
        self._pool.unused(session)
        self._serve_line()

    def give_back(self, session: str, *, dead: bool = False) -> None:
        """A call is over: the session is ready again, or replaced when it is
        worn out, has grown, or died with the call."""
        since_s = self._leased_at_s.pop(session, None)
        if since_s is not None:
            self._sizer.ended(time.monotonic() - since_s)
        pid = self._pids.get(session, 0)
        if dead or not self._pool.give_back(session, _resident_mb(pid)):
            self._pool.remove(session)
            self._stop_session(session)
        else:
            self._ended += 1
            if self._ended % WEIGH_EVERY == 1:
                self._weigh(pid)
        self._serve_line()
        self.resize()

    def handle(self, session: str) -> Remote:
        """Of a leased session. Raises Unavailable when it has just died."""
        if session not in self._handles:
            raise Unavailable("the call's session is gone", retry_after_s=1.0)
        return self._handles[session]

    # ------------------------------------------------------------- sessions

    async def _start_session(self) -> bool:
        began_s = time.monotonic()
        self._pool.starting()
        self._started += 1
        name = f"session:{self._node_id}-{self._started}"
        handle = self._spawn(name)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                pid = await handle.warm_up()
                rehearsal = self._rehearsal()
                if rehearsal is not None:
                    await handle.rehearse(rehearsal)
        except (RayError, TimeoutError):
            log.exception("session did not start", session=name)
            self._pool.failed_to_start()
            handle.kill()
            return False
        except BaseException:
            self._pool.failed_to_start()
            handle.kill()
            raise
        self._handles[name], self._pids[name] = handle, pid
        self._pool.add(name)
        self._pool.weighs(name, _resident_mb(pid))
        self._sizer.started(time.monotonic() - began_s)
        self._weigh(pid)
        self._tasks.begin(self._watch_session(name, handle))
        self._serve_line()
        return True

    def _weigh(self, pid: int) -> None:
        weight_mb = proportional_mb(pid)
        if weight_mb:
            self._sizer.weighed(weight_mb)

    async def _watch_session(self, name: str, handle: Remote) -> None:
        """Takes a session whose process died out of the pool."""
        try:
            await handle.until_stopped()
        except RayError:
            self._pool.remove(name)
            self._handles.pop(name, None)
            self._pids.pop(name, None)
            self._grow()

    def _stop_session(self, name: str) -> None:
        self._pids.pop(name, None)
        handle = self._handles.pop(name, None)
        if handle is not None:
            handle.kill()

    # ------------------------------------------------------------- size

    async def _keep_size(self) -> None:
        while not self._closed:
            self._sizer.remembered(node_memory())
            self.resize()
            await self._recycle()
            await asyncio.sleep(RESIZE_EVERY_S)

    async def _recycle(self) -> None:
        """Where the node's memory is short, a new session for one that has grown."""
        recycling = self._pool.to_recycle() if self._sizer.past_memory else None
        if recycling is None or (recycling.replace and not await self._start_session()):
            return
        if self._pool.retire(recycling.session):
            self._stop_session(recycling.session)
            log.info("session recycled, memory is short", session=recycling.session)

    def resize(self) -> None:
        """Makes the pool what the sizer says now: stops what is too much, and
        begins to start what is missing."""
        decision = self._sizer.decide(self._pool.counts(), time.monotonic())
        self._pool.resize(decision.ready, decision.ceiling)
        self._reason = decision.reason
        stopped = self._pool.shrink(decision.stop)
        for name in stopped:
            self._stop_session(name)
        if stopped:
            log.info("pool shrinks", stopped=len(stopped), reason=decision.reason)
        self._grow()

    def _supply_per_s(self) -> float:
        return self._sizer.supply_per_s(self._pool.counts().leased, self._pool.can_start)

    def _grow(self) -> None:
        """Starts what is missing, one at a time: starting takes a second of CPU,
        which live calls need more."""
        if not (self._growing or self._closed) and self._pool.wanted():
            self._growing = True
            self._tasks.begin(self._start_missing())

    async def _start_missing(self) -> None:
        try:
            if not self._turns:
                await self._quiet_moment()
            while not self._closed and self._pool.wanted():
                if not await self._start_session():
                    await asyncio.sleep(START_AGAIN_S)
        finally:
            self._growing = False

    async def _quiet_moment(self) -> None:
        """Until it is quiet or high time, or somebody has to wait."""
        self._hurry.clear()
        latest_s = time.monotonic() + REFILL_AFTER_S
        while not self._hurry.is_set():
            wait_s = min(self._last_lease_s + QUIET_S, latest_s) - time.monotonic()
            if wait_s <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._hurry.wait()

    def counts(self) -> dict[str, int]:
        """Sessions by what they are doing."""
        return self._pool.size()

    def stats(self) -> dict[str, Any]:
        """Who waits, and why the pool has its size."""
        return {
            "waiting": self._pool.counts().waiting,
            "supply_per_s": round(self._supply_per_s(), 3),
            "reason": self._reason,
        }

    def processes(self) -> dict[str, int]:
        """Process ids by session."""
        return dict(self._pids)

    def leased(self) -> frozenset[str]:
        """Those that have a call, or are about to."""
        return frozenset(self._leased_at_s)

    def names(self) -> list[str]:
        """Every session that is up."""
        return list(self._handles)


def _resident_mb(pid: int) -> float:
    return resident_mb(pid) if pid else 0.0


def _fail(turn: asyncio.Future[str], error: Exception) -> bool:
    if turn.done():
        return False
    turn.set_exception(error)
    return True
