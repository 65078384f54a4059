"""Calendar windows of a budget: what was spent in each, and what is left.

A window is the calendar hour, day, week (from Monday) or month of a time zone.
Spending is kept in slots of 15 minutes of UNIX time: every zone's offset since
1972 is a multiple of that, so each window is a whole number of slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

WINDOWS = ("hour", "day", "week", "month")
SLOT_S = 900

_RETRY_WHEN_HELD_S = 5.0


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
class Room:
    """What the tightest window still has for new holds (micro-dollars).

    `retry_after_s` says when it is worth asking again if that is too little:
    at the window's end if what is spent fills it, else soon, because what is
    held for other calls may be given back.
    """

    micros: int
    window: str
    retry_after_s: float


def zone_of(name: str) -> tzinfo:
    """The time zone; "UTC" needs no time zone database."""
    return UTC if name == "UTC" else ZoneInfo(name)


def slot_of(at_s: float) -> int:
    """The beginning of the slot that `at_s` is in."""
    return int(at_s // SLOT_S) * SLOT_S


def windows_at(now_s: float, zone: tzinfo) -> tuple[Window, ...]:
    """The windows that hold `now_s`, in the order of WINDOWS.

    The hour is the elapsed one, so that a day's end of summer time has 25.
    """
    now = datetime.fromtimestamp(now_s, zone)
    hour_s = float(slot_of(now_s) - now.minute // 15 * SLOT_S)
    today = now.date()
    monday = today - timedelta(days=today.weekday())
    first = today.replace(day=1)
    next_first = (first + timedelta(days=31)).replace(day=1)
    spans = {
        "day": (today, today + timedelta(days=1)),
        "week": (monday, monday + timedelta(days=7)),
        "month": (first, next_first),
    }
    calendar = (
        Window(
            name,
            datetime.combine(start, time(), zone).timestamp(),
            datetime.combine(end, time(), zone).timestamp(),
        )
        for name, (start, end) in spans.items()
    )
    return (Window("hour", hour_s, hour_s + 3_600), *calendar)


def room(budgets: tuple[Budget, ...], held_micros: int, want_micros: int, now_s: float) -> Room:
    """What may still be held. All that is held counts in every window, because
    it may be spent at any time from now on.

    Args:
        held_micros: the sum of all holds.
        want_micros: what somebody wants to hold; only for `retry_after_s`.
    """
    tightest = min(budgets, key=lambda budget: budget.limit_micros - budget.posted_micros)
    micros = tightest.limit_micros - tightest.posted_micros - held_micros
    waits = [
        budget.window.end_s - now_s
        for budget in budgets
        if budget.limit_micros - budget.posted_micros < want_micros
    ]
    soon_s = _RETRY_WHEN_HELD_S if micros < want_micros else 0.0
    return Room(max(0, micros), tightest.window.name, max(waits, default=soon_s))
