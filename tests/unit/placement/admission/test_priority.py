"""Priorities: what call metadata say, and how much of a capacity each may fill."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.placement.admission.priority import Priority, Shares, priority_of

percents = st.tuples(st.integers(0, 100), st.integers(0, 100)).map(sorted)


@pytest.mark.parametrize("priority", list(Priority))
def test_metadata_name_the_priority(priority: Priority) -> None:
    assert priority_of({"priority": str(priority), "queue": "sales"}) is priority


def test_metadata_without_it_mean_normal() -> None:
    assert priority_of({}) is Priority.NORMAL


@pytest.mark.parametrize("text", ["urgent", "", "Emergency", " batch"])
def test_another_word_is_refused_with_the_words_that_there_are(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        priority_of({"priority": text})
    assert caught.value.field == "start.metadata"
    assert caught.value.message == (
        f"metadata['priority'] is {text!r}: must be one of emergency, normal, batch"
    )


def test_a_long_word_is_shown_in_part() -> None:
    with pytest.raises(InvalidRequest, match=f"'{'x' * 40}…'"):
        priority_of({"priority": "x" * 41})


def test_a_part_of_the_places_is_kept_for_those_above() -> None:
    shares = Shares(batch=70, normal=95)
    assert [shares.places(each, 100) for each in Priority] == [100, 95, 70]
    assert [shares.places(each, 10) for each in Priority] == [10, 9, 7]
    assert [shares.places(each, 0) for each in Priority] == [0, 0, 0]


def test_one_place_is_anybodys_who_has_a_share() -> None:
    assert [Shares(70, 95).places(each, 1) for each in Priority] == [1, 1, 1]
    assert [Shares(0, 0).places(each, 1) for each in Priority] == [1, 0, 0]


@pytest.mark.parametrize(
    ("batch", "normal", "message"),
    [
        (70, 101, "normal is 101: must be 0 to 100"),
        (70, 60, "batch is 70: must be 0 to 60"),
        (-1, 60, "batch is -1: must be 0 to 60"),
    ],
)
def test_shares_out_of_their_order_are_refused(batch: int, normal: int, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Shares(batch, normal)
    assert caught.value.message == message
    assert caught.value.field == message.partition(" ")[0]


@given(percents, st.integers(0, 10_000))
def test_a_higher_priority_never_has_fewer_places(each: list[int], capacity: int) -> None:
    shares = Shares(*each)
    emergency, normal, batch = (shares.places(priority, capacity) for priority in Priority)
    assert 0 <= batch <= normal <= emergency == capacity
    assert normal <= max(1, capacity * each[1] / 100)
