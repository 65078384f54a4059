"""Arrivals, holding times, scenario files and the schedule made of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.load.arrivals import Arrival, parse_arrivals
from cluster.load.holding import parse_holding
from cluster.load.scenario import SILENT, Cast, Sounds, cast_of, parse_scenario
from cluster.load.schedule import Plan, schedule
from cluster.playback import SILENCE
from cluster.script import (
    Garbage,
    HangUp,
    Interrupt,
    Listen,
    Mute,
    Press,
    Say,
    StayOn,
    Vanish,
)
from reception.errors import InvalidRequest

EXAMPLE = Path(__file__).parents[3] / "config" / "load-example.yaml"


def _times(text, duration_s=10.0, lines=(), seed=1):
    pattern = parse_arrivals(text, lambda _name: lines)
    return [each.at_s for each in pattern.arrivals(duration_s, Random(seed))]


# ---------------------------------------------------------------- arrivals


def test_constant_arrivals_are_evenly_spaced():
    assert _times("constant:4", 1.0) == [0.0, 0.25, 0.5, 0.75]
    assert len(_times("constant:0.001", 10.0)) == 1


def test_a_ramp_goes_from_one_rate_to_the_other():
    times = _times("ramp:0..10", 10.0)
    assert len(times) == 50  # the area under the ramp
    assert len([each for each in times if each < 5]) == pytest.approx(12.5, abs=1)
    assert _times("ramp:5..5", 2.0) == pytest.approx([each / 5 for each in range(10)])
    falling = _times("ramp:10..0", 10.0)
    assert len([each for each in falling if each < 5]) == pytest.approx(37.5, abs=1)


@given(st.floats(0, 50), st.floats(0.1, 50), st.floats(0.5, 20))
def test_a_ramp_never_goes_back_and_ends_in_time(low, high, duration_s):
    times = _times(f"ramp:{low}..{high}", duration_s)
    assert all(a <= b for a, b in pairwise(times))
    assert all(0 <= each <= duration_s * (1 + 1e-9) for each in times)
    assert len(times) >= int((low + high) / 2 * duration_s)


def test_poisson_arrivals_have_their_rate_and_their_seed():
    times = _times("poisson:20", 500.0)
    gaps = [b - a for a, b in pairwise(times)]
    mean_s = sum(gaps) / len(gaps)
    assert mean_s == pytest.approx(1 / 20, rel=0.05)
    # An exponential gap's deviation is its mean.
    spread_s = (sum((gap - mean_s) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread_s == pytest.approx(mean_s, rel=0.06)
    assert times == _times("poisson:20", 500.0)
    assert times != _times("poisson:20", 500.0, seed=2)


def test_a_burst_comes_at_once_and_again():
    assert _times("burst:3") == [0.0, 0.0, 0.0]
    assert _times("burst:2/4") == [0.0, 0.0, 4.0, 4.0, 8.0, 8.0]


def test_recorded_arrivals_are_replayed_in_order_of_time():
    lines = ["at_s, hold_s, caller", "3.5,,", "1,20,asks", "99,,"]
    pattern = parse_arrivals("csv:calls.csv", lambda name: lines if name == "calls.csv" else [])
    assert list(pattern.arrivals(10.0, Random(1))) == [Arrival(1.0, 20.0, "asks"), Arrival(3.5)]


def test_recorded_arrivals_have_an_end_and_made_ones_go_on():
    pattern = parse_arrivals("csv:f", lambda _: ["at_s", "99", "3.5"])
    assert pattern.length_s is not None
    assert len(list(pattern.arrivals(pattern.length_s, Random(1)))) == 2
    for text in ("constant:1", "ramp:1..2", "poisson:1", "burst:1", "burst:1/2"):
        assert parse_arrivals(text, lambda _: []).length_s is None
    assert parse_arrivals("csv:f", lambda _: ["at_s"]).length_s == 0.1


@pytest.mark.parametrize(
    ("text", "lines", "told"),
    [
        ("poisson", (), "use constant:PER_S"),
        ("poisson:", (), "use constant:PER_S"),
        ("sawtooth:3", (), "use constant:PER_S"),
        ("poisson:many", (), "from 0.000277778 to 10000, not 'many'"),
        ("constant:0", (), "not '0'"),
        ("constant:nan", (), "not 'nan'"),
        ("ramp:0..0", (), "from 0 to 0"),
        ("ramp:5", (), "not ''"),
        ("burst:0", (), "from 1 to"),
        ("burst:5/0", (), "every must be a number from 0.1"),
        ("csv:f", (), "not nothing"),
        ("csv:f", ("when", "1"), "not when"),
        ("csv:f", ("at_s,what", "1,2"), "not at_s, what"),
        ("csv:f", ("at_s", "soon"), "line 2: at_s must be a number from 0 to 86400, not 'soon'"),
        ("csv:f", ("at_s,hold_s", "1,-1"), "line 2: hold_s"),
    ],
)
def test_bad_arrivals_are_told(text, lines, told):
    with pytest.raises(InvalidRequest) as caught:
        parse_arrivals(text, lambda _name: lines)
    assert told in caught.value.message


# ---------------------------------------------------------------- holding times


@pytest.mark.parametrize(
    ("text", "mean_s", "median_s"),
    [
        ("fixed:30", 30, 30),
        ("exponential:100", 100, 69.3),
        ("lognormal:100,0.8", 100, 72.6),
        ("uniform:10..50", 30, 30),
    ],
)
def test_holding_times_have_their_mean_and_median(text, mean_s, median_s):
    holding, rng = parse_holding(text), Random(3)
    drawn = sorted(holding.draw_s(rng) for _ in range(20_000))
    assert sum(drawn) / len(drawn) == pytest.approx(mean_s, rel=0.04)
    assert drawn[10_000] == pytest.approx(median_s, rel=0.04)
    assert holding.mean_s() == mean_s
    assert min(drawn) >= 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("30", "use fixed:S"),
        ("weibull:3", "use fixed:S"),
        ("fixed:-1", "from 0 to 86400, not '-1'"),
        ("exponential:0", "from 0.01"),
        ("lognormal:30", "sigma must be a number from 0 to 5, not ''"),
        ("uniform:50..10", "50 s is more than 10 s"),
    ],
)
def test_bad_holding_times_are_told(text, told):
    with pytest.raises(InvalidRequest) as caught:
        parse_holding(text)
    assert told in caught.value.message


# ---------------------------------------------------------------- scenarios


SOUNDS = Sounds(lambda text, voice: f"{text}|{voice}".encode(), lambda path: str(path).encode())


def _steps(yaml):
    (cast,) = cast_of(parse_scenario(f"callers: [{{name: x, steps: {yaml}}}]", "f.yaml"), SOUNDS)
    return cast


def test_every_step_becomes_what_it_says():
    cast = _steps(
        "[listen, {say: hello}, {play: a.wav}, {silence_s: 0.1}, {wait_s: 2}, {press: 1#},"
        " {interrupt: {say: stop, after_s: 0.5}}, hang_up]"
    )
    assert cast.steps == (
        Listen(), Say(b"hello|0", "hello"), Say(b"a.wav"), Say(SILENCE * 5), Mute(2.0),
        Press("1#"), Interrupt(b"stop|0", 0.5, "stop"), HangUp(),
    )  # fmt: skip
    assert (cast.again, cast.expect) == (False, {"OK"})
    assert _steps("[listen]").again


def test_a_caller_hangs_up_in_the_middle_of_a_word():
    form = parse_scenario(
        "callers: [{name: x, steps: [{hang_up: {play: a.wav, after_s: 0.04}}]}]", "f.yaml"
    )
    (cast,) = cast_of(form, Sounds(lambda *_: b"", lambda _path: b"\x10" * 160 * 50))
    assert cast.steps == (Say(b"\x10" * 160 * 2), HangUp())


def test_what_is_expected_follows_from_the_end():
    assert _steps("[listen, vanish]").expect == {"VANISHED"}
    assert _steps("[vanish: silent]").steps == (Vanish("silent"),)
    broken = _steps("[garbage: huge]")
    assert broken.steps == (Garbage("huge"),)
    assert "INVALID_ARGUMENT" in broken.expect
    assert _steps("[stay_on]").steps == (StayOn(),)
    assert _steps("[stay_on], expect: [UNAVAILABLE]").expect == {"UNAVAILABLE"}


def test_the_example_is_one():
    casts = cast_of(parse_scenario(EXAMPLE.read_text(), "example"), SOUNDS)
    steps = {type(step) for cast in casts for step in cast.steps}
    assert steps == {
        Listen, Say, Interrupt, Press, HangUp, StayOn, Mute, Vanish, Garbage,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("yaml", "told"),
    [
        ("{", "f.yaml is no YAML"),
        ("[]", "f.yaml: file: "),
        ("callers: []", "f.yaml: callers: "),
        ("callers: [{name: x, steps: [sing]}]", "callers.0.steps.0"),
        ("callers: [{name: x, steps: [{say: a, press: '1'}]}]", "a step is exactly one of say"),
        ("callers: [{name: x, steps: [{press: '1x'}]}]", "callers.0.steps.0.press"),
        ("callers: [{name: x, steps: [hang_up, listen]}]", "steps after steps.0 are never reached"),
        ("callers: [{name: x, steps: [listen], expect: [FINE]}]", "no status FINE"),
        ("callers: [{name: x, steps: [{wait_s: 0}]}]", "callers.0.steps.0.wait_s"),
        ("callers: [{name: x, steps: [{interrupt: {after_s: 1}}]}]", "give either say or play"),
        ("callers: [{name: x, steps: [listen], weight: 0}]", "has the weight 0"),
        (
            "callers: [{name: x, steps: [listen]}, {name: x, steps: [listen]}]",
            "two callers have the same name",
        ),
    ],
)
def test_mistakes_in_a_scenario_are_told_with_their_place(yaml, told):
    with pytest.raises(InvalidRequest) as caught:
        parse_scenario(yaml, "f.yaml")
    assert told in caught.value.message


# ---------------------------------------------------------------- the schedule


def _plan(arrivals="poisson:20", **fields):
    casts = fields.pop("casts", (SILENT,))
    pattern = parse_arrivals(arrivals, lambda _n: ["at_s,caller,hold_s", "1,b,7", "2,,"])
    return Plan("127.0.0.1:1", casts, pattern, **fields)


def _cast(name, weight=1.0):
    return Cast(name, weight, (Listen(),), again=True, expect=frozenset({"OK"}))


@given(st.integers(1, 8), st.integers(0, 5))
def test_the_shares_together_are_the_whole(shares, seed):
    plan = _plan(holding=parse_holding("exponential:20"), seed=seed, duration_s=3.0)
    parts = [list(schedule(plan, share, shares)) for share in range(shares)]
    together = sorted((call for part in parts for call in part), key=lambda call: call.number)
    assert together == list(schedule(plan))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_callers_come_by_their_weights():
    plan = _plan("constant:100", casts=(_cast("a", 3), _cast("b", 1), _cast("never", 0)))
    names = [call.cast.name for call in schedule(plan)]
    assert names.count("a") / len(names) == pytest.approx(0.75, abs=0.02)
    assert "never" not in names


def test_another_holding_time_changes_neither_times_nor_callers():
    casts = (_cast("a"), _cast("b"))
    one = list(schedule(_plan(casts=casts)))
    two = list(schedule(_plan(casts=casts, holding=parse_holding("uniform:1..9"))))
    assert [(call.at_s, call.cast) for call in one] == [(call.at_s, call.cast) for call in two]
    assert {call.hold_s for call in one} == {0.0}


def test_recorded_arrivals_choose_caller_and_holding_time():
    plan = _plan("csv:f", casts=(_cast("a"), _cast("b", 0)), holding=parse_holding("fixed:5"))
    first, second = schedule(plan)
    assert (first.cast.name, first.hold_s) == ("b", 7.0)
    assert (second.cast.name, second.hold_s) == ("a", 5.0)
    with pytest.raises(InvalidRequest, match="no caller 'b' in the scenario, only a"):
        list(schedule(_plan("csv:f", casts=(_cast("a"),))))


def test_the_schedule_is_bounded():
    assert len(list(schedule(_plan("burst:50", most_calls=7)))) == 7
    assert list(schedule(Plan("a:1", (SILENT,), None))) == []
