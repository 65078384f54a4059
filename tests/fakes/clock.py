"""A clock that a test sets, and one in whose time no window ends."""

from __future__ import annotations

import time
from collections.abc import Callable

HOUR_S = 3_600


class Clock:
    """UNIX seconds."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def early_in_the_hour() -> Callable[[], float]:
    """The system's clock, moved to ten minutes past: limits of an hour (and so of longer
    windows) are not those of the next one in the middle of a test."""
    now_s = time.time()
    moved_s = now_s // HOUR_S * HOUR_S + 600 - now_s
    return lambda: time.time() + moved_s
