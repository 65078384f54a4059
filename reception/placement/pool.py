"""Which session a call gets: decisions of a node's pool."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from reception.placement.line import Line, LineRules, Refusal, Ticket

GROWN = 1.2  # times what a session weighed at first


@dataclass(frozen=True, slots=True)
class PoolRules:
    """floor: sessions kept ready; ceiling: sessions at most, leased ones
    included; calls_per_session: after so many a session is replaced, and when
    its process (resident set) has grown past session_limit_mb; waiting: callers
    at most who wait for a session; longest_wait_s: no new call waits longer;
    live_wait_s: nor one that is live already and lost its session or its node."""

    floor: int
    ceiling: int
    calls_per_session: int = 2_000
    session_limit_mb: float = 300.0
    waiting: int = 200
    longest_wait_s: float = 2.0
    live_wait_s: float = 4.0


@dataclass(frozen=True, slots=True)
class PoolSize:
    """How many sessions and callers there are."""

    ready: int
    leased: int
    starting: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Recycling:
    """A ready session to be stopped; `replace`: once another one is ready in its place."""

    session: str
    replace: bool


class SessionPool:
    """Warm sessions of one node: ready, leased, and how many are to be started;
    and the callers who wait for one, in the order they came, live calls first.

    A session is in at most one place at a time; the pool never leases one that
    it was not given. `now_s` is any monotonic clock.
    """

    def __init__(self, rules: PoolRules) -> None:
        self._rules = rules
        self._ready: deque[str] = deque()  # who had a call last, last
        self._leased: dict[str, str] = {}
        self._calls: dict[str, int] = {}
        self._weight_mb: dict[str, tuple[float, float]] = {}  # at first, now
        self._starting = 0
        self._target = rules.floor
        self._ceiling = rules.ceiling
        line = LineRules(rules.waiting, rules.longest_wait_s, rules.live_wait_s)
        self._line = Line(line, "all sessions of this node are busy")

    # ------------------------------------------------------------- sessions

    def starting(self) -> None:
        """A session is being started."""
        self._starting += 1

    def failed_to_start(self) -> None:
        self._starting -= 1

    def add(self, session: str) -> None:
        """A started session is ready."""
        self._starting -= 1
        self._calls[session] = 0
        self._weight_mb[session] = 0.0, 0.0
        self._ready.appendleft(session)

    def weighs(self, session: str, memory_mb: float) -> None:
        """What a session's process weighs before its first call, as in `give_back`."""
        if session in self._weight_mb:
            self._weight_mb[session] = memory_mb, memory_mb

    def lease(self, lease_id: str, *, live: bool = False) -> str | None:
        """The session that had a call last: its memory is in the caches still. None
        when none is ready, or when others wait for it.

        Args:
            live: for a call that is live already, and comes first.
        """
        if not self._ready or self._line.before(first=live):
            return None
        return self._take(lease_id)

    def give_back(self, session: str, memory_mb: float = 0.0) -> bool:
        """A call is over. True: ready again; False: worn out, to be stopped.

        Args:
            memory_mb: the process's resident set; 0 when it is not known.
        """
        if self._leased.pop(session, None) is None:
            return False
        self._calls[session] += 1
        worn = self._calls[session] >= self._rules.calls_per_session
        if worn or memory_mb > self._rules.session_limit_mb:
            self._forget(session)
            return False
        self._weight_mb[session] = self._weight_mb[session][0], memory_mb
        self._ready.append(session)
        return True

    def unused(self, session: str) -> None:
        """A leased session had no call: ready again, and the next to be leased."""
        if self._leased.pop(session, None) is not None:
            self._ready.append(session)

    def remove(self, session: str) -> None:
        """A session is dead."""
        self._leased.pop(session, None)
        self._forget(session)
        if session in self._ready:
            self._ready.remove(session)

    def _forget(self, session: str) -> None:
        self._calls.pop(session, None)
        self._weight_mb.pop(session, None)

    def _take(self, lease_id: str) -> str:
        session = self._ready.pop()
        self._leased[session] = lease_id
        return session

    # ------------------------------------------------------------- size

    def resize(self, ready: int, ceiling: int) -> None:
        """So many sessions are to be ready, so many there may be; the rules'
        ceiling holds in any case."""
        self._target, self._ceiling = ready, min(ceiling, self._rules.ceiling)

    def wanted(self) -> int:
        """How many sessions to start now: for those who wait and up to the
        target of ready ones, within the ceiling."""
        missing = self._target + len(self._line) - len(self._ready) - self._starting
        room = self._ceiling - len(self._calls) - self._starting
        return max(0, min(missing, room))

    def shrink(self, count: int) -> list[str]:
        """Takes up to `count` ready sessions out, first those that have grown, the largest
        first, then those that have had no call for longest; they are to be stopped."""
        stopped = [*self._grown(), *(each for each in self._ready if not self._has_grown(each))]
        del stopped[count:]
        for session in stopped:
            self.remove(session)
        return stopped

    def to_recycle(self) -> Recycling | None:
        """The largest of the ready sessions that have grown, when memory is short. None
        have, or too few are ready, or there is no room for the one in its place that the
        floor asks for: None."""
        grown = self._grown()
        if not grown or len(self._ready) < self._rules.floor:
            return None
        replace = len(self._ready) <= self._rules.floor
        if replace and len(self._calls) + self._starting >= self._rules.ceiling:
            return None
        return Recycling(grown[0], replace)

    def retire(self, session: str) -> bool:
        """Takes a ready session out, to be stopped. False: it is in use, or gone, or one
        too few would be ready."""
        if session not in self._ready or len(self._ready) <= self._rules.floor:
            return False
        self.remove(session)
        return True

    def _grown(self) -> list[str]:
        """Of the ready ones, the largest first."""
        grown = [each for each in self._ready if self._has_grown(each)]
        return sorted(grown, key=lambda session: -self._weight_mb[session][1])

    def _has_grown(self, session: str) -> bool:
        first_mb, now_mb = self._weight_mb[session]
        return 0 < GROWN * first_mb <= now_mb

    def counts(self) -> PoolSize:
        ready, leased = len(self._ready), len(self._leased)
        return PoolSize(ready, leased, self._starting, len(self._line))

    def size(self) -> dict[str, int]:
        """Sessions by what they are doing."""
        return {
            "ready": len(self._ready),
            "leased": len(self._leased),
            "starting": self._starting,
        }

    @property
    def can_start(self) -> bool:
        """There is, or will soon be, a session more."""
        return self._starting > 0 or len(self._calls) < self._ceiling

    # ------------------------------------------------------------- waiting

    def wait(
        self, caller: str, supply_per_s: float, now_s: float, *, live: bool = False
    ) -> Ticket | Refusal:
        """A place at the end of the line. Asked again, it is the same place.

        Args:
            supply_per_s: how often a session becomes ready.
            live: for a call that is live already: a place before all that are new, however
                long it may take.

        Returns:
            A Refusal when the line is full, or longer than `longest_wait_s`.
        """
        return self._line.wait(caller, supply_per_s, now_s, first=live)

    def refuse(self, supply_per_s: float, now_s: float) -> Refusal:
        """What to tell a caller who can't wait (any longer): to come back when
        the line will be short enough, behind those who were told so before."""
        return self._line.refuse(supply_per_s, now_s)

    def ticket(self, caller: str, supply_per_s: float) -> Ticket | None:
        """Where a caller is in the line now; None when not in it."""
        return self._line.ticket(caller, supply_per_s)

    def cancel(self, caller: str) -> None:
        """The caller no longer waits; nothing of the place is left. Idempotent."""
        self._line.cancel(caller)

    def serve(self) -> list[tuple[str, str]]:
        """Leases ready sessions to those who wait, in their order, each by its
        own name as the lease id: (caller, session)."""
        served = []
        while self._ready and self._line:
            caller = self._line.next()
            served.append((caller, self._take(caller)))
        return served
