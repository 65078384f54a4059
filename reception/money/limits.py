"""Limits: how much may be spent in a window by a scope."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reception.errors import InvalidRequest
from reception.money.scopes import GLOBAL, Scope, each_of_kind, parse_scope
from reception.money.windows import WINDOWS, Calendar, Period, parse_period

MAX_LIMIT_MICROS = 10_000_000_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `micros` micro-dollars are posted and held for `scope` in each window of
    `window`."""

    scope: Scope
    window: Period
    micros: int


def make_limit(scope: str, window: str, micros: int, zone: str = "UTC") -> Limit:
    """A limit from what somebody asks for.

    Raises:
        InvalidRequest: names the argument, its value and its bound.
    """
    if not 0 <= micros <= MAX_LIMIT_MICROS:
        raise InvalidRequest(
            f"limit is {micros} micro-dollars: must be 0 to {MAX_LIMIT_MICROS}", field="micros"
        )
    return Limit(parse_scope(scope), parse_period(window, zone), micros)


def default_limits(micros: dict[str, int], zone: str) -> tuple[Limit, ...]:
    """The deployment's own limits by calendar window (hour, day, week, month)."""
    return tuple(Limit(GLOBAL, Calendar(name, zone), micros[name]) for name in WINDOWS)


class LimitTable:
    """All limits, found by scope.

    Args:
        limits: a later one replaces an earlier one of the same scope and name
            of window.
    """

    def __init__(self, limits: Iterable[Limit]) -> None:
        self._set: dict[Scope, dict[str, Limit]] = {}
        for limit in limits:
            self._set.setdefault(limit.scope, {})[limit.window.name] = limit
        self._found: dict[Scope, tuple[Limit, ...]] = {}

    def all(self) -> tuple[Limit, ...]:
        """Every limit that is set."""
        return tuple(limit for named in self._set.values() for limit in named.values())

    def of(self, scope: Scope) -> tuple[Limit, ...]:
        """What holds for a scope: its own limits, and those for each of its
        kind where it has no own for a window."""
        found = self._found.get(scope)
        if found is None:
            named = self._set.get(each_of_kind(scope), {}) | self._set.get(scope, {})
            found = self._found[scope] = tuple(named.values())
        return found
