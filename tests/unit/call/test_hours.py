"""Opening hours, in zones with daylight saving, in words."""

from datetime import UTC, date, datetime, time

import pytest

from reception.call.hours import OpeningHours, Span, spoken_time
from tests.unit.call.example import HOURS, OPEN


def at(year, month, day, hour, minute=0):
    return datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        (at(2026, 11, 24, 8), True),  # Tuesday, 9:00 in Berlin
        (at(2026, 11, 24, 7, 59), False),
        (at(2026, 11, 24, 16, 29), True),
        (at(2026, 11, 24, 16, 30), False),  # 17:30: closing time is not included
        (at(2026, 7, 1, 7), True),  # summer time: an hour earlier
        (at(2026, 7, 1, 6, 59), False),
        (at(2026, 11, 27, 11, 30), False),  # Friday's lunch
        (at(2026, 11, 28, 10), False),  # Saturday
        (at(2026, 12, 24, 10), True),  # Christmas Eve, short
        (at(2026, 12, 24, 12), False),
        (at(2026, 12, 25, 10), False),  # Christmas
        (at(2026, 10, 25, 0, 30), False),  # the hour that comes twice
    ],
)
def test_open_or_not(moment, is_open):
    assert HOURS.is_open(moment) is is_open


def test_the_week_in_a_sentence():
    assert HOURS.spoken_week() == (
        "We are open Monday to Thursday from nine in the morning to half past five in the "
        "afternoon and Friday from nine in the morning to noon and from one in the afternoon to "
        "four in the afternoon. We are closed on Saturday to Sunday."
    )
    never = OpeningHours("UTC", ((),) * 7)
    assert never.spoken_week() == "We are closed all week."
    always = OpeningHours("UTC", (OPEN,) * 7)
    assert always.spoken_week().endswith("Monday to Sunday from nine in the morning to half past "
                                         "five in the afternoon.")  # fmt: skip


def test_a_day_in_a_sentence():
    today = date(2026, 12, 24)
    assert HOURS.spoken_day(today, today) == (
        "We are open today from nine in the morning to noon because of Christmas Eve."
    )
    assert HOURS.spoken_day(date(2026, 12, 25), today) == (
        "We are closed on Friday because of Christmas Day."
    )
    assert HOURS.spoken_day(date(2026, 12, 26), today) == "We are closed on Saturday."


@pytest.mark.parametrize(
    ("clock", "words"),
    [
        (time(0), "midnight"),
        (time(23, 59), "midnight"),
        (time(12), "noon"),
        (time(12, 30), "half past twelve in the afternoon"),
        (time(9, 15), "a quarter past nine in the morning"),
        (time(11, 45), "a quarter to twelve in the morning"),
        (time(19, 5), "seven oh five in the evening"),
        (time(8, 10), "eight ten in the morning"),
        (time(8, 20), "eight twenty in the morning"),
        (time(8, 55), "eight fifty five in the morning"),
    ],
)
def test_times_in_words(clock, words):
    assert spoken_time(clock) == words


def test_a_span_does_not_include_its_end():
    span = Span(time(9), time(10))
    assert span.covers(time(9))
    assert not span.covers(time(10))
