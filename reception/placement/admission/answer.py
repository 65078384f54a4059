"""Answers to a call that asks for admission, how often each was given, and the
places that are kept for those who were admitted and have not begun."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from reception.placement.admission.priority import Priority

_GOLDEN = 0.6180339887498949  # (sqrt(5) - 1) / 2


class Cause(StrEnum):
    """What refused a call: the node's own budgets, then the provider and its limits."""

    DRAINING = "draining"
    SESSIONS = "sessions"
    LIMIT = "adaptive_limit"
    BOUNDS = "past_bounds"
    MISSES = "deadline_misses"
    MEMORY = "memory"
    PROVIDER_AWAY = "provider_away"
    PROVIDER_SESSIONS = "provider_sessions"
    PROVIDER_REQUESTS = "provider_requests"
    PROVIDER_TOKENS = "provider_tokens"


@dataclass(frozen=True, slots=True)
class Admitted:
    """There is a place, kept until `until_s`; for ever (inf) once the call is live."""

    until_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """No place now; `reason` is one sentence, with the numbers."""

    cause: Cause
    reason: str
    retry_after_s: float


Answer = Admitted | Refused


@dataclass(frozen=True, slots=True)
class RetryWindow:
    """Refused callers are told to come back after `least_s` to `longest_s`."""

    least_s: float = 1.0
    longest_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts since the start, which only grow. A call that asks again while it
    has a place is not counted again. `expired`: places that nobody took."""

    admitted: Mapping[Priority, int]
    refused: Mapping[tuple[Cause, Priority], int]
    expired: int

    def refusals(self) -> list[dict[str, str | int]]:
        """By cause and priority."""
        return [
            {"cause": str(cause), "priority": str(priority), "count": count}
            for (cause, priority), count in sorted(self.refused.items())
        ]


class Answers:
    """Gives answers and counts them.

    Each refusal's time to come back is the next of the golden ratio's multiples,
    modulo the window: of any number of callers who are refused at one moment,
    about as many come back in each part of it.
    """

    def __init__(self, window: RetryWindow) -> None:
        self._window = window
        self._part = 0.0
        self._admitted: Counter[Priority] = Counter()
        self._refused: Counter[tuple[Cause, Priority]] = Counter()

    def admit(self, priority: Priority, until_s: float) -> Admitted:
        self._admitted[priority] += 1
        return Admitted(until_s)

    def refuse(self, cause: Cause, priority: Priority, reason: str, wait_s: float = 0.0) -> Refused:
        """`wait_s`: there is no point in asking earlier."""
        self._refused[cause, priority] += 1
        self._part = (self._part + _GOLDEN) % 1.0
        least_s, longest_s = self._window.least_s, self._window.longest_s
        return Refused(cause, reason, wait_s + least_s + (longest_s - least_s) * self._part)

    def tally(self, expired: int) -> Tally:
        return Tally(dict(self._admitted), dict(self._refused), expired)


class Reservations:
    """Calls that were admitted and have not begun, each for `hold_s` at most.
    `now_s` is any monotonic clock."""

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._until_s: dict[str, float] = {}  # the first to expire, first
        self.expired = 0

    def take(self, call_id: str, now_s: float) -> float:
        """Keeps a place for a call that has none; says until when."""
        until_s = self._until_s[call_id] = now_s + self._hold_s
        return until_s

    def until_s(self, call_id: str) -> float | None:
        """None: there is no place kept for it."""
        return self._until_s.get(call_id)

    def free(self, call_id: str) -> bool:
        """The place is no longer kept. False: it was not. Idempotent."""
        return self._until_s.pop(call_id, None) is not None

    def expire(self, now_s: float) -> list[str]:
        """Frees the places that were kept for long enough, and says whose."""
        gone = []
        for call_id, until_s in self._until_s.items():
            if until_s > now_s:
                break
            gone.append(call_id)
        for call_id in gone:
            del self._until_s[call_id]
        self.expired += len(gone)
        return gone

    def next_deadline_s(self) -> float | None:
        """When the next place is freed by itself."""
        return next(iter(self._until_s.values()), None)

    def __len__(self) -> int:
        return len(self._until_s)

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._until_s
