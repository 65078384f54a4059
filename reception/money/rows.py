"""Rows of a file that others wrote (CSV or JSON): what is in them, and what is wrong there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reception.errors import InvalidRequest

MAX_COUNT = 10**15
_SHOWN_CHARS = 60


def has(row: Mapping[str, Any], name: str) -> bool:
    """Whether a field is given."""
    return row.get(name) not in (None, "")


def fields_of(number: int, value: Any, file: str) -> Mapping[str, Any]:
    """A row's fields.

    Args:
        number: of the row, from 1.
        file: what kind of file it is, as errors name it.

    Raises:
        InvalidRequest: it has none.
    """
    if not isinstance(value, Mapping):
        raise wrong(number, "it", value, "an object with fields", file)
    return value


def count_of(number: int, name: str, value: Any, file: str, most: int = MAX_COUNT) -> int:
    """A field that is a count. Raises InvalidRequest."""
    try:
        count = int(str(value))
    except ValueError:
        count = -1
    if not 0 <= count <= most:
        raise wrong(number, name, value, f"a whole number of 0 to {most}", file)
    return count


def wrong(number: int, name: str, value: Any, bound: str, file: str) -> InvalidRequest:
    """The error that names row, field, value and bound."""
    shown = repr(value)[:_SHOWN_CHARS]
    return InvalidRequest(f"row {number}: {name} is {shown}: must be {bound}", field=file)
