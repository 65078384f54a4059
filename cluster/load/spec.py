"""Words such as "poisson:5" taken apart, with errors that say what is right."""

from __future__ import annotations

import math

from reception.errors import InvalidRequest


def spec(name: str, text: str, choices: str) -> tuple[str, str]:
    """Kind and argument of "kind:argument"."""
    kind, colon, argument = text.strip().partition(":")
    if not colon or not argument:
        raise InvalidRequest(f"{name} {text!r}: use {choices}", field=name)
    return kind.strip().lower(), argument.strip()


def number(name: str, text: str, at_least: float, at_most: float) -> float:
    """A number within its bounds.

    Raises:
        InvalidRequest: it is none, or outside; the message has name, value, bounds.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not at_least <= value <= at_most:
        raise InvalidRequest(
            f"{name} must be a number from {at_least:g} to {at_most:g}, not {text.strip()!r}",
            field=name,
        )
    return value
