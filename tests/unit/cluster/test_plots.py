"""Figures: what is drawn where, what is written, and that nothing overlaps."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.load.histogram import Histogram
from cluster.plots import axes
from cluster.plots.axes import numbers, times, upto
from cluster.plots.figures import Column, bars, curves, lines, over_time, stacked
from cluster.plots.gauges import Gauge, gauges
from cluster.plots.page import WIDE, alone, both, document, table
from cluster.plots.words import cut, dollars, percent, short, usd, width
from tests.unit.cluster.svg import boxes, check_alone, check_room, parsed, polylines, texts

BERLIN = ZoneInfo("Europe/Berlin")
DAY_S = 86_400
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn"]), max_size=40)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (None, ""), (0, "$0.00"), (50, "$0.0001"), (49_700, "$0.0497"), (1_000_000, "$1.00"),
        (-20_000, "-$0.0200"), (-1, "$0.0000"), (9_999_990_000, "$9,999.99"),
        (12_345_600_000, "$12,346"), (10**13, "$10,000,000"),
    ],
)  # fmt: skip
def test_money_is_written_as_people_read_it(micros: int | None, shown: str) -> None:
    assert usd(micros) == shown


def test_money_beside_more_of_it_has_its_digits() -> None:
    assert [usd(each, 5_000_000) for each in (190_000, -4_000)] == ["$0.19", "$0.00"]
    assert usd(5_000, 900_000) == "$0.0050"


@pytest.mark.parametrize(
    ("value", "step", "shown"),
    [
        (0, 5, "$0"), (1.5, 0.5, "$1.50"), (0.002, 0.001, "$0.002"), (-2, 2, "-$2"),
        (9_000, 500, "$9,000"), (12_500, 2_500, "$12.5k"), (2_000, 2_000, "$2k"),
        (2_500_000, 500_000, "$2.5M"), (3e9, 1e9, "$3B"),
    ],
)  # fmt: skip
def test_ticks_of_money_have_the_digits_of_their_step(
    value: float, step: float, shown: str
) -> None:
    assert dollars(value, step) == shown


def test_other_ticks() -> None:
    assert [short(each, 1) for each in (0.5, 9_999, 20_000)] == ["0.5", "9999", "20,000"]
    assert percent(20, 20) == "20 %"


@given(NAMES, st.floats(0, 300))
def test_a_cut_name_has_room(name: str, px: float) -> None:
    shown = cut(name, px)
    assert width(shown) <= px
    assert shown in (name, "") or (shown[-1] == "…" and name.startswith(shown[:-1]))


# ---------------------------------------------------------------- axes


@given(st.lists(st.floats(-1e9, 1e9), max_size=20), st.sampled_from([0.0, 1.0]))
def test_a_vertical_axis_holds_all_values_and_0_with_few_round_ticks(
    values: list[float], least_step: float
) -> None:
    axis = numbers(values, least_step=least_step)
    assert all(-1e-6 <= axis.at(value) <= 1 + 1e-6 for value in [0.0, *values])
    assert 1 <= len(axis.ticks) <= 8
    assert all(-1e-6 <= axis.at(value) <= 1 + 1e-6 for value, _ in axis.ticks)
    assert 0 in [value for value, _ in axis.ticks]


def test_ticks_of_an_axis() -> None:
    assert [label for _, label in numbers([7.3]).ticks] == ["0", "2", "4", "6", "8"]
    assert [value for value, _ in numbers([3, -2]).ticks] == [-2, -1, 0, 1, 2, 3]
    assert [value for value, _ in numbers([10, -0.1]).ticks] == [0, 2, 4, 6, 8, 10]
    assert [value for value, _ in numbers([1], least_step=1).ticks] == [0, 1]
    assert [value for value, _ in numbers([0]).ticks] == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert [label for _, label in numbers([7], percent, most=100).ticks][-1] == "100 %"
    assert [label for _, label in upto(0, "s").ticks][-1] == "1"


@pytest.mark.parametrize(
    ("since", "until", "by_day", "labels"),
    [
        ("2026-11-24", "2026-11-24T06:00", False,
         ["24 Nov", "01:00", "02:00", "03:00", "04:00", "05:00"]),
        ("2026-11-23T12:00", "2026-11-24T12:00", False, ["12:00", "18:00", "24 Nov", "06:00"]),
        ("2026-11-23T12:00", "2026-11-25T12:00", False, ["12:00", "24 Nov", "12:00", "25 Nov"]),
        ("2026-11-23", "2026-11-27", True, ["23 Nov", "24 Nov", "25 Nov", "26 Nov"]),
        ("2026-11-01", "2026-12-01", True, ["2 Nov", "9 Nov", "16 Nov", "23 Nov", "30 Nov"]),
        ("2026-06-20", "2026-12-01", True, ["1 Jul", "1 Aug", "1 Sep", "1 Oct", "1 Nov"]),
        ("2025-11-20", "2026-12-01", True, ["Jan 2026", "Apr 2026", "Jul 2026", "Oct 2026"]),
    ],
)  # fmt: skip
def test_times_have_as_many_ticks_as_there_is_room(
    since: str, until: str, by_day: bool, labels: list[str]
) -> None:
    axis = times(at(since), at(until), BERLIN, 400, by_day=by_day)
    assert [label for _, label in axis.ticks] == labels
    assert axis.name == "Europe/Berlin"


def test_ticks_keep_to_the_clock_when_it_is_changed() -> None:
    """25 October 2026 has 25 hours in Berlin."""
    axis = times(at("2026-10-24T12:00"), at("2026-10-26T00:00"), BERLIN, 300)
    assert [label for _, label in axis.ticks] == ["12:00", "25 Oct", "12:00"]
    hours = [(later - earlier) / 3_600 for (earlier, _), (later, _) in
             zip(axis.ticks, axis.ticks[1:], strict=False)]  # fmt: skip
    assert hours == [12, 13]
    axis = times(at("2026-10-23"), at("2026-10-26"), BERLIN, 300, by_day=True)
    middle = [datetime.fromtimestamp(each, BERLIN) for each, _ in axis.ticks]
    assert [(each.day, each.hour) for each in middle] == [(23, 12), (24, 12), (25, 11)]


def test_no_room_is_no_tick() -> None:
    assert len(times(at("2025-11-20"), at("2026-12-01"), BERLIN, 90).ticks) <= 1
    assert times(0.0, 0.0, UTC, 100).name == "UTC"


# ---------------------------------------------------------------- lines


def test_lines_lie_where_their_values_are() -> None:
    svg = lines("t", [("a", [(0, 0), (5, 10), (10, 5)])], "s", "ms")
    assert polylines(svg) == [[(30.0, 193.0), (209.0, 30.0), (388.0, 111.5)]]
    assert texts(svg)[0] == "tms"
    check_room(svg)
    svg = lines("t", [("a", [(0, 0.0)])], "s", "ms")
    assert polylines(svg) == []
    [point] = parsed(svg).iter("{http://www.w3.org/2000/svg}circle")
    assert (point.attrib["cx"], point.attrib["cy"]) == ("31.8", "193.0")


def test_a_legend_names_more_than_one_and_takes_the_lines_it_needs() -> None:
    one = lines("t", [("a", [(0, 1), (1, 2)]), ("b", [])], "s", "ms")
    assert "a" not in texts(one)
    many = lines("t", [(f"series {n}", [(0, n), (1, 2)]) for n in range(11)], "s", "ms")
    assert [each for each in texts(many) if each.startswith("series")] == [
        f"series {n}" for n in range(11)
    ]
    check_room(many)


def test_ticks_without_room_say_nothing() -> None:
    svg = lines("t", [("a", [(0, 1), (6_000, 2)])], "s", "ms", size=(130, 150))
    check_room(svg)
    assert [each for each in texts(svg) if each.endswith("000")] == ["2000", "5000"]


def test_marks_lie_where_something_happened() -> None:
    svg = lines("t", [("a", [(0, 0), (10, 5)])], "s", "ms", marks=[(5, "stop <it>"), (20, "late")])
    assert "stop <it>" in texts(svg)
    assert "late" not in texts(svg)
    [mark] = [each for each in parsed(svg).iter("{http://www.w3.org/2000/svg}line")
              if each.attrib["class"] == "mark"]  # fmt: skip
    assert mark.attrib["x1"] == "209.0"
    check_room(lines("t", [("a", [(0, 0), (10, 5)])], "s", "ms", marks=[(9.9, "at the end")]))


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=50))
def test_curves_stay_in_their_frame_and_rise(values: list[float]) -> None:
    made = Histogram()
    for value in values:
        made.add(value)
    svg = curves("t", [("a", made.curve())])
    check_room(svg)
    for line in polylines(svg):
        assert all(30 <= x <= 388 and 30 - 0.1 <= y <= 193.1 for x, y in line)
        assert line == sorted(line, key=lambda point: point[0])
        assert [y for _, y in line] == sorted((y for _, y in line), reverse=True)


def test_a_line_over_time_has_gaps() -> None:
    x = times(0.0, 10.0 * DAY_S, UTC, 300, by_day=True)
    points = [(DAY_S * n, None if n in (2, 4) else float(n)) for n in range(7)]
    svg = over_time("t", [("a", points)], x, written=dollars)
    assert [len(line) for line in polylines(svg)] == [2, 2]
    assert svg.count("<circle") == 1
    check_room(svg)
    assert "nothing in this time" in texts(over_time("t", [("a", [(0.0, None)])], x))


# ---------------------------------------------------------------- bars


def test_bars_over_time_stand_on_each_other_and_hang_from_0() -> None:
    x = times(0.0, 4.0 * DAY_S, UTC, 300, by_day=True)
    columns = [
        Column(0.0, DAY_S, {"a": 3.0, "b": 1.0}, "day <1>: $4"),
        Column(DAY_S, 2.0 * DAY_S, {"b": 2.0, "c": -1.0}),
    ]
    svg = stacked("t", [("a", "A"), ("b", "B"), ("c", "C"), ("d", "D")], columns, x, "US dollars")
    paths = {each.attrib["class"]: each.attrib["d"] for each in
             parsed(svg).iter("{http://www.w3.org/2000/svg}path")}  # fmt: skip
    ticks = {text: y for text, y in _heights(svg).items() if text in ("-1", "0", "1", "2", "3")}
    assert list(paths) == ["c0", "c1", "c2"]
    ends = {
        kind: [tuple(map(float, each.split("h")[0].split(" ")[1].split("V")))
               for each in path.split("M")[1:]]
        for kind, path in paths.items()
    }  # fmt: skip
    per = ticks["0"] - ticks["1"]
    assert ends["c0"] == [(ticks["0"], ticks["3"])]
    assert ends["c1"] == [(ticks["3"], ticks["3"] - per), (ticks["0"], ticks["2"])]
    assert ends["c2"] == [(ticks["0"], ticks["-1"])]
    assert [each for each in texts(svg) if each in "ABCD"] == ["A", "B", "C"]
    assert "<title>day &lt;1&gt;: $4</title>" in svg
    check_room(svg)


def _heights(svg: str) -> dict[str, float]:
    """Of what is written, where its tick lies."""
    return {"".join(each.itertext()): float(each.attrib["y"]) - 4
            for each in parsed(svg).iter("{http://www.w3.org/2000/svg}text")}  # fmt: skip


def test_narrow_bars_have_no_room_between() -> None:
    x = times(0.0, 200.0 * DAY_S, UTC, 300, by_day=True)
    svg = stacked("t", [("a", "A")], [Column(0.0, DAY_S, {"a": 1.0})], x)
    [path] = parsed(svg).iter("{http://www.w3.org/2000/svg}path")
    assert "h1.8" in path.attrib["d"]
    assert "nothing in this time" in texts(stacked("t", [("a", "A")], [], x))


def test_bars_are_as_long_as_their_values() -> None:
    svg = bars("t", [("a<", 10), ("b", 5), ("none", 0), ("much", 12_000)], "%")
    widths = [wide for _, _, wide, _ in boxes(svg, "c0")]
    assert widths[1:] == [1.0, pytest.approx(widths[2])]
    small = bars("t", [("a<", 10), ("b", 5)], "%")
    first, second = (wide for _, _, wide, _ in boxes(small, "c0"))
    assert first == pytest.approx(2 * second, abs=0.2)
    assert "a<" in texts(small)
    assert "12,000 %" in texts(svg)


@given(NAMES, st.floats(0.1, 1e9), st.floats(0.1, 1e9))
def test_bars_have_room_for_any_name(name: str, one: float, two: float) -> None:
    check_room(bars("t", [(name, one), ("b", two)], "MB"))


def test_nothing_to_plot_is_no_plot() -> None:
    assert lines("t", [("a", [])], "s", "ms") == curves("t", []) == bars("t", [], "") == ""


# ---------------------------------------------------------------- gauges


def _gauge(**changes: object) -> Gauge:
    known: dict[str, object] = {"name": "day", "solid": 50.0, "light": 10.0, "amounts": "$5 of $10"}
    return Gauge(**(known | changes))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("whole", [400, WIDE])
def test_a_gauge_is_as_full_as_it_says(whole: int) -> None:
    svg = gauges("Limits", [("global", [_gauge()])], whole=whole)
    [(x, _, track, _)] = boxes(svg, "track")
    [(solid_x, _, solid, _)] = boxes(svg, "calm")
    [(held_x, _, held, _)] = boxes(svg, "calm held")
    assert [solid_x, held_x] == pytest.approx([x, x + solid], abs=0.1)
    assert [solid, held] == pytest.approx([track / 2, track / 10], abs=0.1)
    marks = [float(each.attrib["x1"]) for each in parsed(svg).iter("{http://www.w3.org/2000/svg}line")
             if each.attrib["class"] in ("level", "limit")]  # fmt: skip
    assert marks == pytest.approx([x + track * each for each in (0.7, 0.9, 0.95, 1.0)], abs=0.1)
    check_room(svg)


@pytest.mark.parametrize(
    ("solid", "light", "kind"),
    [(69.9, 0, "calm"), (60, 10, "near"), (94.9, 0, "near"), (90, 5, "full"), (400, 0, "full")],
)
def test_a_gauge_says_how_near_it_is(solid: float, light: float, kind: str) -> None:
    svg = gauges("Limits", [("global", [_gauge(solid=solid, light=light)])])
    [(x, _, wide, _)] = boxes(svg, kind)
    assert x + wide <= 388.1
    assert ("▸" in texts(svg)) == (solid == 400)


def test_what_is_foreseen_lies_on_the_same_scale() -> None:
    words = [("at its end $12", False), ("limit will be hit soon", True)]
    for whole in (400, WIDE):
        svg = gauges("Limits", [("g", [_gauge(foreseen=(90.0, 100.0, 120.0), words=words)])],
                     whole=whole)  # fmt: skip
        [(x, _, track, _)] = boxes(svg, "track")
        [dot] = parsed(svg).iter("{http://www.w3.org/2000/svg}circle")
        assert float(dot.attrib["cx"]) == pytest.approx(x + track, abs=0.1)
        drawn = [each.attrib for each in parsed(svg).iter("{http://www.w3.org/2000/svg}line")
                 if each.attrib["class"] == "foreseen"]  # fmt: skip
        ends = {float(each[name]) for each in drawn for name in ("x1", "x2")}
        assert sorted(ends) == pytest.approx([x + 0.9 * track, x + 1.2 * track], abs=0.1)
        assert {"at its end $12", "limit will be hit soon"} <= set(texts(svg))
        assert 'class="bad">limit' in svg
        check_room(svg)


@given(NAMES, NAMES, st.sampled_from([400, WIDE]))
def test_gauges_have_room_for_any_name(group: str, name: str, whole: int) -> None:
    amounts = "$9,999,999 + $1,000,000 of $10,000,000, 110 %"
    check_room(gauges("Limits", [(group, [_gauge(name=name, amounts=amounts)] * 2)], whole=whole))


def test_no_gauges_are_said() -> None:
    assert texts(gauges("Limits", [])) == ["Limits", "there are none"]


# ---------------------------------------------------------------- pages


def test_a_page_is_whole_and_says_what_it_is_given_as_text() -> None:
    html = document("a <b>", [table(("x", "y"), [("<i>", 5)], words=()), both(_figure)], ".x {}")
    found = check_alone(html)
    assert "<i>" in found.text
    assert "words" not in html.split("</style>")[1]
    assert found.seen.count("svg") == 2
    assert 'viewBox="0 0 816 ' in html
    assert "<title>a &lt;b&gt;</title>" in html


def _figure(whole: int) -> str:
    return lines("t", [("a", [(0, 1), (1, 2)])], "s", "ms", size=(whole, 200))


def test_a_figure_as_a_file_brings_its_style() -> None:
    svg = alone(lines("t <x>", [("a", [(0, 1), (1, 2)])], "s", "ms"))
    root = parsed(svg)
    style = root.find("{http://www.w3.org/2000/svg}style")
    assert style is not None
    assert "--c0" in (style.text or "")
    assert root.findtext("{http://www.w3.org/2000/svg}title") == "t <x>"


def test_percentiles_need_no_more_than_one_value() -> None:
    axis = axes.one_in([[1.0]])
    assert [label for _, label in axis.ticks] == ["0", "50", "90"]
    assert axis.at(1.0) == 1.0
