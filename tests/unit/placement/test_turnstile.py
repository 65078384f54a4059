"""The line at a front door."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.placement.line import Refusal, Ticket
from reception.placement.turnstile import FIRST_GUESS_S, Turnstile, TurnstileRules


def full(at_once=2, waiting=3, longest_wait_s=3.0):
    turnstile = Turnstile(TurnstileRules(at_once, waiting, longest_wait_s, first_wait_s=4.0))
    for number in range(at_once):
        assert turnstile.enter(f"in{number}", 0.0) is None
    return turnstile


def test_a_few_are_inside_and_the_others_come_in_the_order_they_came():
    turnstile = full()
    assert turnstile.enter("a", 0.0) == Ticket("a", 1, FIRST_GUESS_S / 2, until_s=3.0)
    assert turnstile.enter("b", 0.0) == Ticket("b", 2, FIRST_GUESS_S, until_s=3.0)
    assert (turnstile.inside, turnstile.waiting) == (2, 2)
    assert turnstile.leave("in1", FIRST_GUESS_S) == "a"
    assert turnstile.ticket("a") is None
    assert turnstile.ticket("b") == Ticket("b", 1, FIRST_GUESS_S / 2, until_s=3.0)
    assert turnstile.leave("in0", FIRST_GUESS_S) == "b"
    assert turnstile.leave("a", 2 * FIRST_GUESS_S) is None
    assert (turnstile.inside, turnstile.waiting) == (1, 0)


def test_the_wait_that_is_told_follows_how_long_others_were_inside():
    turnstile = Turnstile(TurnstileRules(1, 10, longest_wait_s=3.0))
    for number in range(60):
        assert turnstile.enter(f"c{number}", 10.0 * number) is None
        turnstile.leave(f"c{number}", 10.0 * number + 0.5)
    turnstile.enter("in", 600.0)
    ticket = turnstile.enter("waits", 600.0)
    assert isinstance(ticket, Ticket)
    assert ticket.expected_wait_s == pytest.approx(0.5, rel=0.01)
    for number in range(5):
        assert isinstance(turnstile.enter(f"too{number}", 600.0), Ticket)
    refused = turnstile.enter("seventh", 600.0)  # 3.5 s is too long
    assert isinstance(refused, Refusal)
    assert refused.reason == (
        "this node is at as many new calls as it takes at once, and 6 callers wait"
    )
    assert refused.retry_after_s == 1.0


def test_a_passage_of_no_time_counts_as_a_short_one():
    turnstile = full(at_once=1)
    for _ in range(200):
        turnstile.leave("in0", 5.0)
        assert turnstile.enter("in0", 5.0) is None
    ticket = turnstile.enter("a", 5.0)
    assert isinstance(ticket, Ticket)
    assert 0 < ticket.expected_wait_s < 0.002


def test_past_its_bound_the_line_refuses_at_once_and_in_turn():
    turnstile = full(waiting=1)
    turnstile.enter("a", 0.0)
    refused = [turnstile.enter(f"r{number}", 0.0) for number in range(100)]
    backs = [each.retry_after_s for each in refused if isinstance(each, Refusal)]
    assert len(backs) == 100
    assert backs == sorted(backs)
    assert backs[0] == 1.0
    assert turnstile.waiting == 1
    late = turnstile.refuse(0.0)
    assert late.retry_after_s > backs[-1]


def test_who_goes_first_is_before_the_rest_even_where_the_line_is_full():
    turnstile = full(waiting=2)
    turnstile.enter("a", 0.0)
    turnstile.enter("b", 0.0)
    assert isinstance(turnstile.enter("c", 0.0), Refusal)
    ticket = turnstile.enter("urgent", 0.0, first=True)
    assert ticket == Ticket("urgent", 1, FIRST_GUESS_S / 2, until_s=4.0)
    assert turnstile.enter("urgent too", 1.0, first=True) == Ticket(
        "urgent too", 2, FIRST_GUESS_S, until_s=5.0
    )
    assert isinstance(turnstile.enter("urgent three", 1.0, first=True), Refusal)  # bounded too
    assert turnstile.leave("in0", 1.0) == "urgent"


def test_who_goes_away_leaves_no_trace():
    turnstile = full()
    turnstile.enter("a", 0.0)
    turnstile.enter("b", 0.0)
    assert turnstile.leave("a", 0.1) is None
    assert turnstile.leave("a", 0.1) is None
    assert turnstile.leave("unknown", 0.1) is None
    assert (turnstile.inside, turnstile.waiting) == (2, 1)
    assert turnstile.leave("in0", 0.1) == "b"


@given(
    st.lists(st.tuples(st.sampled_from(["come", "first", "leave", "go"]), st.integers(0, 9))),
    st.integers(1, 4),
)
def test_never_more_inside_nobody_lost_and_each_in_turn(steps, at_once):
    turnstile = Turnstile(TurnstileRules(at_once, 4, 1_000.0))
    inside: list[str] = []
    firsts: list[str] = []
    others: list[str] = []
    now_s = 0.0
    for number, (step, which) in enumerate(steps):
        now_s += 0.01
        caller = f"c{number}"
        waiting = firsts + others
        if step in ("come", "first"):
            answer = turnstile.enter(caller, now_s, first=step == "first")
            if answer is None:
                assert not waiting
                inside.append(caller)
            elif isinstance(answer, Ticket):
                (firsts if step == "first" else others).append(caller)
                assert answer.position == (firsts + others).index(caller) + 1
            else:
                assert len(waiting) >= 4
        elif step == "go" and waiting:
            gone = waiting[which % len(waiting)]
            assert turnstile.leave(gone, now_s) is None
            (firsts if gone in firsts else others).remove(gone)
        elif step == "leave" and inside:
            turn = turnstile.leave(inside.pop(which % len(inside)), now_s)
            assert turn == (waiting[0] if waiting else None)
            if turn is not None:
                (firsts or others).pop(0)
                inside.append(turn)
        assert (turnstile.inside, turnstile.waiting) == (len(inside), len(firsts) + len(others))
        assert len(inside) <= at_once
        assert len(firsts) <= 4
        assert turnstile.waiting <= 8
        assert len(inside) == at_once or not turnstile.waiting
