"""Calls to make bills of from our own call records (`GET calls/{session_id}`).

A record has the words and when each began, not how long they took: that is reckoned from
their length, and what is left until the next words is silence. An answer that was cut in on
has in a record what was heard of it, so that it counts as whole. Functions are in no record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reception.errors import InvalidRequest
from reception.money.savings.calls import MAX_MS, MAX_TURNS, Call, Turn, parse_calls, spoken_ms

_CALLER, _RECEPTION = "caller", "reception"


def parse_file(value: Any) -> tuple[Call, ...]:
    """Calls from JSON: records, one or a list, or timings as `parse_calls` has them.

    Raises:
        InvalidRequest: as `parse_calls`; or a record can't be used.
    """
    records = [value] if _is_record(value) else value
    if not isinstance(records, list) or not any(map(_is_record, records)):
        return parse_calls(records)
    return tuple(_call(record, f"calls[{index}]") for index, record in enumerate(records))


def _is_record(value: Any) -> bool:
    return isinstance(value, Mapping) and "transcript" in value


def _call(record: Any, where: str) -> Call:
    """The call that a record tells of. What is said before the caller's first words is the
    greeting; the last answer is the goodbye.

    Raises:
        InvalidRequest: names the field, and what it must be; or the caller said nothing.
    """
    where = f"{where}.transcript"
    lines = record["transcript"] if _is_record(record) else None
    if not isinstance(lines, list):
        raise InvalidRequest(f"{where} must be a list", field=where)
    said = _merged([_line(each, f"{where}[{index}]") for index, each in enumerate(lines)])
    greeting = said.pop(0)[1] if said and said[0][0] == _RECEPTION else 0
    if not said or len(said) > 2 * MAX_TURNS:
        raise InvalidRequest(
            f"{where} must have words of the caller, at most {MAX_TURNS} times", field=where
        )
    goodbye = said[-1][1] if said[-1][0] == _RECEPTION else 0
    ends = [spoken_ms(greeting), *(at_ms + spoken_ms(chars) for _, chars, at_ms in said[:-1])]
    waits = [max(0, at_ms - end) for (_, _, at_ms), end in zip(said, ends, strict=True)]
    turns = [
        Turn(spoken_ms(chars), spoken_ms(answer), chars, answer, wait_ms=wait)
        for (_, chars, _), answer, wait in zip(
            said[::2], [*(chars for _, chars, _ in said[1::2]), 0], waits[::2], strict=False
        )
    ]
    if goodbye:
        turns[-1] = Turn(turns[-1].caller_ms, 0, turns[-1].caller_chars, wait_ms=turns[-1].wait_ms)
    return Call(tuple(turns), spoken_ms(greeting), greeting, spoken_ms(goodbye), goodbye)


def _line(line: Any, where: str) -> tuple[str, int, int]:
    """Who, characters, when."""
    who, text, at_ms = (
        (line.get(name) for name in ("who", "text", "at_ms"))
        if isinstance(line, Mapping)
        else (None, None, None)
    )
    if who not in (_CALLER, _RECEPTION) or not isinstance(text, str):
        raise InvalidRequest(f"{where} must have who (caller, reception) and text", field=where)
    if isinstance(at_ms, bool) or not isinstance(at_ms, int) or not 0 <= at_ms <= MAX_MS:
        raise InvalidRequest(
            f"{where}.at_ms is {at_ms!r}: must be a whole number from 0 to {MAX_MS}", field=where
        )
    return who, len(text), at_ms


def _merged(lines: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """With what one side says in a row as one."""
    found: list[tuple[str, int, int]] = []
    for who, chars, at_ms in lines:
        if found and found[-1][0] == who:
            found[-1] = (who, found[-1][1] + chars, found[-1][2])
        elif chars:
            found.append((who, chars, at_ms))
    return found
