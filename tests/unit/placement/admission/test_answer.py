"""Answers, their counts, when refused callers come back, and places that are kept."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.placement.admission.answer import (
    Admitted,
    Answers,
    Cause,
    Reservations,
    RetryWindow,
    Tally,
)
from reception.placement.admission.priority import Priority

WINDOW = RetryWindow(least_s=1.0, longest_s=11.0)


def refuse(answers: Answers) -> float:
    return answers.refuse(Cause.MEMORY, Priority.BATCH, "full").retry_after_s


def test_answers_are_counted() -> None:
    answers = Answers(WINDOW)
    assert answers.admit(Priority.NORMAL, 12.0) == Admitted(12.0)
    refused = answers.refuse(Cause.SESSIONS, Priority.BATCH, "full", wait_s=20.0)
    assert (refused.cause, refused.reason) == (Cause.SESSIONS, "full")
    assert refused.retry_after_s == pytest.approx(20.0 + 1.0 + 6.18, abs=0.01)
    assert answers.tally(3) == Tally({Priority.NORMAL: 1}, {(Cause.SESSIONS, Priority.BATCH): 1}, 3)


def test_a_tally_does_not_change_afterwards() -> None:
    answers = Answers(WINDOW)
    before = answers.tally(0)
    answers.admit(Priority.NORMAL, 1.0)
    assert before.admitted == {}


@given(st.integers(1, 2_000))
def test_callers_refused_at_one_moment_come_back_evenly(count: int) -> None:
    """Never more than two over the even share in any tenth of the window."""
    answers = Answers(WINDOW)
    back_s = [refuse(answers) for _ in range(count)]
    assert all(1.0 <= each < 11.0 for each in back_s)
    assert max(Counter(int(each - 1.0) for each in back_s).values()) <= count / 10 + 2


def test_no_two_of_many_come_back_together() -> None:
    answers = Answers(WINDOW)
    back_s = sorted(refuse(answers) for _ in range(1_000))
    apart_s = [later - earlier for earlier, later in pairwise(back_s)]
    assert min(apart_s) > 10.0 / 1_000 / 3


def test_a_place_is_kept_until_it_is_freed_or_its_time_is_over() -> None:
    kept = Reservations(hold_s=10.0)
    assert kept.next_deadline_s() is None
    assert (kept.take("a", 0.0), kept.take("b", 3.0)) == (10.0, 13.0)
    assert (kept.until_s("a"), kept.until_s("c")) == (10.0, None)
    assert kept.next_deadline_s() == 10.0
    assert kept.expire(9.9) == []
    assert kept.expire(10.0) == ["a"]
    assert ("a" in kept, "b" in kept, len(kept), kept.expired) == (False, True, 1, 1)
    assert (kept.free("b"), kept.free("b"), len(kept)) == (True, False, 0)
    assert (kept.expire(20.0), kept.expired) == ([], 1)
