"""Plots as inline SVG: lines, percentile curves, bars. Pure; no scripts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

WIDTH, HEIGHT = 560, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 26, 34
COLOURS = ("#2a78d6", "#d9622b", "#2e8b57", "#8e44ad", "#b58900", "#c2185b")

Points = Sequence[tuple[float, float]]
_ONE_IN = (0.5, 0.9, 0.99, 0.999, 0.9999)


def lines(title: str, series: Sequence[tuple[str, Points]], x_name: str, y_name: str) -> str:
    """Values over x; "" when there are none."""
    series = [(name, points) for name, points in series if points]
    if not series:
        return ""
    x_most = max(x for _, points in series for x, _ in points) or 1.0
    y_most, y_ticks = _scale(max(y for _, points in series for _, y in points))
    return _frame(
        title, series, (x_name, y_name),
        lambda x: x / x_most,
        lambda y: y / y_most,
        [(x, f"{x:g}") for x in _scale(x_most)[1] if x <= x_most],
        [(y, f"{y:g}") for y in y_ticks],
    )  # fmt: skip


def curves(title: str, series: Sequence[tuple[str, Points]]) -> str:
    """Percentile curves: (share of all, ms), the share on the axis of "one in N",
    milliseconds on a logarithmic one; "" when there are none."""
    series = [(name, points) for name, points in series if points]
    if not series:
        return ""
    values = [max(y, 0.001) for _, points in series for _, y in points]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    # All of them (share 1) are drawn where one more call would be.
    most = max(_nines(_last_share(points)) for _, points in series)

    def at(share: float) -> float:
        return min(_nines(share), most) / most

    return _frame(
        title, series, ("percentile", "ms"),
        at,
        lambda y: (math.log10(max(y, 0.001)) - low) / (high - low),
        [(share, f"{100 * share:g}") for share in (0.0, *_ONE_IN) if _nines(share) <= most],
        [(10.0**each, f"{10.0**each:g}") for each in range(low, high + 1)],
    )  # fmt: skip


def bars(title: str, values: Sequence[tuple[str, float]], unit: str) -> str:
    """One horizontal bar for each; "" when there are none."""
    values = [(name, value) for name, value in values if value > 0]
    if not values:
        return ""
    most, row, left = max(value for _, value in values), 22, 190
    height = TOP + row * len(values) + 8
    parts = [_open(title, height)]
    for number, (name, value) in enumerate(values):
        y = TOP + row * number
        width = max(1.0, (WIDTH - left - 90) * value / most)
        parts.append(
            f'<text x="{left - 6}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{left}" y="{y + 3}" width="{width:.1f}" height="{row - 7}" '
            f'fill="{COLOURS[0]}"/>'
            f'<text x="{left + width + 6:.1f}" y="{y + 14}">{value:.3g} {escape(unit)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _frame(
    title: str,
    series: Sequence[tuple[str, Points]],
    names: tuple[str, str],
    x_at: Callable[[float], float],
    y_at: Callable[[float], float],
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[tuple[float, str]],
) -> str:
    """Axes, grid, lines and their legend; `x_at` and `y_at` give 0 to 1."""
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + wide * x_at(x), TOP + high * (1 - y_at(y))

    parts = [_open(title, HEIGHT)]
    for value, label in y_ticks:
        y = TOP + high * (1 - y_at(value))
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
        )
    for value, label in x_ticks:
        x = LEFT + wide * x_at(value)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + high}"/>'
            f'<text x="{x:.1f}" y="{TOP + high + 14}" text-anchor="middle">{label}</text>'
        )
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{escape(names[0])}</text>'
        f'<text x="4" y="{TOP - 8}">{escape(names[1])}</text>'
    )
    apart = min(120.0, (wide - 70) / len(series))
    for number, (name, points) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        parts.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{path}"/>'
            f'<text x="{LEFT + apart * number:.0f}" y="{HEIGHT - 4}" fill="{colour}">'
            f"{escape(name)}</text>"
        )
    return "".join([*parts, "</svg>"])


def _open(title: str, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
        f"<title>{escape(title)}</title>"
        f'<text class="title" x="{WIDTH / 2}" y="15" text-anchor="middle">{escape(title)}</text>'
    )


def _scale(most: float) -> tuple[float, list[float]]:
    """A round number at or above `most`, and about five steps up to it."""
    if most <= 0:
        return 1.0, [0.0, 1.0]
    step = 10.0 ** math.floor(math.log10(most))
    step = next(each for each in (step / 5, step / 2, step, 2 * step) if most / each <= 6)
    top = math.ceil(most / step - 1e-9)
    return top * step, [round(number * step, 12) for number in range(top + 1)]


def _nines(share: float) -> float:
    """0.9 is 1, 0.99 is 2."""
    return -math.log10(max(1 - share, 1e-9))


def _last_share(points: Points) -> float:
    below = [share for share, _ in points if share < 1]
    return 1 - (1 - max(below)) / 2 if below else 0.9
