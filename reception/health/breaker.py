"""A circuit breaker: stop asking what keeps failing, then ask again carefully.

Closed: everything passes; `failures` failures in a row open it. Open: nothing
passes until `open_s` is over. Half-open: at most `permits` probes at a time;
one success closes it, one failure opens it again. A probe that never answers
loses its permit after `probe_s`, so half-open can't hang. A cancelled request
is neutral.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """failures: in a row that open it; open_s: until the first probe;
    permits: probes at a time; probe_s: how long one may take."""

    failures: int = 3
    open_s: float = 30.0
    permits: int = 1
    probe_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to ask once. `round` is the state's number when it was given: the
    outcome of an older round says nothing about the present one."""

    number: int
    round: int


class Breaker:
    """The breaker of one thing that may fail. `now_s` is any monotonic clock."""

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._state = State.CLOSED
        self._failures = 0
        self._opened_at_s = 0.0
        self._probes: dict[int, float] = {}
        self._numbers = 0
        self._round = 0

    def state(self, now_s: float) -> State:
        """The state now; open becomes half-open when its time is over."""
        if self._state is State.OPEN and now_s >= self._opened_at_s + self._rules.open_s:
            self._enter(State.HALF_OPEN)
        return self._state

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._failures

    def next_deadline_s(self) -> float | None:
        """When `state` or `acquire` answers differently without any event."""
        if self._state is State.OPEN:
            return self._opened_at_s + self._rules.open_s
        if len(self._probes) >= self._rules.permits:
            return min(self._probes.values())
        return None

    def acquire(self, now_s: float) -> Permit | None:
        """Leave to ask now, or None. Each permit must be given back by
        `success`, `failure` or `cancelled`."""
        state = self.state(now_s)
        if state is State.OPEN:
            return None
        if state is State.HALF_OPEN:
            self._probes = {n: until for n, until in self._probes.items() if until > now_s}
            if len(self._probes) >= self._rules.permits:
                return None
        self._numbers += 1
        if state is State.HALF_OPEN:
            self._probes[self._numbers] = now_s + self._rules.probe_s
        return Permit(self._numbers, self._round)

    def success(self, permit: Permit) -> None:
        """It answered."""
        if permit.round == self._round:
            self._enter(State.CLOSED)

    def failure(self, permit: Permit, now_s: float) -> None:
        """It failed. The failure of an earlier round is not counted again."""
        if permit.round != self._round:
            return
        self._failures += 1
        if self._state is State.HALF_OPEN or self._failures >= self._rules.failures:
            self._opened_at_s = now_s
            self._enter(State.OPEN)

    def cancelled(self, permit: Permit) -> None:
        """Nobody waited for the answer: it says nothing."""
        self._probes.pop(permit.number, None)

    def observe(self, ok: bool, now_s: float) -> State:
        """An outcome that needed no permit (somebody else asked): counts as one
        of the present round, and a success closes whatever the state is."""
        self.state(now_s)
        if ok:
            self._enter(State.CLOSED)
        elif self._state is not State.OPEN:
            self.failure(Permit(0, self._round), now_s)
        return self._state

    def _enter(self, state: State) -> None:
        if state is State.CLOSED:
            self._failures = 0
        if state is not self._state:
            self._state = state
            self._round += 1
            self._probes.clear()

    def snapshot(self) -> tuple[State, int, float]:
        """What `restore` needs: state, failures in a row, when it opened."""
        return self._state, self._failures, self._opened_at_s

    @classmethod
    def restore(
        cls, rules: BreakerRules, state: State, failures: int, opened_at_s: float
    ) -> Breaker:
        """A breaker that goes on where another one was; `opened_at_s` is on the
        clock of this one. Probes that were under way are forgotten."""
        breaker = cls(rules)
        breaker._state = state
        breaker._failures = failures
        breaker._opened_at_s = opened_at_s
        return breaker
