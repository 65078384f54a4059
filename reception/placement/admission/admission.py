"""Whether a node takes a new call now."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor, inf

from reception.placement.admission.answer import (
    Admitted,
    Answer,
    Answers,
    Cause,
    Reservations,
    RetryWindow,
    Tally,
)
from reception.placement.admission.concurrency import AdaptiveLimit, LimitRules, NodeLoad
from reception.placement.admission.priority import Priority, Shares
from reception.placement.sizer import NodeMemory


@dataclass(frozen=True, slots=True)
class AdmissionRules:
    """capacity: calls at most; memory_percent: of the node, past which no call is
    taken; call_mb: what a call adds to it; reserve_s: how long an admitted call
    may take to begin."""

    capacity: int
    shares: Shares = field(default_factory=Shares)
    limit: LimitRules = field(default_factory=LimitRules)
    memory_percent: float = 80.0
    call_mb: float = 60.0
    reserve_s: float = 10.0
    retry: RetryWindow = field(default_factory=RetryWindow)


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Calls that are live, places kept for those that will be, and the adaptive
    limit on both together."""

    live: int
    reserved: int
    limit: int


@dataclass(slots=True)
class _Measured:
    """What the node said last. Calls that are in `unweighed` began after it, or
    have not begun: what they will use is not in `memory` yet."""

    load: NodeLoad = field(default_factory=NodeLoad)
    memory: NodeMemory | None = None
    unweighed: set[str] = field(default_factory=set)


class Admission:
    """Takes calls as long as places are left in every budget: the capacity, the
    adaptive limit, memory; each up to the share of the call's priority.

    A place is taken from `ask` on: kept until `began`, `gave_up` or `reserve_s`
    are over, then the live call's until `ended`. Live calls keep theirs whatever
    happens to the budgets. Past a bound (misses, lag, CPU) a node takes only
    emergency calls; those are bound by its places alone, and live calls of a lost
    node by its sessions and memory.

    Every method may be called twice. `now_s` is any monotonic clock. An answer
    takes about 5 us.
    """

    def __init__(self, rules: AdmissionRules) -> None:
        self._rules = rules
        self._limit = AdaptiveLimit(rules.limit, rules.capacity)
        self._reserved = Reservations(rules.reserve_s)
        self._live: set[str] = set()
        self._measured = _Measured()
        self._draining = False
        self._answers = Answers(rules.retry)

    # ------------------------------------------------------------- calls

    def ask(self, call_id: str, priority: Priority, now_s: float, *, moves: bool = False) -> Answer:
        """A place for a call, or why there is none. A call that has one is told so
        again, whatever has changed since.

        Args:
            moves: it is live already, and its node is lost: nothing that only new calls
                can wait for keeps it out.
        """
        self._expire(now_s)
        until_s = inf if call_id in self._live else self._reserved.until_s(call_id)
        if until_s is not None:
            return Admitted(until_s)
        refusal = self._refusal(priority, moves=moves)
        if refusal is not None:
            return self._answers.refuse(refusal[0], priority, refusal[1])
        self._measured.unweighed.add(call_id)
        return self._answers.admit(priority, self._reserved.take(call_id, now_s))

    def began(self, call_id: str, now_s: float) -> bool:
        """An admitted call is live. False: its place was kept for too long, or it
        gave up; it has to ask again, and must not begin."""
        self._expire(now_s)
        if self._reserved.free(call_id):
            self._live.add(call_id)
        return call_id in self._live

    def gave_up(self, call_id: str) -> None:
        """An admitted call will not begin. A live one is not touched."""
        if self._reserved.free(call_id):
            self._measured.unweighed.discard(call_id)

    def ended(self, call_id: str) -> None:
        """A call is over, if it was live or not."""
        self._reserved.free(call_id)
        self._live.discard(call_id)
        self._measured.unweighed.discard(call_id)

    # ------------------------------------------------------------- the node

    def drain(self) -> None:
        """No new call from now on; those that were admitted may begin."""
        self._draining = True

    def resume(self) -> None:
        """Takes calls again."""
        self._draining = False

    def observe(self, load: NodeLoad, memory: NodeMemory, now_s: float) -> None:
        """What the node measured; about once a second."""
        self._expire(now_s)
        waiting = {each for each in self._measured.unweighed if each in self._reserved}
        self._measured = _Measured(load, memory, waiting)
        self._limit.observe(load, len(self._live), now_s)

    # ------------------------------------------------------------- reading

    def takes(self, priority: Priority, now_s: float) -> bool:
        """Whether a new call of this priority would be admitted."""
        self._expire(now_s)
        return self._refusal(priority) is None

    def occupancy(self, now_s: float) -> Occupancy:
        self._expire(now_s)
        return Occupancy(len(self._live), len(self._reserved), self._limit.limit)

    def tally(self) -> Tally:
        """How often which answer was given."""
        return self._answers.tally(self._reserved.expired)

    def next_deadline_s(self) -> float | None:
        """When a place is freed without any event."""
        return self._reserved.next_deadline_s()

    # ------------------------------------------------------------- deciding

    def _refusal(self, priority: Priority, *, moves: bool = False) -> tuple[Cause, str] | None:
        if self._draining:
            return Cause.DRAINING, "this node is draining and takes no more calls"
        if not (moves or priority is Priority.EMERGENCY):
            past = self._past(priority)
            if past is not None:
                return past
        taken = len(self._live) + len(self._reserved)
        limit = self._rules.capacity if moves else self._limit.limit
        for cause, capacity, what in (
            (Cause.SESSIONS, self._rules.capacity, "the node's sessions"),
            (Cause.LIMIT, limit, "what the node can carry now"),
            (Cause.MEMORY, self._calls_in_memory(taken), "the node's memory"),
        ):
            places = self._rules.shares.places(priority, capacity)
            if taken >= places:
                return cause, f"{what}: {taken} calls, at most {places} for {priority} calls"
        return None

    def _past(self, priority: Priority) -> tuple[Cause, str] | None:
        """How well the live calls are carried, which a new one would make worse."""
        if self._limit.past:
            return Cause.BOUNDS, f"this node is past its bounds: {self._limit.past}"
        misses_per_s = self._measured.load.misses_per_s
        bound = self._rules.limit.misses_per_s * self._rules.shares.percent(priority) / 100
        if misses_per_s >= bound:
            told = f"{misses_per_s:.1f} frames a second miss their deadline"
            return Cause.MISSES, f"{told}, the bound for {priority} calls is {bound:.1f}"
        return None

    def _calls_in_memory(self, taken: int) -> int:
        """Calls at most, by memory: those that are in what is used, and as many
        as there is room for."""
        memory, rules = self._measured.memory, self._rules
        if memory is None:
            return rules.capacity
        limit_mb = memory.total_mb * rules.memory_percent / 100
        room = floor((limit_mb - memory.used_mb) / rules.call_mb)
        return max(0, taken - len(self._measured.unweighed) + room)

    def _expire(self, now_s: float) -> None:
        self._measured.unweighed.difference_update(self._reserved.expire(now_s))
