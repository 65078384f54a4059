"""Opening hours: when somebody is there, and how to say it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NUMBERS = [
    "twelve",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ("", "", "twenty", "thirty", "forty", "fifty")


@dataclass(frozen=True, slots=True)
class Span:
    """From `opens` to `closes` on one day, local time; closes is not included."""

    opens: time
    closes: time

    def covers(self, at: time) -> bool:
        return self.opens <= at < self.closes


@dataclass(frozen=True, slots=True)
class SpecialDay:
    """A date with hours of its own; no spans: closed all day."""

    name: str
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """week has seven entries, Monday first; timezone is an IANA name."""

    timezone: str
    week: tuple[tuple[Span, ...], ...]
    special: dict[date, SpecialDay] = field(default_factory=dict)

    def spans_on(self, day: date) -> tuple[Span, ...]:
        if day in self.special:
            return self.special[day].spans
        return self.week[day.weekday()]

    def is_open(self, at_s: float) -> bool:
        """At this UNIX time; daylight saving is the zone's."""
        local = self.local(at_s)
        return any(span.covers(local.time()) for span in self.spans_on(local.date()))

    def local(self, at_s: float) -> datetime:
        return datetime.fromtimestamp(at_s, ZoneInfo(self.timezone))

    # ------------------------------------------------------------- saying it

    def spoken_week(self) -> str:
        """The whole week in one sentence, equal days together."""
        groups: list[tuple[int, int]] = []
        for day in range(7):
            if groups and self.week[groups[-1][0]] == self.week[day]:
                groups[-1] = (groups[-1][0], day)
            else:
                groups.append((day, day))
        said = [
            f"{_days(first, last)} {_spans(self.week[first])}"
            for first, last in groups
            if self.week[first]
        ]
        closed = [_days(first, last) for first, last in groups if not self.week[first]]
        if not said:
            return "We are closed all week."
        sentence = f"We are open {_list(said)}."
        return f"{sentence} We are closed on {_list(closed)}." if closed else sentence

    def spoken_day(self, day: date, today: date) -> str:
        """One day in one sentence."""
        name = "today" if day == today else f"on {DAYS[day.weekday()]}"
        special = self.special.get(day)
        because = f" because of {special.name}" if special else ""
        spans = self.spans_on(day)
        if not spans:
            return f"We are closed {name}{because}."
        return f"We are open {name} {_spans(spans)}{because}."


def _days(first: int, last: int) -> str:
    return DAYS[first] if first == last else f"{DAYS[first]} to {DAYS[last]}"


def _spans(spans: tuple[Span, ...]) -> str:
    return _list(
        [f"from {spoken_time(span.opens)} to {spoken_time(span.closes)}" for span in spans]
    )


def _list(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def spoken_time(at: time) -> str:
    """A time of day in words: "half past five in the afternoon"."""
    if (at.hour, at.minute) == (12, 0):
        return "noon"
    if (at.hour, at.minute) in ((0, 0), (23, 59)):
        return "midnight"
    part = "in the morning"
    if at.hour >= 12:
        part = "in the afternoon" if at.hour < 18 else "in the evening"
    hour, following = _NUMBERS[at.hour % 12], _NUMBERS[at.hour % 12 + 1]
    match at.minute:
        case 0:
            words = hour
        case 15:
            words = f"a quarter past {hour}"
        case 30:
            words = f"half past {hour}"
        case 45:
            words = f"a quarter to {following}"
        case minute:
            words = f"{hour} {_minutes(minute)}"
    return f"{words} {part}"


def _minutes(minute: int) -> str:
    if minute < 10:
        return f"oh {_NUMBERS[minute]}"
    if minute < 20:
        return _NUMBERS[minute]
    ones = f" {_NUMBERS[minute % 10]}" if minute % 10 else ""
    return _TENS[minute // 10] + ones
