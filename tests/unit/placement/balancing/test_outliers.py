"""Who is ejected, for how long, and how many at once."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.placement.balancing.outliers import OutlierRules, Outliers
from tests.unit.placement.balancing.nodes import report

RULES = OutlierRules(failures=3, base_s=10.0, longest_s=35.0)


def test_failures_in_a_row_eject_and_time_brings_back() -> None:
    outliers = Outliers(RULES)
    assert outliers.back_s("a") == -inf
    for at_s in (0.0, 1.0):
        outliers.failed("a", 5, at_s)
    outliers.answered("a")
    for at_s in (2.0, 3.0):
        outliers.failed("a", 5, at_s)
    assert not outliers.is_out("a", 3.0)
    outliers.failed("a", 5, 4.0)
    assert outliers.is_out("a", 4.0)
    assert outliers.back_s("a") == 14.0
    assert outliers.is_out("a", 13.9)
    assert not outliers.is_out("a", 14.0)


def test_who_comes_back_is_out_again_at_the_first_failure_until_one_succeeds() -> None:
    outliers = Outliers(RULES)
    for _ in range(3):
        outliers.failed("a", 20, 0.0)
    outliers.failed("a", 20, 5.0)  # was under way
    outliers.broken("a", 6.0)  # and so was this
    assert outliers.back_s("a") == 10.0
    outliers.failed("a", 20, 10.0)
    assert outliers.back_s("a") == 30.0
    outliers.answered("a")
    outliers.failed("a", 20, 31.0)
    assert not outliers.is_out("a", 31.0)


def test_each_time_is_longer_up_to_the_longest_and_a_good_while_is_forgiven() -> None:
    outliers, out_s, now_s = Outliers(RULES), [], 0.0
    for _ in range(5):
        outliers.broken("a", now_s)
        out_s.append(outliers.back_s("a") - now_s)
        now_s = outliers.back_s("a") + 34.9
    assert out_s == pytest.approx([10.0, 20.0, 30.0, 35.0, 35.0])
    now_s += 0.2
    outliers.broken("a", now_s)
    assert outliers.back_s("a") - now_s == pytest.approx(10.0)


def test_nothing_is_left_of_a_node_that_is_gone() -> None:
    outliers = Outliers(RULES)
    outliers.broken("a", 0.0)
    outliers.forget("a")
    outliers.forget("a")
    assert not outliers.is_out("a", 0.0)


# ---------------------------------------------------------------- error shares


def compared(errors_per_s: float, *others: tuple[float, float], calls_per_s: float = 1.0) -> bool:
    outliers = Outliers(RULES)
    own = report("a", calls_per_s=calls_per_s, errors_per_s=errors_per_s)
    rest = [report("o", calls_per_s=calls, errors_per_s=errors) for calls, errors in others]
    outliers.compare(own, rest, 10, 0.0)
    return outliers.is_out("a", 0.0)


def test_who_fails_far_more_than_all_others_together_is_ejected() -> None:
    assert compared(0.35, (1.0, 0.0), (1.0, 0.1))
    assert not compared(0.34, (1.0, 0.0), (1.0, 0.1))
    assert not compared(0.9, (1.0, 0.9), (1.0, 0.7))  # all fail: it is not the node
    assert compared(0.9, (1.0, 0.0))  # two nodes are enough


def test_too_few_calls_say_nothing() -> None:
    assert not compared(0.09, (1.0, 0.0), calls_per_s=0.09)
    assert compared(0.1, (1.0, 0.0), calls_per_s=0.1)
    assert not compared(1.0, (0.05, 0.0), (0.04, 0.0))
    assert not compared(1.0)


# ---------------------------------------------------------------- how many


def test_one_node_may_always_be_ejected_but_only_a_share_at_once() -> None:
    outliers = Outliers(OutlierRules(failures=1, base_s=10.0, most_share=0.3))
    outliers.failed("a", 2, 0.0)
    outliers.failed("b", 2, 0.0)
    assert (outliers.is_out("a", 0.0), outliers.is_out("b", 0.0)) == (True, False)
    outliers.failed("b", 2, 10.0)
    assert outliers.is_out("b", 10.0)


def test_a_broken_link_is_no_guess_and_counts_against_guesses() -> None:
    outliers = Outliers(OutlierRules(failures=1, most_share=0.0))
    for node_id in ("a", "b", "c"):
        outliers.broken(node_id, 0.0)
    outliers.failed("d", 4, 0.0)
    assert [outliers.is_out(each, 0.0) for each in "abcd"] == [True, True, True, False]


@given(
    st.floats(0, 1),
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 11), st.sampled_from("fae"), st.floats(0, 20)), max_size=80),
)
def test_never_more_than_the_share_is_out(share: float, known: int, steps) -> None:
    outliers = Outliers(OutlierRules(2, base_s=10.0, longest_s=50.0, most_share=share))
    now_s = 0.0
    for number, what, later_s in steps:
        now_s += later_s
        node_id = str(number % known)
        if what == "f":
            outliers.failed(node_id, known, now_s)
        elif what == "a":
            outliers.answered(node_id)
        else:
            own = report(node_id, calls_per_s=1.0, errors_per_s=1.0)
            outliers.compare(own, [report("o", calls_per_s=1.0)], known, now_s)
        out = [each for each in map(str, range(known)) if outliers.is_out(each, now_s)]
        assert len(out) <= max(1, share * known)
        assert all(outliers.back_s(each) <= now_s + 50.0 for each in out)


@pytest.mark.parametrize(
    ("field", "value"),
    [("failures", 0), ("apart", 0.0), ("apart", 1.1), ("least_calls_per_s", 0.0), ("base_s", 0.0),
     ("longest_s", 29.0), ("most_share", 1.1)],
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"{field} is {value}: must be") as refused:
        OutlierRules(**{field: value})
    assert refused.value.field == field
