"""What became of a dial: how the provider takes a session, or refuses one."""

from __future__ import annotations

from enum import StrEnum

from reception.provider.base import ProviderEvent, ProviderFault, ResponseDone

REFUSED = frozenset({401, 402, 403, 404})
"""HTTP statuses that dialling again can't heal."""


class Outcome(StrEnum):
    UP = "up"  # it has made an answer
    FAILED = "failed"  # it was not reached, or closed the session before an answer
    REFUSED = "refused"  # as it will the next one: key, quota, account


class Dial:
    """One dial, which has one outcome; none if the call is over before its first answer. That
    a session opens says little: a spent quota is told at the first answer only.

    Args:
        before: the call's dial before this one; where both fail, that is told once: one call
            that tries again and again is no more than one.

    Attributes:
        outcome: what became of it, told or not.
        error: the provider's last code for one.
    """

    def __init__(self, before: Dial | None = None) -> None:
        self.outcome: Outcome | None = None
        self.error = ""
        self._told = before.outcome if before is not None else None

    def heard(self, event: ProviderEvent) -> Outcome | None:
        """The provider said something in the session."""
        if self.outcome is not None:
            return None
        match event:
            case (
                ProviderFault(code=code, fatal=True, healable=healable)
                | ResponseDone(status="failed", error_code=code, healable=healable)
            ):
                self.error = code
                return None if healable else self._once(Outcome.REFUSED)
            case ResponseDone(status="completed" | "incomplete"):
                return self._once(Outcome.UP)
        return None

    def lost(self, code: int) -> Outcome | None:
        """No session was opened (`code` is an HTTP status), or it is closed (a close code)."""
        return self._once(Outcome.REFUSED if code in REFUSED else Outcome.FAILED)

    def _once(self, outcome: Outcome) -> Outcome | None:
        if self.outcome is not None:
            return None
        self.outcome = outcome
        return None if outcome is self._told is Outcome.FAILED else outcome
