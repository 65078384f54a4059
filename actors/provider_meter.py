"""What an audio worker's calls use of the provider's account, and what that says is left."""

from __future__ import annotations

import time
from collections import Counter

from reception.placement.admission.provider_limits import CallUse, HeardLimits, Limit, NodeUse
from reception.provider.base import RateLimits, ResponseDone
from reception.provider.refusal import Outcome


class ProviderMeter:
    """Calls are told apart by their session ids."""

    def __init__(self) -> None:
        self._calls: dict[str, CallUse] = {}
        self._heard = HeardLimits()
        self._dials: Counter[Outcome] = Counter()
        self._error = ""

    def began(self, session_id: str) -> None:
        self._calls[session_id] = CallUse(0, 0)

    def used(self, session_id: str, done: ResponseDone) -> None:
        """A response, whatever became of it."""
        before, usage = self._calls.get(session_id, CallUse(0, 0)), done.usage
        tokens = 0 if usage is None else usage.tokens
        self._calls[session_id] = CallUse(before.requests + 1, before.tokens + tokens)

    def heard(self, limits: RateLimits) -> None:
        """The provider says what is left."""
        self._heard.hear([Limit(*each) for each in limits.limits], time.monotonic())

    def ended(self, session_id: str) -> None:
        self._calls.pop(session_id, None)

    def dialled(self, outcome: Outcome, error: str) -> None:
        """What became of a dial."""
        self._dials[outcome] += 1
        self._error = error or self._error

    def report(self, node_id: str = "") -> NodeUse:
        """All of it, as of now; dials since the report before."""
        dials, self._dials = dict(self._dials), Counter()
        error, self._error = self._error, ""
        limits = self._heard.report(time.monotonic())
        return NodeUse(node_id, dict(self._calls), limits, dials, error)
