"""What a call's leg came to, over the audio workers that had it one after the other.

Each worker counts for itself, and tells its figures every few seconds and at its end.
What happened between the last time and a worker's death is in no sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

Figures = dict[str, int]  # names and units are LegStats'

_MEANS = ("caller_mos_milli", "caller_clipped_ppm", "caller_silent_milli")
_LEVEL = "caller_level_dbov"


class LegTotals:
    """One call's.

    Args:
        before: of the workers that are gone.
        now: what the present one told last.
    """

    def __init__(
        self, before: Mapping[str, int] | None = None, now: Mapping[str, int] | None = None
    ) -> None:
        self._before, self._now = dict(before or {}), dict(now or {})

    @property
    def parts(self) -> tuple[Figures, Figures]:
        """`before` and `now`, from which there can be another one."""
        return self._before, self._now

    @property
    def all(self) -> Figures:
        """Sums; of shares, scores and levels the means, as each had of the audio."""
        return _together(self._before, self._now)

    def told(self, now: Mapping[str, int]) -> None:
        """The present worker counted so far."""
        self._now = dict(now)

    def worker_lost(self) -> None:
        """Another worker begins to count."""
        self._before, self._now = self.all, {}


def _together(one: Figures, other: Figures) -> Figures:
    if not (one and other):
        return one | other
    both = {name: one.get(name, 0) + other.get(name, 0) for name in one | other}
    shares = _heard_ms(one), _heard_ms(other)
    for name in _MEANS:
        if name in both:
            both[name] = round(_mean((one.get(name, 0), other.get(name, 0)), shares))
    if _LEVEL in both:
        powers = [10 ** (each.get(_LEVEL, 0) / 10) for each in (one, other)]
        loud = _mean((powers[0], powers[1]), (_loud_ms(one), _loud_ms(other)))
        both[_LEVEL] = round(10 * math.log10(loud))
    return both


def _heard_ms(figures: Figures) -> float:
    return figures.get("caller_audio_ms", 0)


def _loud_ms(figures: Figures) -> float:
    return _heard_ms(figures) * (1 - figures.get("caller_silent_milli", 0) / 1000)


def _mean(values: tuple[float, float], weights: tuple[float, float]) -> float:
    """The later value where there was nothing of either."""
    if not sum(weights):
        return values[1]
    return (values[0] * weights[0] + values[1] * weights[1]) / sum(weights)
