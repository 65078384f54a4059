"""A figure's frame: title, legend, axes, grid, marks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from cluster.plots.axes import Axis
from cluster.plots.ink import box, stroke, text
from cluster.plots.words import BOLD, PX, cut, width

WIDTH, HEIGHT = 400, 230
COLOURS = 9
"""Classes c0 to c8 (page.FIGURES)."""

Names = Sequence[tuple[int, str]]
"""A legend: each series' number, which is its colour's, and name."""

RIGHT, TITLE_Y, LINE = 12, 16, 15


@dataclass(frozen=True, slots=True)
class Place:
    """The rectangle in which values are drawn."""

    left: float
    top: float
    wide: float
    high: float
    x_axis: Axis
    y_axis: Axis

    def x(self, value: float) -> float:
        return self.left + self.wide * self.x_axis.at(value)

    def y(self, value: float) -> float:
        return self.top + self.high * (1 - self.y_axis.at(value))

    @property
    def bottom(self) -> float:
        return self.top + self.high


def left_of(y: Axis) -> float:
    """Room for what is written at a vertical axis."""
    return max(30.0, 12 + max((width(label) for _, label in y.ticks), default=0.0))


def framed(
    title: str,
    y_name: str,
    x: Axis,
    y: Axis,
    names: Names,
    draw: Callable[[Place], Iterable[str]],
    *,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """A figure with axes.

    Args:
        names: the legend.
        draw: what is inside.
        marks: lines across, where something happened.
    """
    whole, height = size
    left = left_of(y)
    legend, top = _legend(names, whole)
    below = 22 + (LINE if x.name else 0)
    place = Place(left, top, whole - left - RIGHT, height - top - below, x, y)
    parts = [opened(title, whole, height, y_name), *legend]
    for value, label in y.ticks:
        at = place.y(value)
        parts.append(stroke("grid" if value else "zero", left, at, whole - RIGHT, at))
        parts.append(text(left - 6, at + 4, label, anchor="end"))
    parts += _x_ticks(place, whole)
    parts += draw(place)
    parts += _marks(place, marks)
    return "".join([*parts, "</svg>"])


def _x_ticks(place: Place, whole: int) -> Iterable[str]:
    end = 0.0
    for value, label in place.x_axis.ticks:
        x, half = place.x(value), width(label) / 2
        yield stroke("tick", x, place.bottom, x, place.bottom + 4)
        at = min(x, whole - half - 5)
        if at - half >= end:
            yield text(at, place.bottom + 16, label, anchor="middle")
            end = at + half + PX
    if place.x_axis.name:
        yield text(
            whole - RIGHT, place.bottom + 16 + LINE, place.x_axis.name, anchor="end", kind="dim"
        )


def _marks(place: Place, marks: Sequence[tuple[float, str]]) -> Iterable[str]:
    for number, (value, label) in enumerate(marks):
        if not 0 <= place.x_axis.at(value) <= 1:
            continue
        x = place.x(value)
        yield stroke("mark", x, place.top, x, place.bottom)
        y, left = place.top + 10 + 12 * (number % 2), x + 3 + width(label) > place.left + place.wide
        yield text(x - 3 if left else x + 3, y, label, anchor="end" if left else "", kind="mark")


def opened(title: str, whole: int, height: float, unit: str = "") -> str:
    """A figure's beginning, with its title and what is counted."""
    shown = cut(title, (whole - 12) / BOLD)
    told = cut(unit, whole - 20 - BOLD * width(shown))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {height:.0f}" role="img">'
        f"<title>{escape(title)}</title>"
        f'<text x="6" y="{TITLE_Y}"><tspan class="title">{escape(shown)}</tspan>'
        f'<tspan class="dim" dx="8">{escape(told)}</tspan></text>'
    )


def _legend(names: Names, whole: int) -> tuple[list[str], float]:
    """In as many lines as it takes; and where the figure's inside begins."""
    parts, x, y = [], 6.0, TITLE_Y + LINE + 2.0
    for number, name in names:
        shown = cut(name, whole - 40)
        if x + 22 + width(shown) > whole and x > 6:
            x, y = 6.0, y + LINE
        parts.append(box(f"c{number % COLOURS}", x, y - 9, 10, 10))
        parts.append(text(x + 14, y, shown))
        x += 14 + width(shown) + 12
    return parts, y + 10 if names else TITLE_Y + 14


def nothing(title: str, words: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    """A figure of what there is nothing of."""
    whole, height = size
    return (
        opened(title, whole, height)
        + text(whole / 2, height / 2 + 4, words, anchor="middle", kind="dim")
        + "</svg>"
    )
