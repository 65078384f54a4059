"""Windows of limits: what counts at a moment, in every zone and on every odd day."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.money.windows import (
    LONGEST_S,
    NAMES,
    SLOT_S,
    WINDOWS,
    Calendar,
    OfCall,
    Rolling,
    parse_period,
    slot_of,
    span_at,
    windows_at,
)

BERLIN = ZoneInfo("Europe/Berlin")
KATHMANDU = ZoneInfo("Asia/Kathmandu")
HOUR_S, DAY_S = 3_600, 86_400


def at(*when: int, zone: ZoneInfo = BERLIN) -> float:
    year, month, day, hour, minute, second = (*when, 0, 0, 0)[:6]
    return datetime(year, month, day, hour, minute, second, tzinfo=zone).timestamp()


def spans(now_s: float, zone: str = "Europe/Berlin") -> dict[str, tuple[float, float]]:
    found = {name: span_at(Calendar(name, zone), now_s) for name in WINDOWS}
    return {name: (span.start_s, span.until_s) for name, span in found.items()}


def test_windows_of_a_tuesday_evening() -> None:
    assert spans(at(2026, 11, 24, 22, 41, 7)) == {
        "hour": (at(2026, 11, 24, 22), at(2026, 11, 24, 23)),
        "day": (at(2026, 11, 24), at(2026, 11, 25)),
        "week": (at(2026, 11, 23), at(2026, 11, 30)),
        "month": (at(2026, 11, 1), at(2026, 12, 1)),
    }


def test_a_month_at_the_end_of_the_year() -> None:
    assert spans(at(2026, 12, 31, 23, 59))["month"] == (at(2026, 12, 1), at(2027, 1, 1))


def test_the_day_that_comes_every_four_years() -> None:
    found = spans(at(2028, 2, 29, 12))
    assert found["day"] == (at(2028, 2, 29), at(2028, 3, 1))
    assert found["month"] == (at(2028, 2, 1), at(2028, 3, 1))


@pytest.mark.parametrize(("month", "day", "hours"), [(3, 29, 23), (10, 25, 25)])
def test_days_of_the_change_of_clocks(month: int, day: int, hours: int) -> None:
    start_s, end_s = spans(at(2026, month, day, 12))["day"]
    assert end_s - start_s == hours * HOUR_S


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    first_s = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    second_s = first_s + HOUR_S
    assert datetime.fromtimestamp(first_s, BERLIN).hour == 2
    assert datetime.fromtimestamp(second_s, BERLIN).hour == 2
    assert spans(first_s)["hour"][1] == spans(second_s)["hour"][0]


def test_a_zone_of_a_quarter_hour() -> None:
    start_s, _ = spans(at(2026, 11, 24, 10, 20, zone=KATHMANDU), "Asia/Kathmandu")["hour"]
    assert start_s == at(2026, 11, 24, 10, zone=KATHMANDU)


def test_a_rolling_day_counts_whole_slots_and_forgets_them_one_by_one() -> None:
    now_s = at(2026, 11, 24, 12, 20)
    span = span_at(Rolling("rolling-day"), now_s)
    assert span.start_s == at(2026, 11, 23, 12, 15)
    assert span.until_s == at(2026, 11, 24, 12, 30)
    assert span_at(Rolling("rolling-day"), span.until_s).start_s == span.start_s + SLOT_S


@pytest.mark.parametrize(
    ("name", "length_s"),
    [("hour", HOUR_S), ("day", DAY_S), ("week", 7 * DAY_S), ("month", 30 * DAY_S)],
)
def test_rolling_windows_have_a_length(name: str, length_s: int) -> None:
    assert Rolling(f"rolling-{name}").length_s == length_s <= LONGEST_S


def test_windows_by_name() -> None:
    assert {type(parse_period(name)) for name in NAMES} == {Calendar, Rolling, OfCall}
    assert parse_period("day", "Europe/Berlin") == Calendar("day", "Europe/Berlin")
    assert parse_period("rolling-week") == Rolling("rolling-week")
    assert parse_period("call-minute") == OfCall("call-minute")


@pytest.mark.parametrize(
    ("name", "zone", "field"),
    [("year", "UTC", "window"), ("day", "Mars/Olympus", "zone"), ("day", "../etc", "zone")],
)
def test_what_is_no_window(name: str, zone: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_period(name, zone)
    assert caught.value.field == field


zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe",
     "America/New_York", "Pacific/Apia", "America/Havana", "America/Sao_Paulo"]
)  # fmt: skip
every = st.one_of(
    st.builds(Calendar, st.sampled_from(WINDOWS), zones),
    st.builds(Rolling, st.sampled_from([f"rolling-{name}" for name in WINDOWS])),
)


@given(st.floats(1e9, 4e9), every)
def test_every_span_holds_its_moment_and_is_whole_slots(
    now_s: float, window: Calendar | Rolling
) -> None:
    span = span_at(window, now_s)
    assert span.start_s <= now_s < span.until_s
    assert span.start_s % SLOT_S == span.until_s % SLOT_S == 0
    assert now_s - span.start_s <= LONGEST_S
    assert slot_of(now_s) >= span.start_s


@given(st.floats(1e9, 4e9))
def test_all_calendar_windows_at_once(now_s: float) -> None:
    windows = windows_at(now_s, BERLIN)
    assert tuple(window.name for window in windows) == WINDOWS
    assert {w.name: (w.start_s, w.end_s) for w in windows} == spans(now_s)


@given(st.floats(1e9, 4e9), every, st.floats(0, 1e5))
def test_the_next_span_begins_no_earlier(
    now_s: float, window: Calendar | Rolling, later_s: float
) -> None:
    span, later = span_at(window, now_s), span_at(window, now_s + later_s)
    if now_s + later_s < span.until_s:
        assert later == span
    else:
        assert later.start_s > span.start_s
