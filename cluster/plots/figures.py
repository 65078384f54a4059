"""Lines, percentile curves, stacked bars over time, horizontal bars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cluster.plots import axes
from cluster.plots.axes import Axis
from cluster.plots.frame import COLOURS, HEIGHT, TITLE_Y, WIDTH, Place, framed, nothing, opened
from cluster.plots.ink import box, dot, text
from cluster.plots.words import Written, cut, short, width

Points = Sequence[tuple[float, float]]
Series = Sequence[tuple[str, Points]]
Gaps = Sequence[tuple[float, float | None]]
"""Points with None where there is no value: the line has a gap there."""

Size = tuple[int, int]
Marks = Sequence[tuple[float, str]]

_SIZE = (WIDTH, HEIGHT)
_NONE = "nothing in this time"


def lines(
    title: str, series: Series, x_name: str, y_name: str, *, size: Size = _SIZE, marks: Marks = ()
) -> str:
    """Values over x, both from 0 on; "" when there are none."""
    kept = [(name, points) for name, points in series if points]
    if not kept:
        return ""
    x = axes.upto(max(x for _, points in kept for x, _ in points), x_name)
    y = axes.numbers(y for _, points in kept for _, y in points)
    return _drawn(title, kept, y_name, x, y, size, marks)


def curves(title: str, series: Series, *, size: Size = _SIZE) -> str:
    """Percentile curves: (share of all, ms), the share on the axis of "one in N",
    milliseconds on a logarithmic one; "" when there are none."""
    kept = [(name, points) for name, points in series if points]
    if not kept:
        return ""
    x = axes.one_in([[share for share, _ in points] for _, points in kept])
    y = axes.powers(value for _, points in kept for _, value in points)
    return _drawn(title, kept, "ms", x, y, size)


def over_time(
    title: str,
    series: Sequence[tuple[str, Gaps]],
    x: Axis,
    y_name: str = "",
    *,
    written: Written = short,
    most: float | None = None,
    size: Size = _SIZE,
) -> str:
    """Values over an axis of time; a point where a value stands alone.

    Args:
        most: where the vertical axis ends, if not by the values.
    """
    values = [value for _, points in series for _, value in points if value is not None]
    if not values:
        return nothing(title, _NONE, size)
    return _drawn(title, series, y_name, x, axes.numbers(values, written, most=most), size)


def _drawn(
    title: str,
    series: Sequence[tuple[str, Gaps]],
    y_name: str,
    x: Axis,
    y: Axis,
    size: Size,
    marks: Marks = (),
) -> str:
    def draw(place: Place) -> Iterable[str]:
        for number, (_, points) in enumerate(series):
            colour = number % COLOURS
            for run in _runs(points):
                at = [(place.x(x), place.y(y)) for x, y in run]
                if len(at) > 1:
                    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
                    yield f'<polyline class="l{colour}" points="{path}"/>'
                else:
                    yield dot(*at[0], f"c{colour}")

    names = [(number, name) for number, (name, _) in enumerate(series)]
    names = names if len(names) > 1 else []
    return framed(title, y_name, x, y, names, draw, size=size, marks=marks)


def _runs(points: Gaps) -> Iterable[list[tuple[float, float]]]:
    """The pieces between gaps."""
    run: list[tuple[float, float]] = []
    for x, y in [*points, (0.0, None)]:
        if y is not None:
            run.append((x, y))
        elif run:
            yield run
            run = []


# ------------------------------------------------------------------ bars


@dataclass(frozen=True, slots=True)
class Column:
    """One of the bars over time, from x to x; `told`: what is shown on it."""

    start: float
    end: float
    parts: Mapping[str, float]
    told: str = ""


def stacked(
    title: str,
    names: Sequence[tuple[str, str]],
    columns: Sequence[Column],
    x: Axis,
    y_name: str = "",
    *,
    written: Written = short,
    least_step: float = 0.0,
    size: Size = _SIZE,
) -> str:
    """Bars over an axis of time, each of parts; those below 0 hang from the axis.

    Args:
        names: each part's key and name, from the axis on; its place is its colour.
        least_step: as for `axes.numbers`.
    """
    tops = [_reach(column, names) for column in columns]
    if not any(low or high for low, high in tops):
        return nothing(title, _NONE, size)
    y = axes.numbers((each for reach in tops for each in reach), written, least_step=least_step)
    used = [
        (number, name)
        for number, (key, name) in enumerate(names)
        if any(column.parts.get(key) for column in columns)
    ]

    def draw(place: Place) -> Iterable[str]:
        paths: dict[int, list[str]] = {}
        for column in columns:
            left, right = place.x(column.start), place.x(column.end)
            gap = min(3.0, (right - left) * 0.18) if right - left > 4 else 0.0
            left, wide = left + gap / 2, max(0.6, right - left - gap)
            up = down = 0.0
            for number, (key, _) in enumerate(names):
                value = column.parts.get(key, 0.0)
                base = up if value > 0 else down
                if value > 0:
                    up += value
                else:
                    down += value
                low, high = place.y(base), place.y(base + value)
                if value:
                    paths.setdefault(number, []).append(
                        f"M{left:.1f} {low:.1f}V{high:.1f}h{wide:.1f}V{low:.1f}z"
                    )
        for number in sorted(paths):
            yield f'<path class="c{number % COLOURS}" d="{"".join(paths[number])}"/>'
        for column in columns:
            if column.told:
                start, end = place.x(column.start), place.x(column.end)
                yield box("hover", start, place.top, end - start, place.high, column.told)

    return framed(title, y_name, x, y, used, draw, size=size)


def _reach(column: Column, names: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """How far a bar goes below and above 0."""
    values = [column.parts.get(key, 0.0) for key, _ in names]
    return sum(v for v in values if v < 0), sum(v for v in values if v > 0)


def bars(title: str, values: Sequence[tuple[str, float]], unit: str, whole: int = WIDTH) -> str:
    """One horizontal bar for each; "" when there are none."""
    kept = [(name, value) for name, value in values if value > 0]
    if not kept:
        return ""
    most, row, top = max(value for _, value in kept), 22, TITLE_Y + 10
    left = min(0.45 * whole, 12 + max(width(name) for name, _ in kept))
    told = [f"{value:.3g} {unit}".strip() if value < 1_000 else f"{value:,.0f} {unit}".strip()
            for _, value in kept]  # fmt: skip
    room = whole - left - 12 - max(map(width, told))
    parts = [opened(title, whole, top + row * len(kept) + 8)]
    for number, (name, value) in enumerate(kept):
        y, wide = top + row * number, max(1.0, room * value / most)
        parts.append(box("c0", left, y + 3, wide, row - 7, name))
        parts.append(text(left - 6, y + 14, cut(name, left - 8), anchor="end"))
        parts.append(text(left + wide + 6, y + 14, told[number]))
    return "".join([*parts, "</svg>"])
