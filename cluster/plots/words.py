"""Numbers, money and names as figures write them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable

MICROS = 1_000_000
PX = 6.6
"""Of a character at the size of a figure's text (11 px), in a wide font."""

BOLD = 1.25
"""How much wider a title is."""

_BROAD_PX = 8.5
_WIDE_PX = 11.5
_K = 10_000

Written = Callable[[float, float], str]
"""How a value is written at a tick, with the step between ticks."""


def usd(micros: float | None, beside: float = 0) -> str:
    """Dollars as people read them: whole from 10,000 on, to four digits below one; ""
    for what is unknown.

    Args:
        beside: the amount that they are compared with: as many digits as that has.
    """
    if micros is None:
        return ""
    dollars = abs(micros) / MICROS
    size = max(dollars, beside / MICROS)
    digits = 0 if dollars >= _K else 2 if size >= 1 or not size else 4
    text = f"{dollars:,.{digits}f}"
    return f"{'-' if micros < 0 and float(text.replace(',', '')) else ''}${text}"


def dollars(value: float, step: float) -> str:
    """A tick of dollars: no more digits than the step has."""
    sign, size = "-" if value < 0 else "", abs(value)
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= unit and (size >= _K or step >= unit):
            return f"{sign}${_digits(size / unit, step / unit)}{letter}"
    digits = 0 if step >= 1 and step % 1 == 0 else max(2, _places(step))
    return f"{sign}${size:,.{digits}f}"


def short(value: float, _step: float) -> str:
    """A tick of any number."""
    return f"{value:,.0f}" if abs(value) >= _K else f"{value:g}"


def percent(value: float, _step: float) -> str:
    """A tick of a share in per cent."""
    return f"{value:g} %"


def _digits(value: float, step: float) -> str:
    return f"{value:,.{min(3, _places(step))}f}"


def _places(step: float) -> int:
    """Decimal places that tell multiples of a round step apart."""
    return max(0, next((n for n in range(9) if math.isclose(step * 10**n % 1, 0, abs_tol=1e-6)), 9))


def width(text: str) -> float:
    """Pixels that a text takes at most, nearly."""
    return sum(map(_px, text))


def _px(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return _WIDE_PX
    return _BROAD_PX if character.isupper() or character in "mw%@" else PX


def cut(text: str, px: float) -> str:
    """A text that takes at most so much, "…" for what is left out."""
    if width(text) <= px:
        return text
    while text and width(text) + _BROAD_PX > px:
        text = text[:-1]
    return f"{text.rstrip()}…" if text else ""
