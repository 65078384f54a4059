"""A bounded line of callers, in the order they came; who may go first is before the rest."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

LONGEST_RETRY_S = 60.0
LEAST_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class LineRules:
    """waiting: callers at most, and as many again of those who go first;
    longest_wait_s: no other waits longer; first_wait_s: nor one who goes first."""

    waiting: int
    longest_wait_s: float
    first_wait_s: float


@dataclass(frozen=True, slots=True)
class Ticket:
    """A caller's place in the line. `position` (1 is next) and `expected_wait_s`
    are those of the moment it was asked for."""

    caller: str
    position: int
    expected_wait_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """No place in the line; it is worth asking again after so long."""

    reason: str
    retry_after_s: float


class Line:
    """Callers who wait for something that comes `supply_per_s` times a second.

    Args:
        rules: how many wait, and how long.
        busy: what a refused caller is told of the cause, a clause.

    `now_s` is any monotonic clock.
    """

    def __init__(self, rules: LineRules, busy: str) -> None:
        self._rules, self._busy = rules, busy
        self._until_s: dict[str, float] = {}  # the next, first
        self._first: set[str] = set()
        self._comes_back_s = 0.0

    def __len__(self) -> int:
        return len(self._until_s)

    def before(self, *, first: bool) -> int:
        """How many would be before somebody who came now."""
        return len(self._first if first else self._until_s)

    def wait(
        self, caller: str, supply_per_s: float, now_s: float, *, first: bool = False
    ) -> Ticket | Refusal:
        """A place at the end of the line. Asked again, it is the same place.

        Args:
            first: a place behind those who go first and before all others, however
                long it may take.

        Returns:
            A Refusal when the line is full, or longer than `longest_wait_s`.
        """
        ticket = self.ticket(caller, supply_per_s)
        if ticket is not None:
            return ticket
        rules = self._rules
        if first and len(self._first) < rules.waiting:
            line = list(self._until_s.items())
            line.insert(len(self._first), (caller, now_s + rules.first_wait_s))
            self._until_s = dict(line)
            self._first.add(caller)
        elif (
            len(self) >= rules.waiting
            or _wait_s(len(self) + 1, supply_per_s) > rules.longest_wait_s
        ):
            return self.refuse(supply_per_s, now_s)
        else:
            self._until_s[caller] = now_s + rules.longest_wait_s
        found = self.ticket(caller, supply_per_s)
        assert found is not None
        return found

    def refuse(self, supply_per_s: float, now_s: float) -> Refusal:
        """What to tell a caller who can't wait (any longer): to come back when
        the line will be short enough, behind those who were told so before."""
        reason = f"{self._busy}, and {len(self)} callers wait"
        if supply_per_s <= 0:
            return Refusal(reason, LONGEST_RETRY_S)
        wait_s = _wait_s(len(self) + 1, supply_per_s) - self._rules.longest_wait_s
        in_turn_s = self._comes_back_s + 1 / supply_per_s
        back_s = max(now_s + max(LEAST_RETRY_S, wait_s), in_turn_s)
        self._comes_back_s = min(back_s, now_s + LONGEST_RETRY_S)
        return Refusal(reason, self._comes_back_s - now_s)

    def ticket(self, caller: str, supply_per_s: float) -> Ticket | None:
        """Where a caller is in the line now; None when not in it."""
        if caller not in self._until_s:
            return None
        position = 1 + list(self._until_s).index(caller)
        return Ticket(caller, position, _wait_s(position, supply_per_s), self._until_s[caller])

    def cancel(self, caller: str) -> None:
        """The caller no longer waits; nothing of the place is left. Idempotent."""
        self._until_s.pop(caller, None)
        self._first.discard(caller)

    def next(self) -> str:
        """Takes the next caller out of the line, which is not empty."""
        caller = next(iter(self._until_s))
        self.cancel(caller)
        return caller


def _wait_s(position: int, supply_per_s: float) -> float:
    return position / supply_per_s if supply_per_s > 0 else inf
