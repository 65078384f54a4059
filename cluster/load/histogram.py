"""A histogram with a bounded relative error, after Gil Tene's HdrHistogram.

Its own and not the package `hdrhistogram`: that one has no types, and brings
`setuptools` and `pbr` into a server's environment; what is needed of it is this.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

_BITS = 11  # 1,024 steps an octave: an error below 0.1 %, as with three digits there


class Histogram:
    """Durations in ms, kept as counts of microsecond buckets, only those in use.

    At most 1,024 buckets for each doubling: 18,000 for 1 us to 60 s.
    """

    def __init__(self) -> None:
        self.count = 0
        self.sum_ms = self.max_ms = 0.0
        self._buckets: Counter[int] = Counter()

    def add(self, value_ms: float) -> None:
        """Counts one duration; a negative one is 0."""
        value_ms = max(0.0, value_ms)
        self.count += 1
        self.sum_ms += value_ms
        self.max_ms = max(self.max_ms, value_ms)
        value_us = int(value_ms * 1000)
        shift = max(0, value_us.bit_length() - _BITS)
        self._buckets[(shift << _BITS) | (value_us >> shift)] += 1

    def merge(self, other: Histogram) -> None:
        """Takes in what another one counted; nothing is lost by it."""
        self.count += other.count
        self.sum_ms += other.sum_ms
        self.max_ms = max(self.max_ms, other.max_ms)
        self._buckets.update(other._buckets)

    def mean_ms(self) -> float | None:
        """None when nothing was counted."""
        return self.sum_ms / self.count if self.count else None

    def percentile_ms(self, percent: float) -> float | None:
        """The smallest duration that `percent` of all did not exceed."""
        if not self.count:
            return None
        wanted = max(1, math.ceil(round(percent / 100 * self.count, 9)))
        return next(value_ms for value_ms, up_to in self._cumulated() if up_to >= wanted)

    def curve(self, most: int = 200) -> list[tuple[float, float]]:
        """(share of all up to this duration, ms), at most about `most` points,
        close together where the share nears 1."""
        points: list[tuple[float, float]] = []
        for value_ms, up_to in self._cumulated():
            share = up_to / self.count
            if points and up_to < self.count:
                # Even steps on the axis of "one in N calls", of which 6 decades show.
                step = math.log10(1 / (1 - share)) - math.log10(1 / (1 - points[-1][0]))
                if step < 6 / most:
                    continue
            points.append((share, value_ms))
        return points

    def _cumulated(self) -> Iterator[tuple[float, int]]:
        """(upper edge in ms, how many up to it), ascending."""
        up_to = 0
        for key in sorted(self._buckets):
            up_to += self._buckets[key]
            shift, steps = key >> _BITS, key & ((1 << _BITS) - 1)
            edge_us = ((steps + 1) << shift) - 1
            yield min(edge_us / 1000 if shift else steps / 1000, self.max_ms), up_to

    def plain(self) -> dict[str, Any]:
        """What JSON can hold; `of` reads it back without loss."""
        return {
            "count": self.count,
            "sum_ms": self.sum_ms,
            "max_ms": self.max_ms,
            "buckets": {str(key): self._buckets[key] for key in sorted(self._buckets)},
        }

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Histogram:
        made = cls()
        made.count, made.sum_ms = plain["count"], plain["sum_ms"]
        made.max_ms = plain["max_ms"]
        made._buckets.update({int(key): count for key, count in plain["buckets"].items()})
        return made
