"""Windows of a limit: which time's spending counts at a moment.

A period (calendar, rolling, of a call) is the rule, a window the time that it
gives at a moment.

Spending is kept in slots of 15 minutes of UNIX time: every zone's offset since
1972 is a multiple of that, so each calendar window is a whole number of slots.
A rolling window counts the whole slot that its beginning lies in, so it never
counts less than was spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from reception.errors import InvalidRequest

WINDOWS = ("hour", "day", "week", "month")
SLOT_S = 900

_HOUR_S = 3_600
_ROLLING_S: Final = {
    "hour": _HOUR_S,
    "day": 24 * _HOUR_S,
    "week": 7 * 24 * _HOUR_S,
    "month": 30 * 24 * _HOUR_S,
}
LONGEST_S = 31 * 24 * _HOUR_S + _HOUR_S
"""No window is longer: a month of 31 days in which the clocks go back."""


NEVER_S = 253_402_300_799.0
"""The end of the year 9999, UNIX time."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """The hour, day, week (from Monday) or month that it is in a time zone."""

    name: str
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Rolling:
    """The last hour, 24 hours, 7 or 30 days: "rolling-hour" and so on."""

    name: str

    @property
    def length_s(self) -> int:
        return _ROLLING_S[self.name.removeprefix("rolling-")]


@dataclass(frozen=True, slots=True)
class OfCall:
    """Not a time but each call: "call" for all of it, "call-minute" for each
    minute that it has begun to last."""

    name: str


Period = Calendar | Rolling | OfCall

OF_CALLS = ("call", "call-minute")
NAMES = (*WINDOWS, *(f"rolling-{name}" for name in WINDOWS), *OF_CALLS)


@dataclass(frozen=True, slots=True)
class Window:
    """UNIX seconds; the end is not in it."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Budget:
    """A window, its limit, and what was spent in it (micro-dollars)."""

    window: Window
    limit_micros: int
    posted_micros: int


@dataclass(frozen=True, slots=True)
class Span:
    """Spending from `start_s` on counts; at `until_s` there is another span.
    UNIX seconds, `start_s` is a slot's."""

    start_s: int
    until_s: float


def parse_period(name: str, zone: str = "UTC") -> Period:
    """A period by its name (one of NAMES).

    Raises:
        InvalidRequest: there is no such window or no such time zone.
    """
    if name not in NAMES:
        raise InvalidRequest(
            f"window is {name[:40]!r}: must be one of {', '.join(NAMES)}", field="window"
        )
    if name.startswith("rolling-"):
        return Rolling(name)
    if name not in WINDOWS:
        return OfCall(name)
    zone_of(zone)
    return Calendar(name, zone)


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """The time zone; "UTC" needs no time zone database.

    Raises:
        InvalidRequest: there is no such zone.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequest(
            f"zone is {name[:40]!r}: must be a time zone's name, as in Europe/Berlin", field="zone"
        ) from None


def slot_of(at_s: float) -> int:
    """The beginning of the slot that `at_s` is in."""
    return int(at_s // SLOT_S) * SLOT_S


def span_at(period: Calendar | Rolling, now_s: float) -> Span:
    """What counts in a period's window of `now_s`."""
    if isinstance(period, Rolling):
        start_s = slot_of(now_s - period.length_s)
        return Span(start_s, float(start_s + SLOT_S + period.length_s))
    window = _window(period.name, now_s, zone_of(period.zone))
    return Span(int(window.start_s), window.end_s)


def window_at(period: Calendar | Rolling, now_s: float) -> Window:
    """The window of `now_s`. A rolling one moves on with every moment: it is told
    as one that never ends."""
    if isinstance(period, Rolling):
        return Window(period.name, 0.0, NEVER_S)
    return _window(period.name, now_s, zone_of(period.zone))


def windows_at(now_s: float, zone: tzinfo) -> tuple[Window, ...]:
    """The calendar windows that hold `now_s`, in the order of WINDOWS."""
    return tuple(_window(name, now_s, zone) for name in WINDOWS)


def _window(name: str, now_s: float, zone: tzinfo) -> Window:
    """The hour is the elapsed one, so that a day's end of summer time has 25."""
    now = datetime.fromtimestamp(now_s, zone)
    if name == "hour":
        start_s = float(slot_of(now_s) - now.minute // 15 * SLOT_S)
        return Window(name, start_s, start_s + _HOUR_S)
    first = now.date()
    if name == "day":
        last = first + timedelta(days=1)
    elif name == "week":
        first -= timedelta(days=first.weekday())
        last = first + timedelta(days=7)
    else:
        first = first.replace(day=1)
        last = (first + timedelta(days=31)).replace(day=1)
    start, end = (datetime.combine(day, time(), zone).timestamp() for day in (first, last))
    return Window(name, start, end)
