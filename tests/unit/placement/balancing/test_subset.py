"""Subsets of nodes: everyone is known equally often, and little moves."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.placement.balancing.subset import Seats, Subsets, parts, subset

NAMES = st.sets(st.text("abcdef0123", min_size=1, max_size=6), max_size=80)


def names(count: int) -> list[str]:
    return [f"node-{number}" for number in range(count)]


# ---------------------------------------------------------------- how many


@pytest.mark.parametrize(
    ("known", "of"), [(0, 1), (127, 1), (128, 4), (255, 4), (256, 8), (1_000, 16), (1_024, 32)]
)
def test_subsets_have_the_least_size_to_twice_as_much(known: int, of: int) -> None:
    assert parts(known, 32) == of


def test_a_cluster_that_wavers_keeps_its_subsets() -> None:
    now = parts(1_000, 32)
    assert {parts(known, 32, now) for known in range(512, 2_048)} == {16}
    assert parts(511, 32, now) == 8
    assert parts(20, 32, now) == 1
    assert parts(2_048, 32, now) == 64


@given(st.integers(0, 5_000), st.integers(1, 100), st.sampled_from([1, 2, 4, 8, 64, 1024]))
def test_no_subset_is_smaller_than_the_least_nor_far_larger(known: int, least: int, now: int):
    of = parts(known, least, now)
    assert of == 1 or known // of >= least
    assert known / of < 4 * least
    assert parts(known, least, of) == of


# ---------------------------------------------------------------- which


def test_the_same_seat_has_the_same_nodes_in_every_process() -> None:
    """Literal, since hashes of Python itself differ between processes."""
    assert subset(names(8), 0, 4) == ["node-4", "node-5"]
    assert subset(names(8)[::-1], 0, 4) == ["node-4", "node-5"]


@given(NAMES, st.integers(0, 20), st.sampled_from([1, 2, 4, 8]))
def test_each_round_of_seats_has_each_node_once(known: set[str], number: int, of: int) -> None:
    seats = range(number * of, (number + 1) * of)
    dealt = [subset(known, seat, of) for seat in seats]
    assert Counter(each for part in dealt for each in part) == Counter(known)
    sizes = {len(part) for part in dealt}
    assert max(sizes) - min(sizes) <= 1


@given(NAMES, st.integers(0, 50), st.sampled_from([1, 2, 4, 8]))
def test_a_node_that_comes_or_goes_moves_at_most_two_others(known: set[str], seat: int, of: int):
    with_it, without = known | {"new"}, known - {"new"}
    moved = set(subset(with_it, seat, of)) ^ set(subset(without, seat, of))
    assert len(moved - {"new"}) <= 2


def test_nodes_that_share_a_door_share_few_others() -> None:
    """Of 16 rounds two of 512 nodes are expected to share one or two."""
    shared: Counter[tuple[str, str]] = Counter()
    for seat in range(16 * 8):
        shared.update(combinations(subset(names(512), seat, 8), 2))
    assert max(shared.values()) <= 12


@pytest.mark.parametrize(
    ("field", "call"),
    [("known", lambda: parts(-1, 1)), ("least", lambda: parts(1, 0)),
     ("now", lambda: parts(1, 1, 0)), ("seat", lambda: subset([], -1, 1)),
     ("of", lambda: subset([], 0, 0))],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(field: str, call) -> None:
    with pytest.raises(InvalidRequest, match="must be") as refused:
        call()
    assert refused.value.field == field


# ---------------------------------------------------------------- seats


def test_a_door_keeps_its_seat_and_the_next_takes_what_is_free() -> None:
    seats = Seats()
    assert [seats.take(door) for door in "abcb"] == [0, 1, 2, 1]
    seats.leave("a")
    seats.leave("a")
    seats.leave("c")
    assert [seats.take(door) for door in "bdef"] == [1, 0, 2, 3]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_no_seat_has_two_doors_and_the_lowest_are_taken(steps: list[tuple[bool, int]]) -> None:
    seats, sitting = Seats(), dict[int, int]()
    for comes, door in steps:
        free = next(seat for seat in range(11) if seat not in sitting.values())
        if comes:
            assert seats.take(str(door)) == sitting.setdefault(door, free)
        else:
            seats.leave(str(door))
            sitting.pop(door, None)


def test_subsets_follow_who_comes_and_goes() -> None:
    subsets = Subsets(least=4)
    for number in range(20):
        subsets.came(f"n{number}")
        subsets.came(f"n{number}")
    names = [f"n{number}" for number in range(20)]
    assert all(name in subsets.known_to(name) for name in names)
    assert {len(subsets.known_to(name)) for name in names} <= set(range(5, 12))
    assert {each for name in names for each in subsets.known_to(name)} == set(names)
    subsets.gone("n7")
    subsets.gone("n7")
    assert all("n7" not in subsets.known_to(name) for name in names if name != "n7")
    alone = Subsets()
    alone.came("a")
    alone.came("b")
    assert alone.known_to("a") == alone.known_to("b") == ["a", "b"]
