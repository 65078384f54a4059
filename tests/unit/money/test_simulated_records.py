"""Calls to make bills of from our own records."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from reception.call.record import CallRecord, Said
from reception.errors import InvalidRequest
from reception.money.savings.calls import Call, Turn
from reception.money.savings.records import parse_file
from tests.unit.call.example import SPEC


def exported(*said: tuple[str, str, int]) -> dict[str, Any]:
    """As the management API gives it."""
    lines = tuple(Said(who, text, at_ms) for who, text, at_ms in said)
    shown = asdict(CallRecord(SPEC, "ended", "", "m", transcript=lines))
    found: dict[str, Any] = json.loads(json.dumps(shown))
    return found


TALK = (
    ("reception", "x" * 28, 0), ("caller", "x" * 14, 3_000), ("caller", "x" * 14, 4_000),
    ("reception", "", 6_000), ("reception", "x" * 42, 6_000), ("caller", "x" * 7, 12_000),
    ("reception", "x" * 56, 13_000),
)  # fmt: skip


def test_a_record_is_a_call_with_greeting_turns_and_goodbye() -> None:
    [call] = parse_file(exported(*TALK))
    assert call == Call(
        (Turn(2_000, 3_000, 28, 42, wait_ms=1_000), Turn(500, 0, 7, wait_ms=3_000)),
        2_000, 28, 4_000, 56,
    )  # fmt: skip
    assert parse_file([exported(*TALK), exported(*TALK)]) == (call, call)


def test_a_caller_who_speaks_first_and_last_hears_no_greeting_and_no_goodbye() -> None:
    [call] = parse_file(exported(("caller", "x" * 14, 500)))
    assert call == Call((Turn(1_000, 0, 14, wait_ms=500),), 0, 0, 0, 0)


def test_timings_are_read_as_before() -> None:
    [call] = parse_file([{"turns": [{"caller_ms": 1, "answer_ms": 2}]}])
    assert call.turns[0].answer_ms == 2
    with pytest.raises(InvalidRequest, match="list of one call at least"):
        parse_file({})


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        ([exported()], r"calls\[0\].transcript must have words of the caller"),
        ([exported(TALK[0])], "must have words of the caller"),
        ([exported(*TALK), {"turns": []}], r"calls\[1\].transcript must be a list"),
        ([{"transcript": "hello"}], "transcript must be a list"),
        ([{"transcript": [5]}], r"transcript\[0\] must have who"),
        ([{"transcript": [{"who": "x", "text": "y", "at_ms": 1}]}], "must have who"),
        ([{"transcript": [{"who": "caller", "text": 5, "at_ms": 1}]}], "must have who"),
        ([{"transcript": [{"who": "caller", "text": "y", "at_ms": -1}]}], "at_ms is -1"),
        ([{"transcript": [{"who": "caller", "text": "y", "at_ms": True}]}], "at_ms is True"),
        ([{"transcript": [{"who": "caller", "text": "y"}]}], "at_ms is None"),
    ],
)
def test_a_record_that_is_wrong(records: Any, fault: str) -> None:
    with pytest.raises(InvalidRequest, match=fault):
        parse_file(records)
