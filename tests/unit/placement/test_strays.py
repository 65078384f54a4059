"""What is held for no call, and calls that hold nothing, by literal clocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.placement.strays import STRAY_S, Comparison, Held, Strays, strays

NOTHING = Strays(frozenset(), frozenset(), frozenset())


def held(calls: dict[str, str], legs: str, sessions: str) -> Held:
    return Held(frozenset(calls.items()), frozenset(legs), frozenset(sessions))


@pytest.mark.parametrize(
    ("calls", "legs", "sessions", "found"),
    [
        ({"a": "s"}, "a", "s", ("", "", "")),
        ({"a": "s"}, "", "s", ("a", "", "")),
        ({"a": "s"}, "a", "", ("a", "", "")),
        ({}, "a", "", ("", "a", "")),
        ({}, "", "s", ("", "", "s")),
        ({"a": "s", "b": "t"}, "bc", "tu", ("a", "c", "u")),
    ],
)
def test_what_is_in_one_only_is_stray(
    calls: dict[str, str], legs: str, sessions: str, found: tuple[str, str, str]
) -> None:
    assert strays(held(calls, legs, sessions)) == Strays(*map(frozenset, found))


names = st.frozensets(st.sampled_from("abcd"))


@given(st.dictionaries(st.sampled_from("abcd"), st.sampled_from("stuv")), names, names)
def test_once_strays_are_gone_there_are_none(calls, legs, sessions):
    sessions = frozenset(each.translate(str.maketrans("abcd", "stuv")) for each in sessions)
    found = strays(held(calls, "".join(legs), "".join(sessions)))
    left = {lease: session for lease, session in calls.items() if lease not in found.calls}
    kept = Held(frozenset(left.items()), legs & left.keys(), sessions & frozenset(left.values()))
    assert strays(kept) == NOTHING
    assert found.legs.isdisjoint(calls)
    assert found.sessions.isdisjoint(calls.values())


def test_only_what_stays_stray_is_due_and_it_is_named_until_it_is_gone() -> None:
    comparison = Comparison()
    stray = held({"a": "s"}, "b", "t")
    assert comparison.due(stray, 0.0) == NOTHING
    assert comparison.due(stray, STRAY_S) == NOTHING
    due = Strays(frozenset("a"), frozenset("b"), frozenset("t"))
    assert comparison.due(stray, STRAY_S + 0.1) == due
    assert comparison.due(stray, STRAY_S + 2.0) == due
    assert comparison.due(held({}, "", ""), STRAY_S + 4.0) == NOTHING
    assert comparison.due(stray, STRAY_S + 6.0) == NOTHING  # anew
