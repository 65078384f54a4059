"""Reports: sums over calls, spans of time, CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.money.reports import (
    BY,
    DAY_S,
    Line,
    by_time,
    check_by,
    dollars,
    parse_time,
    span,
    to_csv,
    together,
    utc_time,
)

BERLIN = ZoneInfo("Europe/Berlin")
NOW_S = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()


def test_what_a_minute_and_a_completed_call_cost() -> None:
    line = Line(
        calls=5, ended=4, completed=2, talk_ms=90_000, cost_micros=700, ended_micros=600,
        input_text=60, input_audio=40, cached_text=30, cached_audio=3,
    )  # fmt: skip
    shown = line.plain()
    assert shown["micros_per_minute"] == 400
    assert shown["micros_per_completed"] == 300
    assert shown["cache_percent"] == 33.0
    assert shown["cost_micros"] == 700


def test_images_are_input_of_which_some_came_from_the_cache() -> None:
    line = Line(input_text=50, input_image=150, cached_text=20, cached_image=80)
    assert line.plain()["cache_percent"] == 50.0


def test_what_is_unknown_without_talk_input_or_completed_calls() -> None:
    shown = Line(calls=1, cost_micros=5).plain()
    assert [shown[name] for name in ("micros_per_minute", "micros_per_completed")] == [None, None]
    assert shown["cache_percent"] is None


def test_lines_add_up() -> None:
    assert together([]) == Line()
    assert together([Line(calls=1, talk_ms=2), Line(calls=3, cost_micros=4)]) == Line(
        calls=4, talk_ms=2, cost_micros=4
    )


def test_days_are_the_zones_and_hours_tell_their_offset() -> None:
    before = datetime(2026, 10, 24, 22, 30, tzinfo=UTC).timestamp()  # 25 October in Berlin
    slots = [(before + 900 * n, Line(calls=1)) for n in (0, 1, 2, 6, 10)]
    days = by_time(slots, "day", "Europe/Berlin", BERLIN)
    assert days == [("2026-10-25", Line(calls=5))]
    hours = by_time(reversed(slots), "hour", "Europe/Berlin", BERLIN)
    assert [(name, line.calls) for name, line in hours] == [
        ("2026-10-25T00:00+02:00", 2),
        ("2026-10-25T01:00+02:00", 1),
        ("2026-10-25T02:00+02:00", 1),
        ("2026-10-25T02:00+01:00", 1),
    ]


@given(st.lists(st.integers(0, 10_000_000), max_size=30), st.sampled_from(["hour", "day"]))
def test_no_call_is_lost_between_slots_and_days(starts: list[int], by: str) -> None:
    slots = [(NOW_S + start // 900 * 900, Line(calls=1, cost_micros=start)) for start in starts]
    found = by_time(slots, by, "Europe/Berlin", BERLIN)
    assert together(line for _, line in found) == together(line for _, line in slots)
    assert len({name for name, _ in found}) == len(found)


# ------------------------------------------------------------------ spans


@pytest.mark.parametrize(
    ("text", "at_s"),
    [
        ("12h", NOW_S - 43_200),
        ("7d", NOW_S - 7 * DAY_S),
        ("2w", NOW_S - 14 * DAY_S),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=BERLIN).timestamp()),
        ("2026-11-24T13:00", NOW_S),
        ("2026-11-24T12:00Z", NOW_S),
        ("2026-11-24T14:30+02:30", NOW_S),
    ],
)
def test_times(text: str, at_s: float) -> None:
    assert parse_time("since", text, NOW_S, BERLIN) == at_s


@pytest.mark.parametrize("text", ["", "yesterday", "7", "7y", "2026-13-01"])
def test_no_times(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"until is .*: must be like 2026-11-24") as caught:
        parse_time("until", text, NOW_S, BERLIN)
    assert caught.value.field == "until"


def test_a_span_is_the_last_thirty_days_unless_it_is_said() -> None:
    assert span("", "", NOW_S, UTC) == (NOW_S - 30 * DAY_S, NOW_S)
    assert span("", "7d", NOW_S, UTC) == (NOW_S - 37 * DAY_S, NOW_S - 7 * DAY_S)
    assert span("400d", "", NOW_S, UTC) == (NOW_S - 400 * DAY_S, NOW_S)


@pytest.mark.parametrize(("since", "until"), [("401d", ""), ("1d", "1d"), ("1d", "2d")])
def test_a_span_is_neither_empty_nor_longer_than_400_days(since: str, until: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"since is '{since}': .* at most 400 days") as caught:
        span(since, until, NOW_S, UTC)
    assert caught.value.field == "since"


def test_by_what() -> None:
    for by in BY:
        check_by(by)
    with pytest.raises(InvalidRequest, match="by is 'week': must be one of call, tenant, key"):
        check_by("week")


# ------------------------------------------------------------------ CSV


def test_csv_is_in_dollars_and_keeps_odd_names() -> None:
    rows = [
        {"tenant": 'a "b", c', "cost_micros": 1_234_567, "micros_per_minute": None},
        {"tenant": "ä\nb", "cost_micros": -5, "micros_per_minute": 0},
    ]
    found = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert found == [
        {"tenant": 'a "b", c', "cost_usd": "1.234567", "usd_per_minute": ""},
        {"tenant": "ä\nb", "cost_usd": "-0.000005", "usd_per_minute": "0.000000"},
    ]
    assert to_csv([]) == ""


def test_times_are_told_in_utc() -> None:
    assert utc_time(NOW_S + 0.9) == "2026-11-24T12:00:00Z"


@given(st.integers(-(10**15), 10**15))
def test_dollars_are_exact(micros: int) -> None:
    whole, _, rest = dollars(micros).lstrip("-").partition(".")
    assert (int(whole) * 1_000_000 + int(rest)) * (-1 if micros < 0 else 1) == micros
