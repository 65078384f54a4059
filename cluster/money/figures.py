"""Figures of money: from an overview's rows (`CostController.overview`) to SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cluster.plots import axes
from cluster.plots.axes import Axis
from cluster.plots.figures import Column, over_time, stacked
from cluster.plots.frame import HEIGHT, WIDTH
from cluster.plots.gauges import Gauge, gauges
from cluster.plots.words import MICROS, dollars, percent, usd
from reception.money.overview import PARTS, scope_of
from reception.money.savings.comparison import Measure
from reception.money.windows import zone_of

Overview = Mapping[str, Any]

_NAMES = {
    "audio_out": "audio out", "audio_in": "audio in", "text_out": "text out",
    "text_in": "text in", "image_in": "images in", "cached": "cached input",
    "transcription": "transcription", "correction": "corrections", "other": "without a price",
}  # fmt: skip
_MOST_OWNERS = 6
_REST = "\0others"
_TALL = 290
_MARGINS_PX = 66


def spending(found: Overview, whole: int = WIDTH) -> str:
    """Dollars by what they went for."""
    names = [(part, _NAMES[part]) for part in PARTS]
    return _stacked(found, "Spending by kind", "parts", names, (whole, _TALL))


def by_owner(found: Overview, what: str, whole: int = WIDTH) -> str:
    """Dollars by owner (`what`: profiles or tenants), the dearest apart."""
    sums: Counter[str] = Counter()
    for row in found["rows"]:
        sums.update(row[what])
    dearest = [owner for owner, _ in sums.most_common(_MOST_OWNERS)]
    names = [(owner, owner or "-") for owner in dearest]
    if len(sums) > len(dearest):
        names.append((_REST, f"{len(sums) - len(dearest)} others"))
    rows = [row | {what: _gathered(row[what], dearest)} for row in found["rows"]]
    title = f"Spending by {what.removesuffix('s')}"
    return _stacked({**found, "rows": rows}, title, what, names, (whole, HEIGHT))


def _gathered(parts: Mapping[str, int], dearest: Sequence[str]) -> dict[str, int]:
    kept = {owner: parts[owner] for owner in dearest if owner in parts}
    return kept | {_REST: sum(parts.values()) - sum(kept.values())}


def saved(found: Overview, whole: int = WIDTH) -> str:
    """Dollars that calls would have cost besides, by what saved them."""
    names = [(each.name.lower(), each.value) for each in Measure]
    return _stacked(found, "Saved", "saved", names, (whole, HEIGHT))


def _stacked(
    found: Overview, title: str, what: str, names: Sequence[tuple[str, str]], size: tuple[int, int]
) -> str:
    by = found["by"]
    columns = [
        Column(
            row["starts_at_s"],
            row["ends_at_s"],
            {name: micros / MICROS for name, micros in row[what].items()},
            _told(found, row, row[what], names),
        )
        for row in found["rows"]
    ]
    return stacked(title, names, columns, _time(found, size[0]), f"US dollars by {by}",
                   written=dollars, size=size)  # fmt: skip


def _told(
    found: Overview, row: Mapping[str, Any], parts: Mapping[str, int],
    names: Sequence[tuple[str, str]],
) -> str:  # fmt: skip
    """What a bar says when it is pointed at."""
    told = [f"{name} {usd(parts[key])}" for key, name in reversed(names) if parts.get(key)]
    return "\n".join([f"{row[found['by']]}: {usd(sum(parts.values()))}", *told])


# ------------------------------------------------------------------ lines


def per_minute(found: Overview, whole: int = WIDTH) -> str:
    """What a minute of talk cost."""
    return _line(found, "Cost of a minute of talk", "micros_per_minute", whole)


def per_completed(found: Overview, whole: int = WIDTH) -> str:
    """What a completed call cost."""
    return _line(found, "Cost of a completed call", "micros_per_completed", whole)


def cache(found: Overview, whole: int = WIDTH) -> str:
    """How much of the input came from the provider's cache."""
    points = _points(found, "cache_percent", 1)
    return over_time("Input from the cache", [("cache", points)], _time(found, whole),
                     "of tokens", written=percent, most=100.0, size=(whole, HEIGHT))  # fmt: skip


def calls(found: Overview, whole: int = WIDTH) -> str:
    """Calls that began, by how they went."""
    names = [("completed", "completed"), ("cut", "ended otherwise"), ("live", "going on")]
    columns = []
    for row in found["rows"]:
        parts = {
            "completed": row["completed"],
            "cut": row["ended"] - row["completed"],
            "live": row["calls"] - row["ended"],
        }
        told = [f"{row[found['by']]}: {row['calls']} calls", *(
            f"{name} {parts[key]}" for key, name in names if parts[key])]  # fmt: skip
        columns.append(Column(row["starts_at_s"], row["ends_at_s"], parts, "\n".join(told)))
    return stacked("Calls", names, columns, _time(found, whole), f"begun by {found['by']}",
                   least_step=1, size=(whole, HEIGHT))  # fmt: skip


def _line(found: Overview, title: str, name: str, whole: int) -> str:
    return over_time(
        title, [(title, _points(found, name, MICROS))], _time(found, whole), "US dollars",
        written=dollars, size=(whole, HEIGHT),
    )  # fmt: skip


def _points(found: Overview, name: str, scale: int) -> list[tuple[float, float | None]]:
    """In the middle of each hour or day, with a gap where no calls began."""
    points: list[tuple[float, float | None]] = []
    before_s = None
    for row in found["rows"]:
        if before_s is not None and row["starts_at_s"] > before_s:
            points.append((before_s, None))
        value = row[name]
        middle_s = (row["starts_at_s"] + row["ends_at_s"]) / 2
        points.append((middle_s, None if value is None else value / scale))
        before_s = row["ends_at_s"]
    return points


def _time(found: Overview, whole: int) -> Axis:
    return axes.times(
        found["starts_at_s"], found["ends_at_s"], zone_of(found["zone"]), whole - _MARGINS_PX,
        by_day=found["by"] == "day",
    )  # fmt: skip


# ------------------------------------------------------------------ limits


def limits(found: Overview, whole: int = WIDTH) -> str:
    """Each limit with what is posted and held in it, and what it will come to."""
    groups: dict[str, list[Gauge]] = {}
    for limit in found["limits"]:
        groups.setdefault(scope_of(limit), []).append(_gauge(found, limit))
    unit = "%; lighter: held, line: foreseen"
    if whole > WIDTH:
        unit = "% of each; lighter: held, line: what is foreseen, and the interval"
    return gauges("Limits", list(groups.items()), whole=whole, unit=unit)


AHEAD = {
    "rolling-hour": "in an hour", "rolling-day": "in a day", "rolling-week": "in a week",
    "rolling-month": "in 30 days",
}  # fmt: skip
"""For when what is in a rolling window is foreseen."""


def forecast_of(found: Overview, limit: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What is foreseen for a limit's window; None when that is not known."""
    scope: Mapping[str, Any] = found["forecasts"].get(scope_of(limit), {"windows": ()})
    for window in scope["windows"]:
        if window["window"] == limit["window"] and window["expected_micros"] is not None:
            forecast: Mapping[str, Any] = window
            return forecast
    return None


def _gauge(found: Overview, limit: Mapping[str, Any]) -> Gauge:
    whole, held = limit["limit_micros"], limit["held_micros"]
    forecast = forecast_of(found, limit)

    def share(micros: int) -> float:
        return 100 * micros / whole if whole else 100.0

    def told(micros: int) -> str:
        return usd(micros, whole)

    amounts = f"{told(limit['posted_micros'])}{f' + {told(held)}' if held else ''} of {usd(whole)}"
    amounts += f", {limit['percent']:.0f} %"
    if forecast is None:
        return Gauge(limit["window"], share(limit["posted_micros"]), _light(limit), amounts)
    low, expected, high = (forecast[f"{name}_micros"] for name in ("low", "expected", "high"))
    when = AHEAD.get(limit["window"], "at its end")
    words = [(f"{when} {told(expected)} ({told(low)} to {told(high)})", False)]
    if hit := when_hit(found, forecast):
        words.append((f"limit {hit}", forecast["hit_at_s"] is not None))
    return Gauge(
        limit["window"], share(limit["posted_micros"]), _light(limit), amounts,
        (share(low), share(expected), share(high)), words,
    )  # fmt: skip


def _light(limit: Mapping[str, Any]) -> float:
    return 100 * limit["held_micros"] / limit["limit_micros"] if limit["limit_micros"] else 0.0


def when_hit(found: Overview, forecast: Mapping[str, Any]) -> str:
    """When a limit will be spent, in words; "" for not before its window ends."""
    if forecast["posted_micros"] >= forecast["limit_micros"]:
        return "is hit"
    if forecast["hit_at_s"] is not None:
        return f"will be hit {moment(forecast['hit_at_s'], found)}"
    if forecast["hit_earliest_s"] is not None:
        return f"may be hit from {moment(forecast['hit_earliest_s'], found)}"
    return ""


def moment(at_s: float, found: Overview) -> str:
    """A time in the report's zone."""
    at = datetime.fromtimestamp(at_s, zone_of(found["zone"]))
    return f"{at:%a} {at.day} {at:%b %H:%M}"
