"""What is shown at a glance: parts of what was spent, rows over time, the nearest limits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.money.case import ADJUSTMENT, RESPONSE, TRANSCRIPTION
from reception.money.overview import (
    MAX_SCOPES,
    PARTS,
    check,
    nearest,
    over_time,
    parts_of,
    to_foresee,
)
from reception.money.prices import ModelPrice, TokenPrice
from reception.money.reports import DAY_S, Line
from reception.provider.base import Usage

BERLIN = ZoneInfo("Europe/Berlin")
NOON_S = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
PRICE = ModelPrice(0.0, TokenPrice(4_000_000, 400_000, 24_000_000),
                   TokenPrice(32_000_000, 400_000, 64_000_000),
                   TokenPrice(5_000_000, 500_000))  # fmt: skip
USED = Usage(
    input_text=100, input_audio=50, cached_text=60, cached_audio=10, output_text=5, output_audio=20
)

# ------------------------------------------------------------------ parts


def test_an_answers_cost_is_shared_out_by_its_prices() -> None:
    whole = 20 * 64 + 40 * 32 + 5 * 24 + 40 * 4 + 28
    assert parts_of(RESPONSE, USED, PRICE, whole) == {
        "audio_out": 20 * 64, "audio_in": 40 * 32, "text_out": 5 * 24, "text_in": 40 * 4,
        "cached": 28,
    }  # fmt: skip


def test_images_are_a_part_of_their_own() -> None:
    used = Usage(input_text=100, input_image=50, cached_image=20)
    assert parts_of(RESPONSE, used, PRICE, 400 + 150 + 10) == {
        "text_in": 400, "image_in": 150, "cached": 10,
    }  # fmt: skip


@given(
    st.builds(Usage, *[st.integers(0, 10**6)] * 8).filter(
        lambda u: (
            u.cached_text <= u.input_text
            and u.cached_audio <= u.input_audio
            and u.cached_image <= u.input_image
        )
    ),
    st.integers(0, 10**12),
)
def test_parts_add_up_and_none_is_below_0(usage: Usage, micros: int) -> None:
    parts = parts_of(RESPONSE, usage, PRICE, micros)
    assert sum(parts.values()) == micros
    assert set(parts) <= set(PARTS)
    assert all(part >= 0 for part in parts.values())


@pytest.mark.parametrize(
    ("kind", "usage", "price", "part"),
    [
        (TRANSCRIPTION, Usage(), PRICE, "transcription"),
        (ADJUSTMENT, USED, PRICE, "correction"),
        (RESPONSE, USED, None, "other"),
        (RESPONSE, Usage(), PRICE, "other"),
    ],
)
def test_what_is_of_one_kind(kind: str, usage: Usage, price: ModelPrice | None, part: str) -> None:
    assert parts_of(kind, usage, price, -7) == {part: -7}


# ------------------------------------------------------------------ rows


def test_rows_are_of_the_zones_days_with_what_they_are_split_into() -> None:
    midnight_s = NOON_S - 13 * 3_600
    lines = [(midnight_s + 900, Line(calls=2)), (midnight_s - 900, Line(calls=1)),
             (midnight_s, Line(calls=4))]  # fmt: skip
    parts = [(midnight_s, "audio_in", 5), (midnight_s + 900, "audio_in", 6),
             (midnight_s + 900, "cached", 1)]  # fmt: skip
    before, day = over_time(lines, {"parts": parts}, "day", "Europe/Berlin", BERLIN)
    assert (before["day"], before["calls"], before["parts"]) == ("2026-11-23", 1, {})
    assert (day["day"], day["calls"]) == ("2026-11-24", 6)
    assert day["parts"] == {"audio_in": 11, "cached": 1}
    assert (day["starts_at_s"], day["ends_at_s"]) == (midnight_s, midnight_s + DAY_S)
    assert day["micros_per_minute"] is None


def test_nothing_has_no_rows() -> None:
    assert over_time([], {"parts": []}, "hour", "UTC", UTC) == []


def test_what_a_page_can_not_be_over() -> None:
    check("hour", 0.0, 31.0 * DAY_S)
    check("day", 0.0, 400.0 * DAY_S)
    for by, days, text in (
        ("tenant", 1, "by is 'tenant': must be hour or day"),
        ("hour", 32, "by is 'hour': must be day for more than 31 days"),
    ):
        with pytest.raises(InvalidRequest, match=text) as caught:
            check(by, 0.0, float(days * DAY_S))
        assert caught.value.field == "by"


# ------------------------------------------------------------------ limits


def limit(scope: str, window: str, percent: float, **more: Any) -> dict[str, Any]:
    return {"scope": scope, "window": window, "percent": percent, "posted_micros": 1} | more


def test_the_nearest_scopes_come_after_the_whole_each_with_all_its_windows() -> None:
    found = [
        limit("tenant:a", "month", 10.0), limit("tenant:b", "day", 95.0),
        limit("tenant:a", "rolling-day", 50.0), limit("tenant:a", "hour", 0.0),
        {"scope": "tenant:a", "window": "call", "limit_micros": 5},
        limit("global", "month", 1.0), limit("tenant:*", "day", 60.0, of="tenant:c"),
    ]  # fmt: skip
    shown, left_out = nearest(found)
    assert [(each.get("of", each["scope"]), each["window"]) for each in shown] == [
        ("global", "month"), ("tenant:b", "day"), ("tenant:c", "day"), ("tenant:a", "hour"),
        ("tenant:a", "month"), ("tenant:a", "rolling-day"),
    ]  # fmt: skip
    assert left_out == 0
    assert to_foresee(shown, 3) == ["global", "tenant:b", "tenant:c"]
    assert to_foresee([limit("x", "rolling-day", 1.0), limit("y", "call", 1.0)], 3) == ["x"]


def test_scopes_that_are_far_from_their_limits_are_left_out_and_counted() -> None:
    found = [limit(f"tenant:{n}", "day", float(n)) for n in range(MAX_SCOPES + 5)]
    shown, left_out = nearest(found)
    assert (len(shown), left_out) == (MAX_SCOPES - 1, 6)
    assert shown[0]["scope"] == f"tenant:{MAX_SCOPES + 4}"
    assert nearest([]) == ([], 0)
