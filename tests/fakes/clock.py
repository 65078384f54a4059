"""A clock that a test sets."""

from __future__ import annotations


class Clock:
    """UNIX seconds."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s
