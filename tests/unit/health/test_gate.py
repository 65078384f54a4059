"""Who is let through to a provider that refuses, by literal clocks."""

from __future__ import annotations

from reception.health.breaker import Breaker, BreakerRules, State
from reception.health.gate import Gate
from reception.placement.admission.answer import Cause, Refused, RetryWindow
from reception.placement.admission.priority import Priority
from reception.provider.refusal import Outcome

RULES = BreakerRules(failures=3, open_s=30.0, permits=1, probe_s=20.0)
NORMAL = Priority.NORMAL


def gate() -> tuple[Gate, Breaker]:
    breaker = Breaker(RULES)
    return Gate(breaker, RetryWindow(1.0, 1.0)), breaker


def shut() -> tuple[Gate, Breaker]:
    made, breaker = gate()
    made.told({Outcome.REFUSED: 2, Outcome.FAILED: 1}, 100.0)
    return made, breaker


def test_three_dials_in_vain_and_the_next_call_is_told_when_to_ask_again() -> None:
    made, breaker = gate()
    made.told({Outcome.REFUSED: 2}, 99.0)
    assert made.admit("s0", NORMAL, 99.5) is None
    made.told({Outcome.FAILED: 1}, 100.0)
    assert breaker.state(100.0) is State.OPEN
    refused = made.admit("s1", NORMAL, 110.0)
    assert isinstance(refused, Refused)
    assert (refused.cause, refused.retry_after_s) == (Cause.PROVIDER_AWAY, 21.0)
    assert made.tally().refused == {(Cause.PROVIDER_AWAY, NORMAL): 1}


def test_an_answer_counts_for_more_than_failures_beside_it() -> None:
    made, breaker = gate()
    made.told({Outcome.UP: 1, Outcome.FAILED: 5}, 100.0)
    assert breaker.state(100.0) is State.CLOSED
    made, breaker = shut()
    made.told({Outcome.UP: 1}, 101.0)
    assert made.admit("s1", NORMAL, 101.0) is None


def test_that_nobody_dialled_says_nothing() -> None:
    made, breaker = shut()
    made.told({}, 101.0)
    assert breaker.state(101.0) is State.OPEN


def test_an_emergency_is_let_through_whatever_the_state() -> None:
    made, _ = shut()
    assert made.admit("s1", Priority.EMERGENCY, 101.0) is None
    assert made.admit("s1", Priority.EMERGENCY, 130.0) is None
    assert made.admit("s2", NORMAL, 130.0) is None  # the probe's place is not taken by it


def test_after_its_time_one_call_tries_whether_it_works() -> None:
    made, breaker = shut()
    assert made.admit("s1", NORMAL, 130.0) is None
    made.told({}, 131.0)
    assert made.admit("s1", NORMAL, 131.0) is None  # the same call
    refused = made.admit("s2", NORMAL, 131.0)
    assert isinstance(refused, Refused)
    assert refused.retry_after_s == 20.0  # until the probe counts no more
    made.told({Outcome.UP: 1}, 135.0)
    assert breaker.state(135.0) is State.CLOSED
    assert made.admit("s2", NORMAL, 135.0) is None


def test_a_try_that_fails_shuts_it_for_as_long_again() -> None:
    made, _ = shut()
    assert made.admit("s1", NORMAL, 130.0) is None
    made.told({Outcome.REFUSED: 1}, 132.0)
    assert isinstance(made.admit("s1", NORMAL, 161.0), Refused)
    assert made.admit("s2", NORMAL, 162.0) is None


def test_a_try_that_does_not_begin_leaves_its_place_to_the_next() -> None:
    made, _ = shut()
    assert made.admit("s1", NORMAL, 130.0) is None
    for _ in range(2):
        made.gave_up("s1")
    assert made.admit("s2", NORMAL, 131.0) is None
    assert isinstance(made.admit("s3", NORMAL, 131.0), Refused)


def test_a_try_that_nobody_hears_of_makes_room_for_another_in_time() -> None:
    made, _ = shut()
    assert made.admit("s1", NORMAL, 130.0) is None
    assert made.admit("s2", NORMAL, 150.0) is None
    assert isinstance(made.admit("s3", NORMAL, 150.0), Refused)


def test_outcomes_only_grow() -> None:
    made, _ = shut()
    made.told({Outcome.UP: 1, Outcome.FAILED: 1}, 101.0)
    assert made.dials == {Outcome.UP: 1, Outcome.FAILED: 2, Outcome.REFUSED: 2}
