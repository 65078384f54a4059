"""Whether the provider's own limits have room for another call.

A session that uses the account up takes from all the others, whose next answer
is then refused in the middle of a call. So what live calls are expected to use
is set aside first, and a new call has to fit into the rest.

One `ProviderLimits` is for one account and model of the whole cluster. Each node
keeps its newest `rate_limits.updated` in a `HeardLimits`, and reports it with what
its calls have used (`NodeUse`); a report may come late, twice or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import exp, inf

from reception.placement.admission.answer import (
    Admitted,
    Answer,
    Answers,
    Cause,
    Reservations,
    RetryWindow,
    Tally,
)
from reception.placement.admission.priority import Priority, Shares
from reception.placement.sizer import Mean
from reception.provider.refusal import Outcome

_MINUTE_S = 60.0
_CAUSES = {"requests": Cause.PROVIDER_REQUESTS, "tokens": Cause.PROVIDER_TOKENS}


@dataclass(frozen=True, slots=True)
class ProviderRules:
    """requests_per_minute, tokens_per_minute, sessions (at a time): the account's,
    None where it is not known; requests and tokens are also heard.

    call_requests, call_tokens: of a call's busiest minute, until that is measured.
    reserve_s: how long an admitted call may take to be in a node's report.
    silent_s: a node that has not reported for so long has no calls any more.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    sessions: int | None = None
    call_requests: float = 5.0
    call_tokens: float = 20_000.0
    shares: Shares = field(default_factory=Shares)
    reserve_s: float = 10.0
    silent_s: float = 30.0
    retry: RetryWindow = field(default_factory=RetryWindow)


@dataclass(frozen=True, slots=True)
class Limit:
    """One of `rate_limits.updated`, heard `age_s` ago: `remaining` of `limit` are
    left, all of it again after `reset_s`."""

    name: str
    limit: int
    remaining: int
    reset_s: float
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CallUse:
    """What a call has used since it began: responses, and all their tokens."""

    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class NodeUse:
    """A node's live calls by id, the newest limits that it heard, and what became of its
    dials since the report before; error: why the last of those failed that did."""

    node_id: str
    calls: Mapping[str, CallUse]
    limits: tuple[Limit, ...] = ()
    dials: Mapping[Outcome, int] = field(default_factory=dict)
    error: str = ""

    @classmethod
    def of(cls, node_id: str, parts: Iterable[NodeUse], now_s: float) -> NodeUse:
        """Of all of a node's workers, each as of now."""
        calls: dict[str, CallUse] = {}
        heard, dials, error = HeardLimits(), Counter[Outcome](), ""
        for part in parts:
            calls |= part.calls
            heard.hear(part.limits, now_s)
            dials.update(part.dials)
            error = part.error or error
        return cls(node_id, calls, heard.report(now_s), dict(dials), error)


class HeardLimits:
    """The newest of each limit, by the time it was heard.

    `now_s` is any monotonic clock; an age, not a time, goes to another node.
    """

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, Limit]] = {}

    def hear(self, limits: Iterable[Limit], now_s: float) -> None:
        """Limits of other names, and of 0 or less, say nothing that is known here."""
        for limit in limits:
            heard_s = now_s - max(0.0, limit.age_s)
            newest_s = self._heard[limit.name][0] if limit.name in self._heard else -inf
            if limit.name in _CAUSES and limit.limit > 0 and heard_s >= newest_s:
                self._heard[limit.name] = heard_s, limit

    def report(self, now_s: float) -> tuple[Limit, ...]:
        """What is known, with its age."""
        return tuple(replace(each, age_s=now_s - at_s) for at_s, each in self._heard.values())


class _Call:
    """A live call's use a minute: its mean of the first minute once that is over,
    then forgotten over a minute (EWMA)."""

    def __init__(self, use: CallUse, now_s: float) -> None:
        self._use, self._seen_s = use, now_s
        self._young = True
        self._per_minute = dict.fromkeys(_CAUSES, 0.0)
        self._busiest = dict.fromkeys(_CAUSES, 0.0)

    def measure(self, use: CallUse, now_s: float) -> None:
        """The totals now. Those that went back count from where they are."""
        passed_s = now_s - self._seen_s
        if passed_s <= 0 or (self._young and passed_s < _MINUTE_S):
            return
        weight = 1.0 if self._young else 1 - exp(-passed_s / _MINUTE_S)
        for name in _CAUSES:
            used = max(0, getattr(use, name) - getattr(self._use, name))
            measured = used * _MINUTE_S / passed_s
            self._per_minute[name] += weight * (measured - self._per_minute[name])
            self._busiest[name] = max(self._busiest[name], self._per_minute[name])
        self._use, self._seen_s, self._young = use, now_s, False

    def per_minute(self, name: str) -> float:
        """0 in its first minute."""
        return self._per_minute[name]

    def busiest(self, name: str) -> float | None:
        """Its busiest minute; None if it had not a whole one."""
        return None if self._young else self._busiest[name]


@dataclass(frozen=True, slots=True)
class _Node:
    """A node's calls, and what they are expected to use together in a minute."""

    calls: dict[str, _Call]
    per_minute: dict[str, float]
    seen_s: float


@dataclass(frozen=True, slots=True)
class _Room:
    """`left` of `limit` has to do for `for_s`; it is worth asking again `more_in_s`
    from now."""

    limit: int
    left: int
    for_s: float
    more_in_s: float


class ProviderLimits:
    """Admits a call when it fits beside what is set aside for the live calls and
    for those that were admitted and are in no report yet.

    A call counts as what it uses a minute, but at least as what calls have used
    in their busiest one. A conversation is billed again with every response, so
    the first minute is the cheapest: counted by it, calls that began together
    would use the limit up together later.

    Of each limit two things are known: how much there is a minute, and, until
    its reset, what remains. Use until the reset has to fit into what remains,
    which holds for a window that is filled at once and for a bucket that is
    filled all the time; after it, only the minute counts. `now_s` is any
    monotonic clock. An answer takes about 10 us with ten nodes, a report of 200
    calls 0.3 ms.
    """

    def __init__(self, rules: ProviderRules) -> None:
        self._rules = rules
        self._configured = {
            "requests": rules.requests_per_minute,
            "tokens": rules.tokens_per_minute,
        }
        # Of a call's busiest minute.
        self._usual = {"requests": Mean(rules.call_requests), "tokens": Mean(rules.call_tokens)}
        self._heard = HeardLimits()
        self._nodes: dict[str, _Node] = {}
        self._reserved = Reservations(rules.reserve_s)
        self._answers = Answers(rules.retry)

    def merge(self, report: NodeUse, now_s: float) -> None:
        """What a node reports takes the place of what it reported before."""
        self._heard.hear(report.limits, now_s)
        before = self._nodes.get(report.node_id)
        known = before.calls if before is not None else {}
        calls = {}
        for call_id, use in report.calls.items():
            self._reserved.free(call_id)
            call = calls[call_id] = known.get(call_id) or _Call(use, now_s)
            call.measure(use, now_s)
        for call_id, call in known.items():
            if call_id not in calls:
                self._learn(call)
        per_minute = {
            name: sum(max(usual.value, call.per_minute(name)) for call in calls.values())
            for name, usual in self._usual.items()
        }
        self._nodes[report.node_id] = _Node(calls, per_minute, now_s)

    def admit(self, call_id: str, priority: Priority, now_s: float) -> Answer:
        """Room for a call, set aside until a node reports the call, it gives up or
        `reserve_s` are over; or which limit has none. Idempotent."""
        self._forget(now_s)
        until_s = self._reserved.until_s(call_id)
        if any(call_id in node.calls for node in self._nodes.values()):
            until_s = inf
        if until_s is not None:
            return Admitted(until_s)
        refusal = self._sessions_short(priority) or self._use_short(priority, now_s)
        if refusal is not None:
            cause, reason, wait_s = refusal
            return self._answers.refuse(cause, priority, reason, wait_s)
        return self._answers.admit(priority, self._reserved.take(call_id, now_s))

    def gave_up(self, call_id: str) -> None:
        """An admitted call will not begin. Idempotent."""
        self._reserved.free(call_id)

    def expected_per_minute(self, now_s: float) -> dict[str, float]:
        """Requests and tokens that are set aside."""
        self._forget(now_s)
        reserved = len(self._reserved)
        return {
            name: self._live(name) + reserved * usual.value for name, usual in self._usual.items()
        }

    def tally(self) -> Tally:
        """How often which answer was given."""
        return self._answers.tally(self._reserved.expired)

    def next_deadline_s(self) -> float | None:
        """When something that is set aside is freed without any event."""
        return self._reserved.next_deadline_s()

    # ------------------------------------------------------------- deciding

    def _sessions_short(self, priority: Priority) -> tuple[Cause, str, float] | None:
        if self._rules.sessions is None:
            return None
        taken = sum(len(node.calls) for node in self._nodes.values()) + len(self._reserved)
        places = self._rules.shares.places(priority, self._rules.sessions)
        if taken < places:
            return None
        told = f"the provider's sessions: {taken}, at most {places} for {priority} calls"
        return Cause.PROVIDER_SESSIONS, told, 0.0

    def _use_short(self, priority: Priority, now_s: float) -> tuple[Cause, str, float] | None:
        heard = {limit.name: limit for limit in self._heard.report(now_s)}
        kept_percent = 100 - self._rules.shares.percent(priority)
        for name, cause in _CAUSES.items():
            new = (len(self._reserved) + 1) * self._usual[name].value
            for room in self._rooms(name, heard.get(name)):
                expected = self._live(name) * room.for_s / _MINUTE_S + new
                left = room.left - room.limit * kept_percent / 100
                if expected > left:
                    told = f"the provider's {name}: {expected:.0f} expected, {left:.0f} left"
                    return cause, f"{told} for {priority} calls", room.more_in_s
        return None

    def _rooms(self, name: str, heard: Limit | None) -> list[_Room]:
        """What is left of a limit; nothing when there is none that is known."""
        told = heard.limit if heard is not None else None
        known = [each for each in (self._configured[name], told) if each is not None]
        if not known:
            return []
        limit = min(known)
        rooms = [_Room(limit, limit, _MINUTE_S, 0.0)]
        if heard is not None and heard.age_s < heard.reset_s:
            for_s = min(heard.reset_s, heard.age_s + _MINUTE_S)
            more_in_s = min(heard.reset_s - heard.age_s, _MINUTE_S)
            rooms.append(_Room(limit, heard.remaining, for_s, more_in_s))
        return rooms

    def _live(self, name: str) -> float:
        return sum(node.per_minute[name] for node in self._nodes.values())

    def _learn(self, ended: _Call) -> None:
        for name, usual in self._usual.items():
            busiest = ended.busiest(name)
            if busiest is not None:
                usual.add(busiest)

    def _forget(self, now_s: float) -> None:
        self._reserved.expire(now_s)
        silent = now_s - self._rules.silent_s
        self._nodes = {name: node for name, node in self._nodes.items() if node.seen_s > silent}
