"""Keeps new calls away from a provider that refuses or fails, by what became of its dials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from reception.health.breaker import Breaker, Permit, State
from reception.placement.admission.answer import Answers, Cause, Refused, RetryWindow, Tally
from reception.placement.admission.priority import Priority
from reception.provider.refusal import Outcome


class Gate:
    """While the breaker is open no call is let through, then few as probes, whose outcome
    opens or closes it; emergency calls always are. `now_s` is the breaker's clock.

    Attributes:
        dials: outcomes since the start, which only grow.
    """

    def __init__(self, breaker: Breaker, retry: RetryWindow | None = None) -> None:
        self.dials: Counter[Outcome] = Counter()
        self._breaker = breaker
        self._answers = Answers(retry or RetryWindow())
        self._probes: dict[str, Permit] = {}

    def admit(self, session_id: str, priority: Priority, now_s: float) -> Refused | None:
        """Whether a call may begin, or why not and when to ask again. Idempotent."""
        if priority is Priority.EMERGENCY or session_id in self._probes:
            return None
        probing = self._breaker.state(now_s) is State.HALF_OPEN
        permit = self._breaker.acquire(now_s)
        if permit is None:
            until_s = self._breaker.next_deadline_s() or now_s
            reason = "the provider takes no calls now: it refused the last ones, or was not there"
            wait_s = max(0.0, until_s - now_s)
            return self._answers.refuse(Cause.PROVIDER_AWAY, priority, reason, wait_s)
        if probing:
            self._probes[session_id] = permit
        return None

    def gave_up(self, session_id: str) -> None:
        """A call that was let through does not begin. Idempotent."""
        permit = self._probes.pop(session_id, None)
        if permit is not None:
            self._breaker.cancelled(permit)

    def told(self, dials: Mapping[Outcome, int], now_s: float) -> None:
        """What became of dials since what was told before. One that is answered counts for
        more than those that failed beside it."""
        self.dials.update(dials)
        failures = dials.get(Outcome.FAILED, 0) + dials.get(Outcome.REFUSED, 0)
        if dials.get(Outcome.UP, 0):
            self._breaker.observe(True, now_s)
        else:
            for _ in range(failures):
                self._breaker.observe(False, now_s)
        if self._breaker.state(now_s) is not State.HALF_OPEN:
            self._probes.clear()

    def tally(self) -> Tally:
        """Who was refused."""
        return self._answers.tally(0)
