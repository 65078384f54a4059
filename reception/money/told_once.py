"""Alerts that rise and never fall: of limits of single calls, and of counts that differ.

- A limit of a call is told at each level once for the call. Levels crossed at once are one
  alert, of the highest.
- That a provider counts otherwise than we do is told once for each kind of tokens, and
  again after the cooldown: whatever it does it does in every call.

Only the newest `MOST` are known, so that what was told of a call that is long over may be
forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable

from reception.money.alerts import LEVELS_PERCENT, Alert, Measure, Reading
from reception.money.windows import Window

MOST = 10_000

_Key = tuple[str, str, Measure]
"""Scope, window's name (or what was counted), measure."""


class ToldOnce:
    """
    Args:
        cooldown_s: after which differing counts are told again.
    """

    def __init__(self, cooldown_s: float) -> None:
        self._cooldown_s = cooldown_s
        self._told: dict[_Key, tuple[int, float]] = {}  # the level, and when

    def calls(self, now_s: float, readings: Iterable[Reading]) -> list[Alert]:
        """What is to be told of limits of single calls, each with its call as the scope."""
        found = []
        for each in readings:
            both = each.posted_micros + each.held_micros
            for measure, micros in (
                (Measure.POSTED, each.posted_micros),
                (Measure.COMMITTED, both),
            ):
                alert = self._rise(each, measure, micros, now_s)
                found += [alert] if alert else []
        return found

    def _rise(self, of: Reading, measure: Measure, micros: int, now_s: float) -> Alert | None:
        if not micros or micros * 100 < LEVELS_PERCENT[0] * of.limit_micros:
            return None
        key = of.scope, of.window.name, measure
        before, _ = self._told.get(key, (0, 0.0))
        reached = [level for level in LEVELS_PERCENT if micros * 100 >= level * of.limit_micros]
        if reached[-1] <= before:
            return None
        self._note(key, reached[-1], now_s)
        return Alert(
            now_s, of.scope, of.window, measure, reached[-1], before, micros, of.limit_micros
        )

    def counts(self, now_s: float, scope: str, what: str, ours: int, theirs: int) -> list[Alert]:
        """A provider counts so many tokens of `what`, and we count so many."""
        key = scope, what, Measure.USAGE
        _, told_s = self._told.get(key, (0, None))
        if told_s is not None and 0 <= now_s - told_s < self._cooldown_s:
            return []
        percent = -(-100 * abs(theirs - ours) // max(1, ours))
        self._note(key, percent, now_s)
        window = Window(what, now_s, now_s)
        return [Alert(now_s, scope, window, Measure.USAGE, percent, 0, theirs, ours)]

    def _note(self, key: _Key, percent: int, now_s: float) -> None:
        self._told.pop(key, None)
        self._told[key] = percent, now_s
        if len(self._told) > MOST:
            del self._told[next(iter(self._told))]

    def restore(self, rows: Iterable[tuple[str, str, str, int, float]]) -> None:
        """Goes on from what was told: scope, window's name, measure, level, and when, the
        oldest first."""
        self._told.clear()
        for scope, name, measure, percent, at_s in rows:
            self._note((scope, name, Measure(measure)), percent, at_s)
