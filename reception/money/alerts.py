"""Says when money nears a limit: at 70, 90 and 95 % of it, each once.

Two things are watched for every limit: what is spent (posted), and what is
spent or held (committed). The second comes first and may fall again, as holds
are given back; the first is the fact. For each of the two a limit has one alert
with a level, which rises and falls, as an incident's severity does:

- Several levels crossed at once are one alert, of the highest: 95 % says all
  that 70 and 90 % would, and three messages in one second teach people to look
  at none. `from_percent` tells what was in force before.
- It falls only `HYSTERESIS_PERCENT` points below a level, and a level that was
  told is not told again before the cooldown is over; if money is still above it
  then, it is told then: late, never lost.
- In a new window every level is told anew. What was open in the old one is
  cleared.
- When a limit is changed, the next observation counts against the new one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reception.errors import InvalidRequest
from reception.money.scopes import Scope
from reception.money.windows import Window

LEVELS_PERCENT = (70, 90, 95)
HYSTERESIS_PERCENT = 5

_DOLLAR_MICROS = 1_000_000
_FIELDS = 6 + len(LEVELS_PERCENT)


class Measure(StrEnum):
    """posted: spent. committed: spent or held. usage: tokens that a provider counts, beside
    our own count."""

    POSTED = "posted"
    COMMITTED = "committed"
    USAGE = "usage"


@dataclass(frozen=True, slots=True)
class Reading:
    """One limit now, in micro-dollars. `scope` says whose limit it is."""

    scope: str
    window: Window
    limit_micros: int
    posted_micros: int
    held_micros: int = 0


@dataclass(frozen=True, slots=True)
class Alert:
    """A limit's alert rose or fell. Or (usage) counts differ: window.name says of what,
    percent by how much, micros are the provider's tokens and limit_micros are ours.

    Attributes:
        percent: the level now in force; 0 is none.
        from_percent: the level in force before. Lower: it rose; higher: it fell.
        micros: what was measured; 0, as the limit, when the window is over.
    """

    at_s: float
    scope: str
    window: Window
    measure: Measure
    percent: int
    from_percent: int
    micros: int
    limit_micros: int

    @property
    def raised(self) -> bool:
        return self.percent > self.from_percent

    @property
    def text(self) -> str:
        """One line for people."""
        if self.measure is Measure.USAGE:
            what = self.window.name.replace("_", " ")
            return (
                f"{self.scope} counts {self.micros} tokens of {what}, we count "
                f"{self.limit_micros}: {self.percent} % apart"
            )
        whose = f"{self.scope}'s {self.window.name}"
        if self.window.end_s <= self.at_s:
            return f"{whose} is over: alert at {self.from_percent} % cleared"
        what = "spent" if self.measure is Measure.POSTED else "spent or held"
        of = f"${self.micros / _DOLLAR_MICROS:.2f} of ${self.limit_micros / _DOLLAR_MICROS:.2f}"
        if self.raised:
            return f"{whose}: {of} {what}, {self.percent} % reached"
        return f"{whose}: {of} {what}, below {self.from_percent} % again"


_Key = tuple[str, str, float, Measure]
"""Scope, window's name, window's start, measure."""


@dataclass(slots=True)
class _Told:
    """What was said of one limit. `raised_s`: when each level was last."""

    end_s: float
    percent: int
    raised_s: list[float | None]

    def rise(self, percent: int, now_s: float) -> None:
        """The levels below are told with it."""
        self.percent = percent
        for index, level in enumerate(LEVELS_PERCENT):
            if level <= percent:
                self.raised_s[index] = now_s


class LimitAlerts:
    """Alerts of all limits. Observe after every change, and now and then besides
    (each 30 s): that is when cooldowns end.

    The state holds only limits of which something was told, and forgets them
    when their window has been over for the cooldown's time.

    Args:
        cooldown_s: after which a level may be told again (0 or more).
    """

    def __init__(self, cooldown_s: float) -> None:
        self._cooldown_s = cooldown_s
        self._told: dict[_Key, _Told] = {}

    def observe(self, now_s: float, readings: Iterable[Reading]) -> tuple[Alert, ...]:
        """What is to be told. A limit without a reading stays as it was.

        Args:
            now_s: UNIX time. It may step back: then a level waits for one more
                cooldown at most.
        """
        alerts = self._over(now_s)
        for reading in readings:
            if reading.window.end_s > now_s:
                alerts += self._limit(reading, now_s)
        return tuple(alerts)

    def _over(self, now_s: float) -> list[Alert]:
        """Windows that ended. They are remembered for a cooldown more, should
        the clock step back into them."""
        cleared = []
        for key, told in list(self._told.items()):
            if told.end_s <= now_s and told.percent:
                scope, name, start_s, measure = key
                window = Window(name, start_s, told.end_s)
                cleared.append(Alert(now_s, scope, window, measure, 0, told.percent, 0, 0))
                told.percent = 0
            if told.end_s + self._cooldown_s <= now_s:
                del self._told[key]
        return cleared

    def _limit(self, reading: Reading, now_s: float) -> list[Alert]:
        posted = self._measure(reading, Measure.POSTED, reading.posted_micros, now_s)
        both = reading.posted_micros + reading.held_micros
        committed = self._measure(reading, Measure.COMMITTED, both, now_s)
        return [alert for alert in (posted, committed) if alert]

    def _measure(
        self, reading: Reading, measure: Measure, micros: int, now_s: float
    ) -> Alert | None:
        window, limit = reading.window, reading.limit_micros
        key = (reading.scope, window.name, window.start_s, measure)
        told = self._told.get(key) or _Told(window.end_s, 0, [None] * len(LEVELS_PERCENT))
        before = told.percent
        reached = [level for level in LEVELS_PERCENT if micros and micros * 100 >= level * limit]
        kept = [
            level
            for level in LEVELS_PERCENT
            if level <= before and micros * 100 >= (level - HYSTERESIS_PERCENT) * limit
        ]
        free = [level for level in reached if level > before and self._may_rise(told, level, now_s)]
        if free:
            told.rise(free[-1], now_s)
            self._told[key] = told
        else:
            told.percent = kept[-1] if kept and micros else 0
        if told.percent == before:
            return None
        return Alert(now_s, reading.scope, window, measure, told.percent, before, micros, limit)

    def _may_rise(self, told: _Told, level: int, now_s: float) -> bool:
        index = LEVELS_PERCENT.index(level)
        raised_s = told.raised_s[index]
        if raised_s is not None and raised_s > now_s:  # the clock stepped back
            raised_s = told.raised_s[index] = now_s
        return raised_s is None or now_s - raised_s >= self._cooldown_s

    def scopes(self) -> set[Scope]:
        """Those of which something was told: to be looked at again now and then."""
        return {Scope(scope) for scope, *_ in self._told}

    # ------------------------------------------------------------- over a restart

    def snapshot(self) -> list[list[Any]]:
        """The state as plain JSON: a row for each limit of which something was
        told, so that a successor doesn't tell it again."""
        return [
            [*key, told.end_s, told.percent, *told.raised_s] for key, told in self._told.items()
        ]

    def restore(self, rows: Iterable[Any]) -> None:
        """Goes on from a `snapshot`.

        Raises:
            InvalidRequest: a row is none of ours; nothing is changed then.
        """
        self._told = dict(_parse(row) for row in rows)


def _parse(row: Any) -> tuple[_Key, _Told]:
    try:
        scope, window, start_s, measure, end_s, percent, *raised_s = row
        if len(row) != _FIELDS or percent not in (0, *LEVELS_PERCENT):
            raise ValueError
        times = [None if each is None else float(each) for each in raised_s]
        key = (str(scope), str(window), float(start_s), Measure(measure))
        return key, _Told(float(end_s), int(percent), times)
    except (TypeError, ValueError):
        raise InvalidRequest(
            f"alert state {row!r}: must be scope, window, start, measure, end, level and "
            f"{len(LEVELS_PERCENT)} times",
            field="alerts",
        ) from None
