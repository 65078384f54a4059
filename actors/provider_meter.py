"""What an audio worker's calls use of the provider's account, and what that says is left."""

from __future__ import annotations

import time

from reception.placement.admission.provider_limits import CallUse, HeardLimits, Limit, NodeUse
from reception.provider.base import RateLimits, ResponseDone


class ProviderMeter:
    """Calls are told apart by their session ids."""

    def __init__(self) -> None:
        self._calls: dict[str, CallUse] = {}
        self._heard = HeardLimits()

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

    def report(self, node_id: str = "") -> NodeUse:
        """All of it, as of now."""
        return NodeUse(node_id, dict(self._calls), self._heard.report(time.monotonic()))
