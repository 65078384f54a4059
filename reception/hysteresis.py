"""Changing over only when it lasts, and back only when it can last."""

from __future__ import annotations


class Sustained:
    """For how long a condition has held without a break.

    Args:
        gap_s: after so long without an observation nothing is known of the time
            between, and the count begins anew.
    """

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._since_s: float | None = None
        self._seen_s = 0.0

    def observe(self, holds: bool, now_s: float) -> float:
        """Seconds that it has held up to now; 0 when it does not hold."""
        if not holds:
            self._since_s = None
            return 0.0
        if self._since_s is None or now_s - self._seen_s > self._gap_s:
            self._since_s = now_s
        self._seen_s = now_s
        return now_s - self._since_s

    def restart(self) -> None:
        """What was seen before no longer counts."""
        self._since_s = None


class Patience:
    """How long calm must last before a return to what had been too much.

    To do less lowers the very load that is measured, so calm alone does not say
    that there is room again: only the return shows it. One that does not last
    for four times `first_s` doubles the wait for the next, up to `longest_s`;
    one that lasts sets it back. A load that sits between two levels therefore
    causes a number of changes that grows with the logarithm of the time, and
    later two in each `longest_s`.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        self.wait_s = first_s
        self._first_s, self._longest_s = first_s, longest_s
        self._returned_s: float | None = None

    def returned(self, now_s: float) -> None:
        """The return is made."""
        self._returned_s = now_s

    def relapsed(self, now_s: float) -> None:
        """It is too much again."""
        if self._returned_s is None:
            return
        lasted_s = now_s - self._returned_s
        self._returned_s = None
        if lasted_s < 4 * self._first_s:
            self.wait_s = min(self._longest_s, 2 * self.wait_s)
        else:
            self.wait_s = self._first_s
