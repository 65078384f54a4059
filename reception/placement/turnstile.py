"""Lets a few at a time through a door; the others wait in line."""

from __future__ import annotations

from dataclasses import dataclass

from reception.placement.line import Line, LineRules, Refusal, Ticket

FIRST_GUESS_S = 0.1
LEAST_S = 0.001
WEIGHT = 0.125  # of each passage in the mean


@dataclass(frozen=True, slots=True)
class TurnstileRules:
    """at_once: who may be inside together; waiting, longest_wait_s, first_wait_s: of those
    who are not, as in `LineRules`."""

    at_once: int = 8
    waiting: int = 200
    longest_wait_s: float = 3.0
    first_wait_s: float = 3.0


class Turnstile:
    """Who is inside, and who waits. How long the wait will be follows from how long
    those who went through were inside. `now_s` is any monotonic clock."""

    def __init__(self, rules: TurnstileRules) -> None:
        self._rules = rules
        line = LineRules(rules.waiting, rules.longest_wait_s, rules.first_wait_s)
        self._line = Line(line, "this node is at as many new calls as it takes at once")
        self._inside: dict[str, float] = {}
        self._passage_s = FIRST_GUESS_S

    def enter(self, caller: str, now_s: float, *, first: bool = False) -> Ticket | Refusal | None:
        """None: the caller is inside, and has to `leave`. Else its place in the line, or
        why there is none.

        Args:
            first: before all others who wait.
        """
        if len(self._inside) < self._rules.at_once:
            self._inside[caller] = now_s
            return None
        return self._line.wait(caller, self._per_s, now_s, first=first)

    def leave(self, caller: str, now_s: float) -> str | None:
        """The caller is through, or gone. Whose turn it is then, who is inside from now
        on; None: nobody's. Idempotent."""
        self._line.cancel(caller)
        since_s = self._inside.pop(caller, None)
        if since_s is None:
            return None
        self._passage_s += WEIGHT * (max(LEAST_S, now_s - since_s) - self._passage_s)
        if not self._line:
            return None
        turn = self._line.next()
        self._inside[turn] = now_s
        return turn

    def ticket(self, caller: str) -> Ticket | None:
        """Where a caller is in the line now; None when not in it."""
        return self._line.ticket(caller, self._per_s)

    def refuse(self, now_s: float) -> Refusal:
        """What to tell a caller who waited for too long."""
        return self._line.refuse(self._per_s, now_s)

    @property
    def inside(self) -> int:
        return len(self._inside)

    @property
    def waiting(self) -> int:
        return len(self._line)

    @property
    def _per_s(self) -> float:
        return self._rules.at_once / self._passage_s
