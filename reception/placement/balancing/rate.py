"""How often something happened lately."""

from __future__ import annotations

from math import exp

from reception.placement.balancing.bounds import above


class Rate:
    """Events a second, older ones counting less and less.

    Args:
        tau_s: an event this old counts a third (1/e) of a new one.

    Raises:
        InvalidRequest: tau_s is not above 0.
    """

    def __init__(self, tau_s: float = 15.0) -> None:
        above("tau_s", tau_s)
        self._tau_s = tau_s
        self._events = self._at_s = 0.0

    def add(self, now_s: float) -> None:
        """It happened."""
        self._events = self._left(now_s) + 1.0
        self._at_s = max(now_s, self._at_s)

    def at(self, now_s: float) -> float:
        """Events a second by now."""
        return self._left(now_s) / self._tau_s

    def _left(self, now_s: float) -> float:
        return self._events * exp(min(0.0, self._at_s - now_s) / self._tau_s)
