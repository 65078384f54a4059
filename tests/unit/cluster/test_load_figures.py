"""Histograms, measures, thresholds, comparison, tables and the page."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cluster.load.histogram import Histogram
from cluster.load.measures import DURATIONS, MACHINE, Measures, metric_names
from cluster.load.page import page
from cluster.load.processes import Account, Sample, kind_of
from cluster.load.report import compare, histogram, report_of
from cluster.load.table import changes_table, figure, tables
from cluster.load.thresholds import parse_threshold
from reception.errors import InvalidRequest
from tests.unit.cluster.svg import check_alone

ABOUT = {
    "began_at": "2026-11-25 00:00:00",
    "machine": {"cores": 2},
    "plan": {"scenario": "<b>&x", "step_s": 1.0},
}
MB = 1024 * 1024


def _histogram(values):
    made = Histogram()
    for value in values:
        made.add(value)
    return made


# ---------------------------------------------------------------- histograms


@given(st.lists(st.floats(0, 1e8), min_size=1), st.floats(0.001, 100))
def test_percentiles_are_right_within_a_thousandth(values, percent):
    found = _histogram(values).percentile_ms(percent)
    ordered = sorted(values)
    rank = max(1, -(-round(percent / 100 * len(values), 9) // 1))
    true_ms = ordered[int(rank) - 1]
    assert true_ms - 0.001 <= found <= true_ms * 1.001 + 0.001
    assert found <= max(values)


@given(st.lists(st.floats(0, 1e6)), st.lists(st.floats(0, 1e6)))
def test_merging_is_as_counting_together(some, others):
    merged, together = _histogram(some), _histogram(some + others)
    merged.merge(_histogram(others))
    assert merged.plain()["buckets"] == together.plain()["buckets"]
    assert (merged.count, merged.max_ms) == (together.count, together.max_ms)
    back = Histogram.of(json.loads(json.dumps(merged.plain())))
    assert back.plain() == merged.plain()


def test_an_empty_histogram_has_no_values():
    empty = Histogram()
    assert (empty.percentile_ms(50), empty.mean_ms(), empty.curve()) == (None, None, [])
    empty.add(-5.0)  # a clock that stepped back
    assert (empty.percentile_ms(99), empty.max_ms) == (0.0, 0.0)


def test_a_curve_rises_to_all_and_is_short():
    curve = _histogram(range(1, 100_001)).curve(50)
    shares, values = zip(*curve, strict=True)
    assert shares[-1] == 1.0
    assert values[-1] == 100_000
    assert list(shares) == sorted(shares)
    assert len(curve) < 100


# ---------------------------------------------------------------- measures


def test_measures_merge_and_survive_json():
    one, two = Measures(), Measures()
    for measures, setup_ms, live in ((one, 5.0, 2), (two, 9.0, 3)):
        measures.took("setup", setup_ms)
        measures.counts.update(calls=2, frames_received=90, frames_lost=10)
        measures.point(4, "live", live)
        measures.point(4, "setup_max_ms", setup_ms)
        measures.ended("a", "OK", "", expected=True)
        measures.ended("b", "INTERNAL", "the worker is gone", expected=False)
        measures.driver_cpu_s = 1.5
    one.merge(Measures.of(json.loads(json.dumps(two.plain()))))
    metrics = one.metrics()
    assert metrics["setup_max_ms"] == 9.0
    assert metrics["calls"] == 4
    assert metrics["served_pct"] == 50.0
    assert metrics["loss_pct"] == 10.0
    assert metrics["unary_ok_pct"] is None
    assert metrics["barge_in_p99_ms"] is None
    assert one.series[4] == {"live": 5.0, "setup_max_ms": 9.0}
    assert one.by_caller == {"a": {"OK": 2}, "b": {"INTERNAL": 2}}
    assert one.faults == {"the worker is gone": 2}
    assert one.driver_cpu_s == 3.0
    assert set(metrics) | set(MACHINE) == set(metric_names())


def test_faults_are_bounded():
    measures = Measures()
    for number in range(200):
        measures.ended("a", "INTERNAL", f"incident {number}", expected=False)
    assert len(measures.faults) == 50
    assert measures.counts["failed"] == 200


# ---------------------------------------------------------------- thresholds


@pytest.mark.parametrize(
    ("text", "value", "breached"),
    [
        ("setup_p99_ms>25", 25.0, False),
        ("setup_p99_ms > 25", 25.1, True),
        ("setup_p99_ms>=25", 25.0, True),
        ("served_pct<100", 99.9, True),
        ("served_pct<=100", 100.0, True),
        ("hung!=0", 0, False),
        ("calls==0", 0, True),
        ("setup_p999_ms>25", None, True),
    ],
)
def test_thresholds(text, value, breached):
    threshold = parse_threshold(text, metric_names())
    told = threshold.breach({threshold.metric: value})
    assert bool(told) == breached
    assert not told or str(threshold) in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("setup_p99_ms", "write METRIC"),
        ("setup_p99_ms>", "write METRIC"),
        ("setup_p99>25", "no metric setup_p99; did you mean setup_p99_ms"),
        ("zzz>1", "there is no metric zzz"),
        ("setup_p99_ms>fast", "the bound must be a number"),
    ],
)
def test_bad_thresholds_are_told(text, told):
    with pytest.raises(InvalidRequest) as caught:
        parse_threshold(text, metric_names())
    assert told in caught.value.message


# ---------------------------------------------------------------- processes


@pytest.mark.parametrize(
    ("name", "command", "kind"),
    [
        ("ray::AudioWork", ["ray::AudioWorker.start"], "ray::AudioWorker"),
        ("ray::IDLE", ["ray::IDLE"], "ray::IDLE"),
        ("raylet", ["/x/ray/core/src/ray/raylet/raylet", "--a=b"], "raylet"),
        ("python", ["/x/bin/python", "/x/bin/reception", "serve"], "reception"),
        ("python3.11", ["python3.11", "-u", "-m", "cluster.cli", "serve"], "cluster.cli"),
        ("python", ["python", "-c"], "python"),
        ("gone", [], "gone"),
    ],
)
def test_processes_are_named_by_what_they_do(name, command, kind):
    assert kind_of(name, command) == kind


def test_cpu_and_memory_come_to_those_of_a_call():
    account = Account()
    account.look(0.0, 0, {1: Sample("door", 50.0, 100 * MB)})
    account.look(10.0, 4, {1: Sample("door", 51.0), 2: Sample("worker", 1.0)})  # 2 is new
    account.look(20.0, 4, {1: Sample("door", 52.0, 120 * MB), 2: Sample("worker", 3.0, 80 * MB)})
    account.look(30.0, 1, {1: Sample("door", 52.0, 110 * MB)})  # 2 has ended
    metrics = account.metrics()
    assert metrics["cpu_pct"] == pytest.approx(100 * 5 / 30)
    assert metrics["cpu_pct_per_call"] == pytest.approx(100 * 5 / (10 * 4 + 10 * 4 + 10 * 1))
    assert metrics["pss_mb"] == 200
    assert metrics["pss_mb_per_call"] == 50
    assert metrics["pss_growth_mb_per_call"] == 25
    worker, door = account.kinds()
    assert (worker["kind"], worker["processes"], worker["pss_mb"]) == ("worker", 1, 80)
    assert door["cpu_pct"] == pytest.approx(100 * 2 / 30)
    assert [each.get("pss_mb") for each in account.series] == [100, None, 200, 110]


def test_a_process_goes_by_its_last_title():
    account = Account()
    account.look(0.0, 1, {1: Sample("default_worker.py", 1.0)})
    account.look(1.0, 1, {1: Sample("ray::IDLE", 2.0)})
    account.look(2.0, 1, {1: Sample("ray::CallSession", 3.0)})
    (only,) = account.kinds()
    assert (only["kind"], only["cpu_pct"]) == ("ray::CallSession", 100)


def test_nothing_seen_has_no_figures():
    assert set(Account().metrics().values()) == {None}
    assert Account().kinds() == []


# ---------------------------------------------------------------- reports


def _report(factor=1.0):
    measures, account = Measures(), Account()
    for number in range(1, 201):
        for name in DURATIONS:
            measures.took(name, number * factor)
        measures.point(number // 20, "began", 1)
        measures.point(number // 20, "live", number)
        measures.point(number // 20, "setup_max_ms", number)
        measures.point(number // 20, "added_up_max_ms", number / 100)
        measures.point(number // 20, "received", 99)
        measures.point(number // 20, "lost", 1)
    measures.counts.update(calls=200, accepted=200, unary=3, frames_received=5)
    for _ in range(200):
        measures.ended("a <caller>", "OK", "", expected=True)
    measures.ended("a <caller>", "INTERNAL", "<oops>", expected=False)
    measures.statuses["unary OK"] += 3
    account.look(0.0, 0, {1: Sample("ray::AudioWorker", 0.0, MB)})
    account.look(5.0, 9, {1: Sample("ray::AudioWorker", 2.0, 3 * MB)})
    return report_of(ABOUT, measures, account, 10.0)


def test_a_report_is_json_and_gives_its_histograms_back():
    report = json.loads(json.dumps(_report()))
    assert report["metrics"]["setup_p50_ms"] == pytest.approx(100, rel=0.001)
    assert histogram(report, "setup").percentile_ms(99) == pytest.approx(198, rel=0.001)
    assert set(report["metrics"]) == set(metric_names())


def test_two_runs_are_compared_by_ratio():
    old, new = _report(), _report(factor=2.0)
    old["metrics"]["hung"], new["metrics"]["hung"] = 0, 3
    changes = {each.metric: each for each in compare(old, new)}
    assert changes["setup_p50_ms"].ratio == pytest.approx(2.0, rel=0.01)
    assert (changes["hung"].old, changes["hung"].new, changes["hung"].ratio) == (0, 3, None)
    assert "frames_lost" not in changes  # 0 in both
    assert changes["calls"].ratio == 1
    with pytest.raises(InvalidRequest, match="format 1"):
        compare({"metrics": {}}, new)
    console = Console(width=120, record=True)
    console.print(changes_table(list(changes.values())))
    assert re.search(r"setup_p50_ms\W+100\W+200\W+2\.00", console.export_text())


def test_the_terminal_shows_what_was_measured():
    console = Console(width=160, record=True)
    for each in tables(_report()):
        console.print(each)
    text = console.export_text()
    assert re.search(r"setup\W+100\W+180\W+198\W+200\W+200\W+200", text)
    assert re.search(r"ray::AudioWorker\W+1\W+40\W", text)
    assert "<oops>" in text
    assert "frames_lost" not in text
    assert "(unary)" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (3, "3"), (3.0, "3"), (0.01234, "0.0123"), (1234.5, "1234"), (12.34, "12.3")],
)
def test_figures_are_short(value, shown):
    assert figure(value) == shown


def test_the_page_needs_nothing_else_and_escapes_everything():
    report = _report()
    html = page(report, compare(report, report), ["setup_p99_ms > 25: it is 198"])
    found = check_alone(html)
    assert re.findall("<svg[^>]*><title>([^<]*)", html) == [
        "Live calls",
        "Calls begun and failed",
        "The call",
        "Added delay, each way and both",
        "Jitter, requests, the driver",
        "Worst setup of each moment",
        "Worst added delay of each moment",
        "Frames lost",
        "CPU of the server",
        "Memory of the server",
        "CPU per call",
        "Memory per call",
        "CPU by process",
        "PSS by process",
        "How calls ended",
    ]
    assert "<oops>" in found.text
    assert "a <caller>" in found.text
    assert "setup_p99_ms > 25: it is 198" in found.text


def _drawn(html, title):
    """How many points each line of a figure has."""
    figure = next(each for each in html.split("<svg")[1:] if f"<title>{title}</title>" in each)
    lines = re.findall(r'<polyline class="l\d" points="([^"]*)"', figure)
    return [len(each.split()) for each in lines]


def test_what_a_call_takes_is_drawn_only_while_many_are_live():
    measures, account = Measures(), Account()
    for second, live in enumerate((0, 1, 8, 40, 40, 10, 2, 0)):
        account.look(float(second), live, {1: Sample("ray::AudioWorker", second / 10, 9 * MB)})
        measures.point(second, "live", live)
    html = page(report_of(ABOUT, measures, account, 8.0))
    assert (_drawn(html, "CPU of the server"), _drawn(html, "CPU per call")) == ([7], [3])
    assert (_drawn(html, "Memory of the server"), _drawn(html, "Memory per call")) == ([8], [3])


def test_loss_is_drawn_of_moments_in_which_answers_ended():
    measures = Measures()
    for second, (received, lost) in enumerate(((0, 0), (90, 10), (0, 0), (100, 0))):
        measures.point(second, "live", 1)
        measures.point(second, "received", received)
        measures.point(second, "lost", lost)
    html = page(report_of(ABOUT, measures, None, 4.0))
    assert _drawn(html, "Frames lost") == [2]
    assert ">10<" in html  # percent at the axis


def test_a_run_of_nothing_has_a_page_too():
    html = page(report_of(ABOUT, Measures(), None, 0.0))
    assert "<svg" not in html
    assert "reception load" in html
