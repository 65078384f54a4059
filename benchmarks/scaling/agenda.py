"""Simulated time: what is to happen, in the order of when."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any


class Agenda:
    """Runs functions at simulated times; those of one moment as they were noted."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.done = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()

    def at(self, at_s: float, act: Callable[..., None], *args: Any) -> None:
        """Notes that `act(*args)` is to happen; at once when that is past."""
        when_s = max(at_s, self.now_s)
        heapq.heappush(self._heap, (when_s, next(self._order), act, args))

    def after(self, delay_s: float, act: Callable[..., None], *args: Any) -> None:
        """The same, so long from now."""
        self.at(self.now_s + delay_s, act, *args)

    def every(self, period_s: float, first_s: float, act: Callable[[], bool]) -> None:
        """Again and again from `first_s` on, until `act` answers False."""

        def again() -> None:
            if act():
                self.after(period_s, again)

        self.at(first_s, again)

    def run(self, until_s: float) -> None:
        """Everything before `until_s`, which it is then."""
        while self._heap and self._heap[0][0] < until_s:
            self.now_s, _, act, args = heapq.heappop(self._heap)
            self.done += 1
            act(*args)
        self.now_s = until_s
