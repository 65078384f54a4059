"""Axes: where values lie from 0 to 1, and the ticks there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import pairwise

from cluster.plots.words import Written, short, width

Ticks = Sequence[tuple[float, str]]

_HOUR_S, _DAY_S = 3_600, 86_400
_ONE_IN = (0.5, 0.9, 0.99, 0.999, 0.9999)
_HOURS = (1, 2, 3, 6, 12)
_DAYS = (1, 2, 4)
_MONTHS = (1, 2, 3, 6)
_APART_PX = 14
_LONG_S = 200 * _DAY_S
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class Axis:
    """One side of a figure. `at`: where a value lies, 0 to 1. `name`: what it counts."""

    at: Callable[[float], float]
    ticks: Ticks
    name: str = ""


def numbers(
    values: Iterable[float],
    written: Written = short,
    *,
    most: float | None = None,
    least_step: float = 0.0,
) -> Axis:
    """From 0 (or the lowest value below it) to a round number at or above all values.

    Args:
        most: where it ends, instead.
        least_step: between ticks; 1 for what is counted.
    """
    found = list(values)
    high, low = max([0.0, *found]) if most is None else most, min([0.0, *found])
    high = high if high - low > _NOTHING else 1.0
    step = max(least_step, _step(high - low))
    first, last = math.ceil(low / step - 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, 1 if high > 0 else 0)
    high = last * step
    ticks = [(value, written(value, step))
             for value in (round(n * step, 12) for n in range(first, last + 1))]  # fmt: skip
    return Axis(lambda value: (value - low) / (high - low), ticks)


def upto(most: float, name: str) -> Axis:
    """From 0 to exactly `most`."""
    most = most if most > _NOTHING else 1.0
    step = _step(most)
    ticks = [(n * step, f"{n * step:g}") for n in range(math.floor(most / step + 1e-9) + 1)]
    return Axis(lambda value: value / most, ticks, name)


def _step(size: float) -> float:
    """A round number of which six at most make up `size`."""
    power = 10.0 ** math.floor(math.log10(size))
    return next(each for each in (power / 5, power / 2, power, 2 * power) if size / each <= 6)


def powers(values: Iterable[float], least: float = 0.001) -> Axis:
    """Logarithmic, whole powers of ten."""
    found = [max(value, least) for value in values]
    low, high = math.floor(math.log10(min(found))), math.ceil(math.log10(max(found)))
    high = max(high, low + 1)
    return Axis(
        lambda value: (math.log10(max(value, least)) - low) / (high - low),
        [(10.0**each, f"{10.0**each:g}") for each in range(low, high + 1)],
    )


def one_in(series: Iterable[Sequence[float]]) -> Axis:
    """Shares, each tick ten times as rare as the one before. All of them (share 1) lie
    where one more would be."""
    most = max(_nines(_last_share(shares)) for shares in series)
    return Axis(
        lambda share: min(_nines(share), most) / most,
        [(share, f"{100 * share:g}") for share in (0.0, *_ONE_IN) if _nines(share) <= most],
        "percentile",
    )


def _nines(share: float) -> float:
    """0.9 is 1, 0.99 is 2."""
    return -math.log10(max(1 - share, 1e-9))


def _last_share(shares: Sequence[float]) -> float:
    below = [share for share in shares if share < 1]
    return 1 - (1 - max(below)) / 2 if below else 0.9


# ------------------------------------------------------------------ time


def times(start_s: float, end_s: float, zone: tzinfo, px: float, *, by_day: bool = False) -> Axis:
    """A span of UNIX time, with ticks where hours, days, weeks or months of a zone begin.

    Args:
        px: how long it is drawn: as many ticks as have room.
        by_day: values are of days: none of hours, and a day's name is in its middle.
    """
    length_s = max(1.0, end_s - start_s)
    ticks: Ticks = []
    shift_s = _DAY_S / 2 if by_day else 0.0
    for moments in _rhythms(start_s, end_s, zone, by_day=by_day):
        ticks = [(at_s + shift_s, _moment(datetime.fromtimestamp(at_s, zone), length_s))
                 for at_s in moments if start_s <= at_s < end_s]  # fmt: skip
        wide = max((width(label) for _, label in ticks), default=0.0) + _APART_PX
        places = [px * (at_s - start_s) / length_s for at_s, _ in ticks]
        if all(after - before >= wide for before, after in pairwise(places)):
            break
    return Axis(lambda at_s: (at_s - start_s) / length_s, ticks, getattr(zone, "key", str(zone)))


def _rhythms(
    start_s: float, end_s: float, zone: tzinfo, *, by_day: bool
) -> Iterator[Iterable[float]]:
    """Moments at which ticks may stand, fewer each time."""
    first = datetime.fromtimestamp(start_s, zone).date()
    days = [first + timedelta(n) for n in range(int((end_s - start_s) // _DAY_S) + 3)]
    if not by_day and end_s - start_s <= 7 * _DAY_S:
        for every in _HOURS:
            yield (_at(day, zone, hour) for day in days for hour in range(0, 24, every))
    for every in _DAYS:
        yield (_at(day, zone) for day in days if day.toordinal() % every == 0)
    for every in (1, 2):
        yield (_at(day, zone) for day in days
               if day.weekday() == 0 and day.toordinal() // 7 % every == 0)  # fmt: skip
    for every in _MONTHS:
        yield (_at(day, zone) for day in days if day.day == 1 and (day.month - 1) % every == 0)
    yield ()


def _at(day: date, zone: tzinfo, hour: int = 0) -> float:
    return datetime.combine(day, time(hour), zone).timestamp()


def _moment(at: datetime, length_s: float) -> str:
    """As short as the span allows."""
    if at.hour or at.minute:
        return f"{at:%H:%M}"
    return f"{at:%b %Y}" if length_s > _LONG_S else f"{at.day} {at:%b}"
