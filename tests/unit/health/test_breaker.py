"""The circuit breaker by literal clocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reception.health.breaker import Breaker, BreakerRules, Permit, State

RULES = BreakerRules(failures=3, open_s=30.0, permits=2, probe_s=10.0)


def opened(at_s: float = 100.0) -> Breaker:
    breaker = Breaker(RULES)
    for _ in range(3):
        fail(breaker, at_s)
    return breaker


def take(breaker: Breaker, now_s: float) -> Permit:
    permit = breaker.acquire(now_s)
    assert permit is not None
    return permit


def fail(breaker: Breaker, now_s: float) -> None:
    breaker.failure(take(breaker, now_s), now_s)


def test_three_failures_in_a_row_open_it() -> None:
    breaker = Breaker(RULES)
    fail(breaker, 1.0)
    fail(breaker, 2.0)
    assert (breaker.state(2.0), breaker.failures) == (State.CLOSED, 2)
    fail(breaker, 3.0)
    assert breaker.state(3.0) is State.OPEN
    assert breaker.acquire(32.9) is None


def test_a_success_between_starts_the_count_anew() -> None:
    breaker = Breaker(RULES)
    fail(breaker, 1.0)
    fail(breaker, 2.0)
    breaker.success(take(breaker, 3.0))
    fail(breaker, 4.0)
    fail(breaker, 5.0)
    assert breaker.state(5.0) is State.CLOSED


def test_after_its_time_it_lets_few_probes_through() -> None:
    breaker = opened(100.0)
    assert breaker.next_deadline_s() == 130.0
    assert breaker.state(130.0) is State.HALF_OPEN
    take(breaker, 130.0)
    assert breaker.next_deadline_s() is None
    take(breaker, 131.0)
    assert breaker.acquire(132.0) is None
    assert breaker.next_deadline_s() == 140.0


def test_a_good_probe_closes_it() -> None:
    breaker = opened()
    breaker.success(take(breaker, 130.0))
    assert (breaker.state(130.0), breaker.failures) == (State.CLOSED, 0)


def test_a_bad_probe_opens_it_again() -> None:
    breaker = opened()
    fail(breaker, 135.0)
    assert breaker.state(164.9) is State.OPEN
    assert breaker.state(165.0) is State.HALF_OPEN


def test_a_probe_that_hangs_loses_its_permit() -> None:
    breaker = opened()
    take(breaker, 130.0)
    take(breaker, 130.0)
    assert breaker.acquire(139.9) is None
    take(breaker, 140.0)


def test_a_cancelled_probe_is_neutral_and_gives_its_permit_back() -> None:
    breaker = opened()
    first = take(breaker, 130.0)
    take(breaker, 130.0)
    breaker.cancelled(first)
    assert breaker.state(131.0) is State.HALF_OPEN
    take(breaker, 131.0)
    closed = Breaker(RULES)
    closed.cancelled(take(closed, 1.0))
    assert closed.failures == 0


def test_an_outcome_of_an_earlier_round_says_nothing() -> None:
    breaker = Breaker(RULES)
    late_failure, late_success = take(breaker, 1.0), take(breaker, 1.0)
    for _ in range(3):
        fail(breaker, 2.0)
    breaker.success(late_success)
    assert breaker.state(3.0) is State.OPEN
    breaker.success(take(breaker, 32.0))
    breaker.failure(late_failure, 33.0)
    assert (breaker.state(33.0), breaker.failures) == (State.CLOSED, 0)


def test_outcomes_without_permits() -> None:
    breaker = Breaker(RULES)
    for _ in range(2):
        assert breaker.observe(False, 1.0) is State.CLOSED
    assert breaker.observe(False, 1.0) is State.OPEN
    assert breaker.observe(False, 20.0) is State.OPEN
    assert breaker.next_deadline_s() == 31.0
    assert breaker.observe(False, 31.0) is State.OPEN
    assert breaker.next_deadline_s() == 61.0
    assert breaker.observe(True, 32.0) is State.CLOSED
    assert breaker.next_deadline_s() is None


def test_a_restart_goes_on_where_it_was() -> None:
    restored = Breaker.restore(RULES, *opened(100.0).snapshot())
    assert restored.state(129.9) is State.OPEN
    assert restored.state(130.0) is State.HALF_OPEN


@given(st.lists(st.tuples(st.sampled_from("asfco"), st.floats(0.0, 20.0)), max_size=60))
def test_half_open_never_lets_more_through_than_its_permits(todo: list[tuple[str, float]]) -> None:
    """a: acquire; s, f, c: outcome of the oldest permit; o: only time passes."""
    breaker, now_s = Breaker(RULES), 0.0
    permits: list[Permit] = []
    probes: list[tuple[int, float]] = []
    for step, wait_s in todo:
        now_s += wait_s
        state = breaker.state(now_s)
        if step == "a":
            permit = breaker.acquire(now_s)
            assert (state is not State.OPEN) or permit is None
            if permit is not None:
                permits.append(permit)
                if state is State.HALF_OPEN:
                    probes = [p for p in probes if p[1] > now_s] + [
                        (permit.number, now_s + RULES.probe_s)
                    ]
                    assert len(probes) <= RULES.permits
        elif permits and step in "sfc":
            done = permits.pop(0)
            probes = [p for p in probes if p[0] != done.number]
            if step == "s":
                breaker.success(done)
            elif step == "f":
                breaker.failure(done, now_s)
            else:
                breaker.cancelled(done)
        if breaker.state(now_s) is not State.HALF_OPEN:
            probes = []
        deadline_s = breaker.next_deadline_s()
        assert (breaker.state(now_s) is not State.OPEN) or deadline_s is not None
