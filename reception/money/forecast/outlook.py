"""What is expected to be spent from now on, as a line through the hours ahead."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

HOUR_S = 3_600


@dataclass(frozen=True, slots=True)
class Outlook:
    """`sums[i]` are micro-dollars spent from now to `times_s[i]`, UNIX time; the
    first is 0, now. Neither ever falls; times rise."""

    times_s: tuple[float, ...]
    sums: tuple[float, ...]

    def spent_by(self, at_s: float) -> float:
        """Interpolated; beyond the last hour what that has."""
        return between(at_s, self.times_s, self.sums)

    def when(self, amount: float, before_s: float) -> float | None:
        """When `amount` more is spent; None when not before `before_s`."""
        if amount <= 0:
            return self.times_s[0]
        if self.sums[-1] < amount:
            return None
        at_s = between(amount, self.sums, self.times_s)
        return at_s if at_s < before_s else None

    def plus(self, micros_per_hour: float) -> Outlook:
        """With so much more spent in every hour."""
        now_s = self.times_s[0]
        more = (micros_per_hour * (at_s - now_s) / HOUR_S for at_s in self.times_s)
        return Outlook(
            self.times_s, tuple(each + m for each, m in zip(self.sums, more, strict=True))
        )

    def times(self, factor: float) -> Outlook:
        """With `factor` times as much spent."""
        return Outlook(self.times_s, tuple(each * factor for each in self.sums))


def between(at: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """The line through (xs, ys) at `at`; flat outside. xs never fall."""
    upper = bisect_left(xs, at)
    if upper == 0:
        return ys[0]
    if upper == len(xs):
        return ys[-1]
    x0, x1, y0, y1 = xs[upper - 1], xs[upper], ys[upper - 1], ys[upper]
    return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
