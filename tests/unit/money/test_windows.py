"""Budget windows: calendar bounds and what is left in them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.money.windows import (
    SLOT_S,
    WINDOWS,
    Budget,
    Window,
    room,
    slot_of,
    windows_at,
    zone_of,
)

BERLIN = ZoneInfo("Europe/Berlin")
KATHMANDU = ZoneInfo("Asia/Kathmandu")


def at(*when: int, zone: ZoneInfo = BERLIN) -> float:
    return datetime(*when, tzinfo=zone).timestamp()  # type: ignore[arg-type, misc]


def spans(now_s: float, zone: ZoneInfo = BERLIN) -> dict[str, tuple[float, float]]:
    return {w.name: (w.start_s, w.end_s) for w in windows_at(now_s, zone)}


def test_windows_of_a_tuesday_evening() -> None:
    assert spans(at(2026, 11, 24, 22, 41, 7)) == {
        "hour": (at(2026, 11, 24, 22), at(2026, 11, 24, 23)),
        "day": (at(2026, 11, 24), at(2026, 11, 25)),
        "week": (at(2026, 11, 23), at(2026, 11, 30)),
        "month": (at(2026, 11, 1), at(2026, 12, 1)),
    }


def test_a_month_at_the_end_of_the_year() -> None:
    assert spans(at(2026, 12, 31, 23, 59))["month"] == (at(2026, 12, 1), at(2027, 1, 1))


@pytest.mark.parametrize(("month", "day", "hours"), [(3, 29, 23), (10, 25, 25)])
def test_days_of_the_change_of_clocks(month: int, day: int, hours: int) -> None:
    start_s, end_s = spans(at(2026, month, day, 12))["day"]
    assert end_s - start_s == hours * 3_600


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    first_s = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    second_s = first_s + 3_600
    assert datetime.fromtimestamp(first_s, BERLIN).hour == 2
    assert datetime.fromtimestamp(second_s, BERLIN).hour == 2
    assert spans(first_s)["hour"][1] == spans(second_s)["hour"][0]


def test_a_zone_of_a_quarter_hour() -> None:
    start_s, _ = spans(at(2026, 11, 24, 10, 20, zone=KATHMANDU), KATHMANDU)["hour"]
    assert start_s == at(2026, 11, 24, 10, zone=KATHMANDU)


zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe",
     "America/New_York", "Pacific/Apia"]
)  # fmt: skip


@given(st.floats(1e9, 4e9), zones)
def test_every_window_holds_its_moment_and_is_whole_slots(now_s: float, name: str) -> None:
    windows = windows_at(now_s, zone_of(name))
    assert tuple(window.name for window in windows) == WINDOWS
    for window in windows:
        assert window.start_s <= now_s < window.end_s
        assert window.start_s % SLOT_S == window.end_s % SLOT_S == 0
        assert slot_of(now_s) >= window.start_s


def budget(name: str, end_s: float, limit: int, posted: int) -> Budget:
    return Budget(Window(name, 0.0, end_s), limit, posted)


HOUR = budget("hour", 3_600.0, 100, 40)
DAY = budget("day", 86_400.0, 500, 470)


def test_the_tightest_window_decides() -> None:
    free = room((HOUR, DAY), held_micros=10, want_micros=20, now_s=600.0)
    assert (free.micros, free.window, free.retry_after_s) == (20, "day", 0.0)


def test_too_little_because_of_holds_may_change_soon() -> None:
    free = room((HOUR, DAY), held_micros=10, want_micros=21, now_s=600.0)
    assert (free.micros, free.retry_after_s) == (20, 5.0)


def test_too_little_because_it_is_spent_lasts_until_the_window_ends() -> None:
    free = room((HOUR, DAY), held_micros=0, want_micros=31, now_s=600.0)
    assert free.retry_after_s == 85_800.0
    both = room((HOUR, DAY), held_micros=0, want_micros=61, now_s=600.0)
    assert both.retry_after_s == 85_800.0


def test_room_is_never_negative() -> None:
    assert room((HOUR, DAY), held_micros=1_000, want_micros=1, now_s=0.0).micros == 0
