"""What a number or a name of a report, or of the rules, may be."""

from __future__ import annotations

from math import inf

from reception.errors import InvalidRequest


def within(field: str, value: float, least: float, most: float = inf) -> None:
    """Raises InvalidRequest for a number outside, or infinite, or not a number."""
    if not (least <= value <= most and value < inf):
        bound = f"{least:g} or more" if most == inf else f"{least:g} to {most:g}"
        raise InvalidRequest(f"{field} is {value}: must be {bound}", field=field)


def above(field: str, value: float, bound: float = 0.0) -> None:
    """Raises InvalidRequest for a number that is not above the bound, and finite."""
    if not bound < value < inf:
        raise InvalidRequest(f"{field} is {value}: must be above {bound:g}", field=field)


def named(field: str, value: str, least: int, most: int) -> None:
    """Raises InvalidRequest for a name with fewer or more characters, or no text."""
    if not (isinstance(value, str) and least <= len(value) <= most):
        raise InvalidRequest(
            f"{field} is {value!r:.80}: must be text of {least} to {most} characters", field=field
        )
