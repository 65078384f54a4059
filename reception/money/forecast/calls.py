"""What one more call at a time costs, and which limits it brings nearer."""

from __future__ import annotations

from dataclasses import dataclass

from reception.money.forecast.outlook import HOUR_S, Outlook
from reception.money.forecast.rolling import RollingBudget
from reception.money.windows import Budget, Window

HALF_LIFE_S = 24 * HOUR_S
MIN_CALL_S = HOUR_S
"""Of talk, before a price of an hour of it is told."""


@dataclass(frozen=True, slots=True)
class OneMore:
    """One more call, without a break, from now to the window's end.

    Attributes:
        micros: what it costs until then.
        hit_at_s: when the limit is then spent, as expected; None when not
            before the window ends, or when the rest is unknown.
    """

    window: Window
    micros: int
    hit_at_s: float | None


class CallRate:
    """What an hour of talk costs, of late: calls of a day ago count half."""

    def __init__(self) -> None:
        self._call_s = 0.0
        self._micros = 0.0
        self._at_s = 0.0

    def observe(self, at_s: float, call_s: float, micros: int) -> None:
        """Talk that was paid for.

        Args:
            at_s: UNIX time; it may step back.
            call_s: seconds of all calls together.
            micros: what they cost.
        """
        faded = 0.5 ** (max(0.0, at_s - self._at_s) / HALF_LIFE_S)
        self._call_s = self._call_s * faded + call_s
        self._micros = self._micros * faded + micros
        self._at_s = at_s

    @property
    def micros_per_hour(self) -> int | None:
        """None ("unknown") before there was `MIN_CALL_S` of talk, or when it is
        too long ago."""
        if self._call_s < MIN_CALL_S:
            return None
        return round(self._micros * HOUR_S / self._call_s)


def one_more(
    now_s: float, budget: Budget, micros_per_hour: int, outlook: Outlook | None
) -> OneMore:
    """One more call at a time.

    Args:
        outlook: what is expected without it.
    """
    hit_at_s = None
    if outlook is not None:
        room = budget.limit_micros - budget.posted_micros
        hit_at_s = outlook.plus(micros_per_hour).when(room, before_s=budget.window.end_s)
    return _more(now_s, budget.window, micros_per_hour, hit_at_s)


def one_more_rolling(
    now_s: float, budget: RollingBudget, micros_per_hour: int, outlook: Outlook | None
) -> OneMore:
    """The same in a rolling window, for one length of it from now."""
    hit_at_s = None
    if outlook is not None:
        hit_at_s = budget.when(outlook.plus(micros_per_hour), now_s)
    return _more(now_s, budget.window(now_s), micros_per_hour, hit_at_s)


def _more(now_s: float, window: Window, micros_per_hour: int, hit_at_s: float | None) -> OneMore:
    micros = round(micros_per_hour * max(0.0, window.end_s - now_s) / HOUR_S)
    return OneMore(window, micros, hit_at_s)
