"""Algorithms: their shares, their sources' examples, and what all have in common."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.placement.balancing.pickers import (
    PICKERS,
    BySize,
    Candidate,
    LeastRequest,
    PeakEwma,
    Picker,
    PowerOfTwo,
    SmoothWeighted,
    Utilisation,
    picker,
)
from tests.unit.placement.balancing.nodes import candidate

WEIGHTED = [SmoothWeighted, Utilisation]


def picks(of: Picker, candidates: list[Candidate], times: int, now_s: float = 0.0) -> Counter[str]:
    return Counter(of.pick(candidates, now_s) for _ in range(times))


# ---------------------------------------------------------------- in proportion


@pytest.mark.parametrize("make", WEIGHTED)
@pytest.mark.parametrize("seed", range(20))
def test_one_to_two_to_four_within_two_per_cent_over_700(make, seed: int) -> None:
    got = picks(make(Random(seed)), [candidate("a", 1), candidate("b", 2), candidate("c", 4)], 700)
    assert got["a"] == pytest.approx(100, rel=0.02)
    assert got["b"] == pytest.approx(200, rel=0.02)
    assert got["c"] == pytest.approx(400, rel=0.02)


def test_picks_are_spread_as_nginx_spreads_them() -> None:
    """Weights 5, 1, 1: never more than three of the same in a row (from wherever
    it begins; nginx, commit 52327e0: a a b a c a a)."""
    for seed in range(20):
        swrr = SmoothWeighted(Random(seed))
        nodes = [candidate("a", 5), candidate("b", 1), candidate("c", 1)]
        order = "".join(swrr.pick(nodes, 0.0) for _ in range(70))
        assert "aaaaa" not in order
        assert all(Counter(order[at : at + 7]) == {"a": 5, "b": 1, "c": 1} for at in range(7, 64))


@given(
    st.lists(st.lists(st.floats(0.001, 1000), min_size=4, max_size=4), min_size=1, max_size=60),
    st.integers(0, 5),
)
def test_a_node_is_never_far_from_its_due_however_weights_change(weights, seed: int) -> None:
    swrr, due, got = SmoothWeighted(Random(seed)), [0.0] * 4, [0] * 4
    for now in weights:
        picked = swrr.pick([candidate(str(n), each) for n, each in enumerate(now)], 0.0)
        got[int(picked)] += 1
        for number, weight in enumerate(now):
            due[number] += weight / sum(now)
            assert abs(due[number] - got[number]) <= 4


def test_utilisation_counts_what_is_free_and_smooth_weighted_what_there_is() -> None:
    nodes = [candidate("a", 100, headroom=0.2), candidate("b", 100, headroom=0.8)]
    assert picks(Utilisation(Random(1)), nodes, 100)["b"] == pytest.approx(80, abs=1)
    assert picks(SmoothWeighted(Random(1)), nodes, 100)["b"] == pytest.approx(50, abs=1)


@pytest.mark.parametrize("make", WEIGHTED)
def test_failures_lower_a_share_and_picks_give_it_back(make) -> None:
    of, nodes = make(Random(1), max_fails=4, recovery=0.01), [candidate("a"), candidate("b")]
    of.failed("a", 0.0)
    of.failed("a", 0.0)
    assert picks(of, nodes, 30)["a"] < 14
    picks(of, nodes, 100)
    assert picks(of, nodes, 100)["a"] == pytest.approx(50, abs=1)
    for _ in range(10):
        of.failed("a", 0.0)
    assert picks(of, nodes, 10)["a"] <= 1
    of.answered("a", 0.1, 0.0)
    picks(of, nodes, 100)
    assert picks(of, nodes, 100)["a"] == pytest.approx(50, abs=1)


@pytest.mark.parametrize("make", WEIGHTED)
def test_where_all_fail_somebody_is_picked(make) -> None:
    of, nodes = make(Random(1), max_fails=1), [candidate("a"), candidate("b")]
    of.failed("a", 0.0)
    of.failed("b", 0.0)
    assert picks(of, nodes, 10)["a"] == 5


def test_doors_begin_with_different_nodes() -> None:
    nodes = [candidate(str(number)) for number in range(10)]
    first = {Utilisation(Random(seed)).pick(nodes, 0.0) for seed in range(50)}
    assert len(first) >= 8


# ---------------------------------------------------------------- by score


def test_least_request_is_envoys_formula() -> None:
    even, strict, blind = (LeastRequest(Random(1), bias) for bias in (1.0, 2.0, 0.0))
    big, small = candidate("big", 4, active=5), candidate("small", 1, active=1)
    assert even.score(big) == pytest.approx(4 / 6)
    assert even.score(small) == pytest.approx(1 / 2)
    assert even.pick([big, small], 0.0) == "big"
    assert strict.pick([big, small], 0.0) == "small"  # 4/36 and 1/4
    assert blind.pick([big, small], 0.0) == "big"


def test_equals_are_drawn() -> None:
    nodes = [candidate("a"), candidate("b"), candidate("c")]
    assert min(picks(LeastRequest(Random(1)), nodes, 300).values()) > 60


def test_peak_ewma_jumps_up_at_once_and_forgets_with_tau() -> None:
    ewma, node = PeakEwma(Random(1), tau_s=10.0), candidate(weight=1.0)
    ewma.answered("a", 0.1, 0.0)
    ewma.answered("a", 0.9, 0.0)
    assert ewma.cost(node, 0.0) == pytest.approx(0.9)
    ewma.answered("a", 0.1, 10.0)
    kept = 2.718281828**-1
    seen = 0.9 * kept + 0.1 * (1 - kept)
    assert ewma.cost(node, 10.0) == pytest.approx(seen)
    assert ewma.cost(node, 20.0) == pytest.approx(seen * kept)
    assert ewma.cost(node, 5.0) == pytest.approx(seen)  # a clock that went back
    assert ewma.cost(candidate(weight=1.0, placing=3), 10.0) == pytest.approx(4 * seen)
    assert ewma.cost(candidate(weight=2.0), 10.0) == pytest.approx(seen / 2)


def test_peak_ewma_goes_where_answers_are_quick() -> None:
    ewma, nodes = PeakEwma(Random(1)), [candidate("slow"), candidate("quick")]
    ewma.answered("slow", 1.0, 0.0)
    ewma.answered("quick", 0.2, 0.0)
    assert picks(ewma, nodes, 50) == {"quick": 50}
    assert ewma.pick([nodes[0], candidate("quick", placing=5)], 0.0) == "slow"
    for _ in range(3):
        ewma.failed("quick", 1.0)  # quick to fail
    assert ewma.pick(nodes, 1.0) == "slow"


def test_peak_ewma_asks_who_never_answered_by_one_call_at_a_time() -> None:
    ewma = PeakEwma(Random(1))
    ewma.answered("a", 0.001, 0.0)
    assert ewma.pick([candidate("a"), candidate("new")], 0.0) == "new"
    assert ewma.pick([candidate("a"), candidate("new", placing=1)], 0.0) == "a"
    ewma.answered("new", 0.5, 0.0)
    assert ewma.pick([candidate("a"), candidate("new")], 0.0) == "a"


def test_peak_ewma_survives_an_answer_in_no_time() -> None:
    ewma = PeakEwma(Random(1))
    ewma.answered("a", 0.0, 0.0)
    assert ewma.pick([candidate("a"), candidate("b", placing=1)], 0.0) == "a"


# ---------------------------------------------------------------- two choices


def test_two_choices_take_the_better_of_two_among_many() -> None:
    two = PowerOfTwo(LeastRequest(Random(1)), Random(2), many=2)
    nodes = [candidate(str(number), active=number) for number in range(10)]
    got = picks(two, nodes, 10_000)
    for number in range(10):  # the best of two draws from ten, both the same allowed
        chance = ((10 - number) ** 2 - (9 - number) ** 2) / 100
        assert got[str(number)] == pytest.approx(10_000 * chance, abs=200)


def test_two_choices_draw_in_proportion_to_weight() -> None:
    two = PowerOfTwo(LeastRequest(Random(1)), Random(2), many=1)
    nodes = [candidate("new", 10, active=0), candidate("old", 90, active=80)]
    assert picks(two, nodes, 5_000)["new"] == pytest.approx(5_000 * (1 - 0.9**2), abs=150)


def test_among_few_the_best_of_all_is_taken() -> None:
    nodes = [candidate(str(number), active=number) for number in range(10)]
    assert picks(PowerOfTwo(LeastRequest(Random(1)), Random(2), many=10), nodes, 50) == {"0": 50}


def test_two_choices_hand_on_what_they_learn() -> None:
    ewma = PeakEwma(Random(1))
    two = PowerOfTwo(ewma, Random(2))
    two.answered("a", 0.5, 0.0)
    assert ewma.cost(candidate(weight=1.0), 0.0) == pytest.approx(0.5)
    two.failed("a", 0.0)
    assert ewma.cost(candidate(weight=1.0), 0.0) == pytest.approx(5.0)
    two.forget("a")
    assert ewma.cost(candidate(weight=1.0), 0.0) == 0.0


def test_of_two_the_one_that_says_it_is_well_is_taken_though_it_has_more_calls() -> None:
    """What `power_of_two` does not look at until a node is full."""
    slow, well = candidate("slow", headroom=0.2, active=60), candidate("well", headroom=0.3,
                                                                       active=70)  # fmt: skip
    assert picks(picker("headroom_of_two", Random(1)), [slow, well], 50) == {"well": 50}
    assert picks(picker("power_of_two", Random(1)), [slow, well], 50) == {"slow": 50}


# ---------------------------------------------------------------- by size


def test_few_nodes_get_their_turns_and_of_many_the_freer_of_two() -> None:
    few = [candidate(str(number), float(number + 1)) for number in range(16)]
    told = picks(picker("by_size", Random(1)), few, 136)
    assert told == {str(number): number + 1 for number in range(16)}
    many = [candidate(str(number), headroom=0.5 + number / 100) for number in range(17)]
    told = picks(picker("by_size", Random(1)), many, 200)
    assert told["16"] > told["8"] > told.get("0", 0)


# ---------------------------------------------------------------- all


@given(
    st.sampled_from(PICKERS),
    st.lists(st.tuples(st.floats(0.001, 1e6), st.floats(1e-9, 1), st.integers(0, 1000),
                       st.integers(0, 20)), min_size=1, max_size=8),
    st.lists(st.tuples(st.sampled_from("afg"), st.integers(0, 9), st.floats(0, 100)), max_size=30),
)  # fmt: skip
def test_each_picks_one_of_the_candidates_whatever_it_learned(name, nodes, news) -> None:
    of = picker(name, Random(1))
    offered = [
        candidate(str(number), weight, headroom=headroom, active=active, placing=placing)
        for number, (weight, headroom, active, placing) in enumerate(nodes)
    ]
    for now_s, (what, number, took_s) in enumerate(news):
        if what == "a":
            of.answered(str(number), took_s, float(now_s))
        elif what == "f":
            of.failed(str(number), float(now_s))
        else:
            of.forget(str(number))
        assert of.pick(offered, float(now_s)) in {each.node_id for each in offered}


@pytest.mark.parametrize("name", PICKERS)
def test_a_node_that_is_forgotten_is_as_new(name: str) -> None:
    """Twice the same story gives the same picks, if nothing was kept of the first."""

    def story(of: Picker) -> list[str]:
        nodes, told = [candidate("a"), candidate("b", active=1)], []
        for now_s in range(20):
            told.append(of.pick(nodes, float(now_s)))
            of.failed("a", float(now_s))
            of.answered("b", 1.0, float(now_s))
        return told

    rng = Random(1)
    of = picker(name, rng)
    first = story(of)
    of.forget("a")
    of.forget("b")
    rng.seed(1)
    assert story(of) == first


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InvalidRequest) as refused:
        picker("fastest", Random(1))
    assert refused.value.field == "balancing"
    assert refused.value.message == (
        "balancing 'fastest' is not one of by_size, utilisation, smooth_weighted, "
        "least_request, peak_ewma, power_of_two, headroom_of_two"
    )


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: SmoothWeighted(Random(1), max_fails=0), "max_fails"),
        (lambda: SmoothWeighted(Random(1), recovery=0.0), "recovery"),
        (lambda: LeastRequest(Random(1), bias=-1.0), "bias"),
        (lambda: PeakEwma(Random(1), tau_s=0.0), "tau_s"),
        (lambda: PeakEwma(Random(1), failure_s=-1.0), "failure_s"),
        (lambda: picker("power_of_two", Random(1), many=0), "many"),
        (lambda: BySize(Random(1), many=0), "many"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, field: str) -> None:
    with pytest.raises(InvalidRequest, match=field) as refused:
        make()
    assert refused.value.field == field
