"""The page of money: figures of an overview's rows, and what it says."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.money import figures
from cluster.money.page import page
from cluster.plots.page import WIDE
from reception.money.overview import over_time
from reception.money.reports import Line, together
from reception.money.windows import Calendar, window_at
from tests.unit.cluster.svg import check_alone, check_room, polylines, texts
from tests.unit.cluster.svg import figures as figures_in

ZONE = "Europe/Berlin"
BERLIN = ZoneInfo(ZONE)
NOON_S = datetime(2026, 11, 24, 12, tzinfo=BERLIN).timestamp()
DAY_S = 86_400
EVIL = "<script>alert('x')</script>&\"'"
LINE = Line(
    calls=4, ended=3, completed=2, talk_ms=180_000, cost_micros=900_000, ended_micros=600_000,
    responses=9, input_text=900, input_audio=100, cached_text=400, cached_audio=100,
    transcriptions=2, transcribed_ms=90_000, transcription_input=70, transcription_output=7,
    transcription_micros=60_000, saved_micros=70_000,
)  # fmt: skip
FIGURES = (
    figures.spending, figures.per_minute, figures.per_completed, figures.cache, figures.saved,
    figures.calls, figures.limits,
)  # fmt: skip


def overview(
    days: int = 3, by: str = "day", owners: tuple[str, ...] = ("front",), step_s: int = DAY_S
) -> dict[str, Any]:
    """As the cost singleton gives it, of so many hours or days with calls."""
    slots = [NOON_S - step_s * n for n in range(days)]
    split = {
        "parts": [(at, part, 100_000 * n) for at in slots
                  for n, part in enumerate(("audio_out", "cached", "text_in"), 1)],
        "profiles": [(at, owner, 10_000 * (n + 1)) for at in slots
                     for n, owner in enumerate(owners)],
        "tenants": [(at, "acme", 900_000) for at in slots],
        "saved": [(at, "phrases", 70_000) for at in slots],
    }  # fmt: skip
    lines = [(at, LINE) for at in slots]
    total = together(line for _, line in lines)
    return {
        "by": by, "since": "2026-11-01T00:00:00Z", "until": "2026-11-24T12:00:00Z", "zone": ZONE,
        "at_s": NOON_S, "starts_at_s": window_at(Calendar(by, ZONE), NOON_S - 20 * step_s).start_s,
        "ends_at_s": window_at(Calendar(by, ZONE), NOON_S).end_s,
        "rows": over_time(lines, split, by, ZONE, BERLIN), "total": total.plain(),
        "top": {kind: {"rows": [{kind: name} | LINE.plain() for name in owners] if days else [],
                       "left_out": 0} for kind in ("tenant", "number", "profile")}
               | {"call": {"rows": [], "left_out": 0}},
        "limits": [], "limits_left_out": 0, "forecasts": {},
    }  # fmt: skip


def limited(**forecast: Any) -> dict[str, Any]:
    """With a limit of a day: $8 of $10 spent, $1 held."""
    windows = [{
        "window": "day", "posted_micros": 8_000_000, "limit_micros": 10_000_000,
        "expected_micros": 9_500_000, "low_micros": 9_000_000,
        "high_micros": 11_000_000, "hit_at_s": None, "hit_earliest_s": None,
    } | forecast]  # fmt: skip
    limit = {
        "scope": "tenant:*", "of": "tenant:acme", "window": "day", "posted_micros": 8_000_000,
        "held_micros": 1_000_000, "limit_micros": 10_000_000, "left_micros": 1_000_000,
        "percent": 90.0,
    }  # fmt: skip
    return overview() | {"limits": [limit], "forecasts": {"tenant:acme": {"windows": windows}}}


# ------------------------------------------------------------------ figures


@pytest.mark.parametrize("whole", [400, WIDE])
@pytest.mark.parametrize("days", [0, 1, 2, 20])
@pytest.mark.parametrize("by", ["hour", "day"])
def test_every_figure_has_room_for_what_it_says(by: str, days: int, whole: int) -> None:
    found = overview(days, by, step_s=3_600 if by == "hour" else DAY_S)
    for draw in FIGURES:
        check_room(draw(found, whole))
    for what in ("profiles", "tenants"):
        check_room(figures.by_owner(found, what, whole))


def test_spending_is_split_by_kind_and_told_when_pointed_at() -> None:
    svg = figures.spending(overview())
    assert {"audio out", "cached input", "text in", "24 Nov", "$0.60"} <= set(texts(svg))
    assert "audio in" not in texts(svg)
    assert ("<title>2026-11-24: $0.6000\ncached input $0.2000\ntext in $0.3000\naudio out $0.1000"
            "</title>") in svg  # fmt: skip


def test_the_dearest_owners_are_apart_and_the_others_together() -> None:
    svg = figures.by_owner(overview(owners=tuple(f"p{n}" for n in range(9))), "profiles")
    shown = [each for each in texts(svg) if each.startswith("p") or "others" in each]
    assert shown == ["p8", "p7", "p6", "p5", "p4", "p3", "3 others"]
    assert "3 others $0.0600" in svg
    assert "front" in texts(figures.by_owner(overview(), "profiles"))
    assert "others" not in "".join(texts(figures.by_owner(overview(owners=("", "b")), "profiles")))
    assert "-" in texts(figures.by_owner(overview(owners=("", "b")), "profiles"))


def test_a_line_ends_where_no_calls_began() -> None:
    found = overview(5)
    del found["rows"][1]
    found["rows"][-1]["cache_percent"] = None
    svg = figures.cache(found)
    assert [len(line) for line in polylines(svg)] == [2]
    assert svg.count("<circle") == 1
    assert [len(line) for line in polylines(figures.per_minute(found))] == [3]


def test_one_call_is_a_point_and_a_bar() -> None:
    found = overview(1)
    assert figures.per_minute(found).count("<circle") == 1
    assert figures.spending(found).count("<path") == 3
    svg = figures.calls(found)
    assert {"completed", "ended otherwise", "going on"} <= set(texts(svg))
    assert "2026-11-24: 4 calls\ncompleted 2\nended otherwise 1\ngoing on 1" in svg


def test_nothing_is_said_to_be_nothing() -> None:
    for draw in FIGURES[:-1]:
        assert "nothing in this time" in texts(draw(overview(0)))
    assert "there are none" in texts(figures.limits(overview(0)))


# ------------------------------------------------------------------ limits


@pytest.mark.parametrize(
    ("forecast", "words"),
    [
        ({}, ["at its end $9.50 ($9.00 to $11.00)"]),
        ({"hit_at_s": NOON_S + 3_600, "hit_earliest_s": NOON_S},
         ["at its end $9.50 ($9.00 to $11.00)", "limit will be hit Tue 24 Nov 13:00"]),
        ({"posted_micros": 10_000_000, "hit_at_s": NOON_S, "hit_earliest_s": NOON_S},
         ["at its end $9.50 ($9.00 to $11.00)", "limit is hit"]),
        ({"hit_earliest_s": NOON_S},
         ["at its end $9.50 ($9.00 to $11.00)", "limit may be hit from Tue 24 Nov 12:00"]),
        ({"expected_micros": None, "low_micros": None, "high_micros": None}, []),
        ({"window": "week"}, []),
    ],
)  # fmt: skip
def test_a_limit_says_how_it_stands_and_what_it_comes_to(
    forecast: dict[str, Any], words: list[str]
) -> None:
    for whole in (400, WIDE):
        svg = figures.limits(limited(**forecast), whole)
        said = texts(svg)
        assert said[said.index("tenant:acme") + 1 :] == ["day", "$8.00 + $1.00 of $10.00, 90 %",
                                                         *words]  # fmt: skip
        assert ("circle" in svg) == bool(words)
        check_room(svg)


def test_a_rolling_window_says_for_when_it_is_foreseen() -> None:
    found = limited(window="rolling-month")
    found["limits"][0]["window"] = "rolling-month"
    for whole in (400, WIDE):
        svg = figures.limits(found, whole)
        assert texts(svg)[-1] == "in 30 days $9.50 ($9.00 to $11.00)"
        check_room(svg)


def test_a_limit_of_nothing_is_full() -> None:
    found = limited(expected_micros=None)
    found["limits"][0] |= {"posted_micros": 0, "held_micros": 0, "limit_micros": 0,
                           "percent": 100.0}  # fmt: skip
    svg = figures.limits(found)
    assert "$0.00 of $0.00, 100 %" in texts(svg)
    assert 'class="full"' in svg


# ------------------------------------------------------------------ the page


@pytest.mark.parametrize("found", [overview(), overview(0), overview(1, "hour"), limited()])
def test_the_page_needs_nothing_else(found: dict[str, Any]) -> None:
    html = page(found)
    check_alone(html)
    assert "prefers-color-scheme: dark" in html
    assert len(figures_in(html)) == 11
    assert "default-src 'none'" in html


def test_what_is_near_or_will_be_hit_is_said_first() -> None:
    calm = limited()
    calm["limits"][0]["percent"] = 69.9
    for found in (overview(), calm):
        assert "No limit is near." in check_alone(page(found)).text
    near = page(limited())
    assert '<li class="warn">tenant:acme, day: 90 % of $10.00 spent or held</li>' in near
    hit = limited(hit_at_s=NOON_S)
    hit["limits"][0]["percent"] = 10.0
    assert ('<li class="bad">tenant:acme, day: 10 % of $10.00 spent or held, will be hit '
            "Tue 24 Nov 12:00</li>") in page(hit)  # fmt: skip
    assert "3 limits of other scopes" in page(limited() | {"limits_left_out": 3})


def test_totals_and_tables() -> None:
    found = overview(1, owners=("acme", ""))
    found["top"]["tenant"]["left_out"] = 1_200
    found["top"]["call"]["rows"] = [
        {"call_id": "c1", "session_id": "s1", "tenant": "acme", "key_id": "k", "number": "tel:+1",
         "profile": "", "provider": "openai", "model": "m", "began": "2026-11-24T09:30:00Z",
         "end_reason": ""} | LINE.plain()
    ]  # fmt: skip
    said = check_alone(page(found)).text
    assert "$0.9000spent" in said
    assert "$0.2000a minute" in said
    assert "50 %input cached" in said
    assert "Calls that began 2026-11-01 01:00 to 2026-11-24 13:00" in said
    assert "acme$0.9000$0.0700423.0$0.2000$0.300050%$0.0600771.5" in said
    assert "cachedtranscr.tokenstranscr. min" in said
    assert "1,200 more." in said
    assert "c12026-11-24 10:30acmetel:+1-live$0.90003.0" in said


def _named(name: str) -> dict[str, Any]:
    """An overview in which everything that somebody else names has this name."""
    found = overview(2, owners=(name, "b"))
    for limit in (limits := limited()["limits"]):
        limit["of"] = f"tenant:{name}"
    call = dict.fromkeys(("call_id", "tenant", "number", "profile", "end_reason"), name)
    found["top"]["call"]["rows"] = [call | {"began": "2026-11-24T09:30:00Z"} | LINE.plain()]
    return found | {"limits": limits}


def test_names_that_others_gave_are_text() -> None:
    html = page(_named(EVIL))
    found = check_alone(html)
    assert "<script" not in html
    assert found.text.count(EVIL) >= 10
    assert f"tenant:{EVIL}, day: 90 %" in found.text


@settings(max_examples=10)  # each is a whole page
@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn"]), max_size=60))
def test_any_name_has_its_place(name: str) -> None:
    check_alone(page(_named(name)))
