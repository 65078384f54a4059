"""What will be spent, from what was: the database's history through the forecasters."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.engine import Connection

from actors.storage import history
from reception.money.forecast.calls import CallRate, OneMore, one_more, one_more_rolling
from reception.money.forecast.forecaster import COVERAGE, Forecaster, WindowForecast
from reception.money.forecast.model import WEEK
from reception.money.forecast.outlook import HOUR_S
from reception.money.forecast.rolling import RollingBudget
from reception.money.limits import LimitTable
from reception.money.scopes import Scope
from reception.money.windows import (
    LONGEST_S,
    SLOT_S,
    Budget,
    Calendar,
    Rolling,
    slot_of,
    span_at,
    window_at,
    zone_of,
)

LEARNS_S = 365 * 24 * HOUR_S
"""How far back it looks. Intervals for a month need 14 weeks of it."""

TALK_S = 10 * 24 * HOUR_S
"""Talk that is older hardly counts (`CallRate` halves it each day)."""

MAX_KEPT = 8
"""Scopes whose forecaster is kept, of about a megabyte each."""

_PIECE = WEEK * HOUR_S // SLOT_S
_PAUSE_S = 0.01


@dataclass(slots=True)
class _Known:
    forecaster: Forecaster
    until_s: int


class Forecasts:
    """For any thread.

    Args:
        limits: what holds now.
        zone: whose weeks spending follows.
    """

    def __init__(self, limits: Callable[[Connection], LimitTable], zone: str) -> None:
        self._limits, self._zone = limits, zone
        self._known: OrderedDict[Scope, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, connection: Connection, scope: Scope, now_s: float) -> dict[str, Any]:
        """The end of each window that limits a scope, seen from now: of a rolling one
        after one length of it, with its course until then.

        Args:
            now_s: UNIX time.

        Returns:
            Micro-dollars and UNIX seconds; None is "unknown".
        """
        with self._lock:
            forecaster = self._learn(connection, scope, slot_of(now_s))
            calendar, rolling, hour_micros = self._budgets(connection, scope, now_s)
            forecasts = (
                *forecaster.forecast(now_s, hour_micros, calendar),
                *forecaster.rolling(now_s, hour_micros, rolling),
            )
            hours = max((f.window.end_s - now_s for f in forecasts), default=0.0) / HOUR_S
            outlook = forecaster.outlook(now_s, hour_micros, int(hours) + 1)
        rate = CallRate()
        for at_s, call_s, micros in history.talk(connection, scope, now_s - TALK_S):
            rate.observe(at_s, call_s, micros)
        per_hour = rate.micros_per_hour
        more: list[OneMore | None] = [None] * len(forecasts)
        if per_hour is not None:
            more = [
                *(one_more(now_s, budget, per_hour, outlook) for budget in calendar),
                *(one_more_rolling(now_s, budget, per_hour, outlook) for budget in rolling),
            ]
        return {
            "scope": str(scope),
            "at_s": now_s,
            "zone": self._zone,
            "method": forecaster.method.value,
            "coverage": COVERAGE,
            "micros_per_call_hour": per_hour,
            "windows": [
                _shown(forecast) | {"one_more": None if one is None else _more(one)}
                for forecast, one in zip(forecasts, more, strict=True)
            ],
        }

    def _learn(self, connection: Connection, scope: Scope, until_s: int) -> Forecaster:
        """What came since it was last asked. Between weeks of it others go on."""
        known = self._known.pop(scope, None)
        if known is None or known.until_s > until_s:
            known = _Known(Forecaster(zone_of(self._zone)), int(until_s - LEARNS_S))
        slots = history.spent(connection, scope, known.until_s)
        over = [(float(slot_s), micros) for slot_s, micros in slots if slot_s < until_s]
        for first in range(0, len(over), _PIECE):
            if first:
                time.sleep(_PAUSE_S)
            piece = over[first : first + _PIECE]
            known.forecaster.learn(piece, piece[-1][0] + SLOT_S)
        known.forecaster.learn((), until_s)
        known.until_s = until_s
        self._known[scope] = known
        while len(self._known) > MAX_KEPT:
            self._known.popitem(last=False)
        return known.forecaster

    def _budgets(
        self, connection: Connection, scope: Scope, now_s: float
    ) -> tuple[list[Budget], list[RollingBudget], int]:
        """A scope's limits over a time, calendar and rolling, with what is posted in them,
        and what was spent in this hour of UNIX time."""
        slots = history.spent(connection, scope, now_s - LONGEST_S)
        calendar: list[Budget] = []
        rolling: list[RollingBudget] = []
        for limit in self._limits(connection).of(scope):
            period = limit.window
            if isinstance(period, Calendar):
                window = window_at(period, now_s)
                calendar.append(Budget(window, limit.micros, _since(slots, window.start_s)))
            elif isinstance(period, Rolling):
                start_s = span_at(period, now_s).start_s
                within = tuple(each for each in slots if each[0] >= start_s)
                rolling.append(RollingBudget(period, limit.micros, within))
        return calendar, rolling, _since(slots, now_s // HOUR_S * HOUR_S)


def _since(slots: Iterable[tuple[int, int]], start_s: float) -> int:
    return sum(micros for slot_s, micros in slots if slot_s >= start_s)


def _shown(forecast: WindowForecast) -> dict[str, Any]:
    fields = asdict(forecast)
    window = fields.pop("window")
    fields["method"] = forecast.method.value
    return {
        "window": window["name"],
        "starts_at_s": window["start_s"],
        "ends_at_s": window["end_s"],
    } | fields


def _more(more: OneMore) -> dict[str, Any]:
    return {"micros": more.micros, "hit_at_s": more.hit_at_s}
