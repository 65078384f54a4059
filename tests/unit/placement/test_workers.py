"""Which audio worker a call gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.media.hearing import Hearing
from reception.placement.workers import (
    ALIKE_PERCENT,
    LEAST_PERCENT,
    MOST_PERCENT,
    SETTLED_S,
    Leg,
    Measured,
    choose,
    leg_weight,
)

LONG_AGO, NOW_S = 0.0, 100.0


def legs(worker, count, weight=1.0, since_s=LONG_AGO):
    return [Leg(worker, weight, since_s)] * count


def test_without_a_worker_there_is_none():
    assert choose([], {}, []) is None
    assert choose([], {"w0": Measured(0.0, 0.0, NOW_S)}, legs("w0", 3)) is None


def test_of_workers_that_are_alike_the_one_with_the_fewest_calls_then_the_first_by_name():
    assert choose(["w1", "w0"], {}, []) == "w0"
    alike = {"w0": Measured(40.0, 1.0, NOW_S), "w1": Measured(40.0 + ALIKE_PERCENT, 2.0, NOW_S)}
    assert choose(["w0", "w1"], alike, [*legs("w0", 10), *legs("w1", 9)]) == "w1"
    assert choose(["w0", "w1"], alike, [*legs("w0", 9), *legs("w1", 9)]) == "w0"


def test_few_calls_that_take_more_cpu_count_more_than_many_that_take_less():
    measured = {"w0": Measured(30.0, 1.0, NOW_S), "w1": Measured(22.0, 1.0, NOW_S)}
    assert choose(["w0", "w1"], measured, [*legs("w0", 8, 2.5), *legs("w1", 20)]) == "w1"


def test_a_worker_whose_loop_is_late_gets_no_call_while_another_is_not():
    measured = {"w0": Measured(5.0, 18.0, NOW_S), "w1": Measured(60.0, 3.0, NOW_S)}
    assert choose(["w0", "w1"], measured, legs("w1", 30)) == "w1"
    a_little = {"w0": Measured(5.0, 9.0, NOW_S), "w1": Measured(7.0, 1.0, NOW_S)}
    assert choose(["w0", "w1"], a_little, legs("w1", 1)) == "w0"


def test_calls_that_the_measure_does_not_have_yet_are_reckoned_with():
    """At 2 % a plain leg: eight make up for a difference of 20 %, to within what is alike."""
    measured = {"w0": Measured(40.0, 1.0, NOW_S), "w1": Measured(20.0, 1.0, NOW_S)}
    calls = [*legs("w0", 15), *legs("w1", 15)]
    placed = []
    for _ in range(20):
        placed.append(choose(["w0", "w1"], measured, calls))
        calls.append(Leg(str(placed[-1]), 1.0, NOW_S))
    assert placed[:8] == ["w1"] * 8
    assert placed.count("w1") == 14  # 20 + 2 * 14 and 40 + 2 * 6: within 5


def test_a_heavy_leg_keeps_more_room_until_it_is_measured():
    measured = {"w0": Measured(10.0, 1.0, NOW_S), "w1": Measured(10.0, 1.0, NOW_S)}
    settled = [*legs("w0", 5), *legs("w1", 5)]  # 2 % each
    heavy, plain = Leg("w0", 4.0, NOW_S), [Leg("w1", 1.0, NOW_S)] * 1
    assert choose(["w0", "w1"], measured, [*settled, heavy, *plain]) == "w1"
    later = {name: Measured(10.0, 1.0, NOW_S + SETTLED_S) for name in measured}
    assert choose(["w0", "w1"], later, [*settled, heavy, *plain]) == "w0"


def test_a_worker_that_has_just_started_is_not_given_all_calls():
    measured = {"w0": Measured(10.0, 1.0, NOW_S)}
    calls = legs("w0", 10)
    for _ in range(20):
        calls.append(Leg(str(choose(["w0", "new"], measured, calls)), 1.0, NOW_S))
    given_to_new = [each.worker for each in calls].count("new")
    assert 12 <= given_to_new <= 16  # 10 + (20 - n) is about n


@pytest.mark.parametrize(("percent", "each"), [(0.01, LEAST_PERCENT), (99.0, MOST_PERCENT)])
def test_what_a_leg_takes_is_believed_within_bounds(percent, each):
    """Two settled legs; the one to come tips the balance as if it took `each`."""
    measured = {"w0": Measured(percent, 0.0, NOW_S), "w1": Measured(percent, 0.0, NOW_S)}
    settled = [*legs("w0", 1), *legs("w1", 1)]
    room = ALIKE_PERCENT / each
    # Within what is alike the heavy leg's worker has as few calls and the first name.
    within = [Leg("w0", room * 0.99, NOW_S), Leg("w1", 0.0, NOW_S)]
    past = [Leg("w0", room * 1.01, NOW_S), Leg("w1", 0.0, NOW_S)]
    assert choose(["w0", "w1"], measured, [*settled, *within]) == "w0"
    assert choose(["w0", "w1"], measured, [*settled, *past]) == "w1"


def test_legs_of_workers_that_are_gone_count_for_nothing():
    assert choose(["w0"], {}, legs("gone", 9)) == "w0"


@pytest.mark.parametrize(
    ("codec", "rate_hz", "hearing", "recording", "weight"),
    [
        ("pcmu", 8_000, Hearing(), "wav", 1.0),
        ("l16", 24_000, Hearing(), "off", 1.0),
        ("l16", 48_000, Hearing(), "off", 1.15),
        ("opus", 48_000, Hearing(), "off", 2.2),
        ("opus", 48_000, Hearing(), "opus", 3.4),
        ("pcma", 8_000, Hearing(dtmf_inband=True), "off", 1.15),
        ("pcma", 8_000, Hearing("local", noise_suppression="full"), "off", 1.55),
    ],
)
def test_what_a_leg_weighs(codec, rate_hz, hearing, recording, weight):
    assert leg_weight(codec, rate_hz, hearing, recording) == pytest.approx(weight)


names = st.sampled_from(["w0", "w1", "w2", "gone"])
loads = st.builds(Measured, st.floats(0, 100), st.floats(0, 50), st.just(NOW_S))
some_legs = st.lists(st.builds(Leg, names, st.floats(0.5, 4), st.floats(0, 2 * NOW_S)), max_size=40)


@given(
    st.sets(st.sampled_from(["w0", "w1", "w2"]), min_size=1),
    st.dictionaries(names, loads),
    some_legs,
)
def test_it_is_one_of_them_whatever_the_order(workers, measured, has):
    chosen = choose(sorted(workers), measured, has)
    assert chosen in workers
    assert chosen == choose(sorted(workers, reverse=True), measured, list(reversed(has)))


@given(
    st.dictionaries(st.sampled_from(["w0", "w1", "w2"]), loads, min_size=2), some_legs, st.data()
)
def test_a_worker_that_has_less_to_do_and_fewer_calls_is_not_passed_over(measured, has, data):
    """Nobody is chosen over a worker that measured less by more than is alike, and has
    no leg that does not show yet."""
    idle = data.draw(st.sampled_from(sorted(measured)))
    settled = [each for each in has if each.worker != idle or each.since_s <= NOW_S - SETTLED_S]
    chosen = choose(measured, measured, settled)
    assert chosen is not None
    busy = max(measured[chosen].cpu_percent, 10 * (measured[chosen].lag_p95_ms - 10))
    at_rest = max(measured[idle].cpu_percent, 10 * (measured[idle].lag_p95_ms - 10))
    assert busy <= at_rest + ALIKE_PERCENT + 1e-6


@given(st.integers(1, 4), st.integers(0, 60), st.floats(0, 30))
def test_a_burst_is_shared_out(workers, burst, percent):
    """Equal workers get equal parts, to within one call."""
    measured = {f"w{number}": Measured(percent, 1.0, NOW_S) for number in range(workers)}
    placed: list[Leg] = []
    for _ in range(burst):
        placed.append(Leg(str(choose(measured, measured, placed)), 1.0, NOW_S))
    counts = [sum(each.worker == name for each in placed) for name in measured]
    assert max(counts) - min(counts) <= 1
