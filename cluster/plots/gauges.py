"""Bars of how full something is, with marks where alerts are told and what is foreseen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.plots.frame import LINE, TITLE_Y, WIDTH, nothing, opened
from cluster.plots.ink import box, dot, stroke, text
from cluster.plots.words import BOLD, cut, width
from reception.money.alerts import LEVELS_PERCENT

_MOST, _LEAST = 150.0, 108.0
_TWO_COLUMNS = 600
_NAME, _BAR, _LANE, _GAP = 112, 11, 8, 8


@dataclass(frozen=True, slots=True)
class Gauge:
    """Of one limit, in per cent of it.

    Attributes:
        solid, light: two parts of the bar, one behind the other.
        foreseen: lowest, expected and highest of what it comes to; None: unknown.
        amounts: what is written beside it. words: and beneath, each with whether it
            is bad news.
    """

    name: str
    solid: float
    light: float
    amounts: str
    foreseen: tuple[float, float, float] | None = None
    words: Sequence[tuple[str, bool]] = ()

    @property
    def furthest(self) -> float:
        return max(self.solid + self.light, self.foreseen[2] if self.foreseen else 0.0)


def gauges(
    title: str,
    groups: Sequence[tuple[str, Sequence[Gauge]]],
    *,
    unit: str = "",
    whole: int = WIDTH,
) -> str:
    """A bar for each gauge beneath its group's name; on one scale, which ends at
    150 % at most (an arrow says that there is more)."""
    every = [gauge for _, group in groups for gauge in group]
    if not every:
        return nothing(title, "there are none", (whole, 80))
    scale = _Scale(whole, min(_MOST, max([_LEAST, *(1.03 * each.furthest for each in every)])))
    y, drawn = TITLE_Y + LINE + 16.0, list[str]()
    drawn += scale.head(y - 6)
    for name, group in groups:
        drawn.append(text(6, y + 12, cut(name, (whole - 12) / BOLD), kind="title"))
        y += 20
        for gauge in group:
            parts, y = scale.row(gauge, y)
            drawn += parts
        y += 4
    return "".join([opened(title, whole, y + 4, unit), *drawn, "</svg>"])


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where things lie in a figure so wide, whose bars end at `most` per cent."""

    whole: int
    most: float

    @property
    def beside(self) -> bool:
        """Whether words stand beside the bar; else above and beneath it."""
        return self.whole >= _TWO_COLUMNS

    @property
    def left(self) -> float:
        return _NAME if self.beside else 6.0

    @property
    def wide(self) -> float:
        return 0.56 * self.whole - _NAME if self.beside else self.whole - 18.0

    def x(self, percent: float) -> float:
        return self.left + self.wide * min(max(percent, 0.0), self.most) / self.most

    def head(self, y: float) -> Iterable[str]:
        """The scale's numbers; those without room are left out."""
        taken: list[tuple[float, float]] = []
        for percent in (100, 0, *LEVELS_PERCENT, 50):
            label = str(percent)
            half = width(label) / 2
            x = max(self.x(percent), half + 1)
            if all(x + half + 3 < low or x - half - 3 > high for low, high in taken):
                taken.append((x - half, x + half))
                yield text(x, y, label, anchor="middle", kind="dim")

    def row(self, gauge: Gauge, y: float) -> tuple[list[str], float]:
        """A gauge from y on; and where the next one begins."""
        if self.beside:
            right = self.left + self.wide + 16
            parts = [text(16, y + 10, cut(gauge.name, _NAME - 20))]
            parts += self._bar(gauge, y)
            said = [(gauge.amounts, False), *gauge.words]
            for number, (words, bad) in enumerate(said):
                parts.append(self._said(right, y + 10 + LINE * number, words, bad=bad))
            return parts, y + max(_BAR + _LANE, LINE * len(said)) + _GAP
        room = self.whole - 24 - width(gauge.amounts)
        parts = [text(6, y + 10, cut(gauge.name, room))]
        parts.append(text(self.whole - 12, y + 10, gauge.amounts, anchor="end"))
        y += 16
        parts += self._bar(gauge, y)
        y += _BAR + _LANE + 13
        for words, bad in gauge.words:
            parts.append(self._said(6, y, words, bad=bad))
            y += LINE
        return parts, y + (0 if gauge.words else -10)

    def _said(self, x: float, y: float, words: str, *, bad: bool) -> str:
        kind = "bad" if bad else "" if self.beside and words else "dim"
        return text(x, y, cut(words, self.whole - x - 6), kind=kind)

    def _bar(self, gauge: Gauge, y: float) -> Iterable[str]:
        used = gauge.solid + gauge.light
        level = (
            "full"
            if used >= LEVELS_PERCENT[-1]
            else "near"
            if used >= LEVELS_PERCENT[0]
            else "calm"
        )
        start, solid, end = self.x(0), self.x(gauge.solid), self.x(used)
        yield box("track", start, y, self.x(100) - start, _BAR)
        for kind, low, high in ((level, start, solid), (f"{level} held", solid, end)):
            if high > low:
                yield box(kind, low, y, max(high - low, 0.8), _BAR)
        for percent in (*LEVELS_PERCENT, 100):
            x = self.x(percent)
            yield stroke("limit" if percent == 100 else "level", x, y - 2, x, y + _BAR + 2)
        if gauge.foreseen:
            yield from self._foreseen(gauge.foreseen, y + _BAR + _LANE / 2 + 1)
        if gauge.furthest > self.most:
            yield text(self.left + self.wide, y + _BAR - 1, "▸", kind="bad")

    def _foreseen(self, foreseen: tuple[float, float, float], y: float) -> Iterable[str]:
        low, expected, high = map(self.x, foreseen)
        yield stroke("foreseen", low, y, high, y)
        for end in (low, high):
            yield stroke("foreseen", end, y - 3, end, y + 3)
        yield dot(expected, y, "expected")
