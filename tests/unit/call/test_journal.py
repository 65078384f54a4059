"""What a session leaves behind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reception.call.journal import MAX_EVENTS, Journal, lost_session, session_lost


def test_what_came_since_the_checkpoint_is_there_in_order():
    journal: Journal[str] = Journal()
    for event in "abcd":
        assert journal.add(event)
    assert (journal.checkpoint, journal.events, journal.since()) == (b"", 0, tuple("abcd"))
    journal.keep(b"after b", 2)
    assert (journal.checkpoint, journal.events, journal.since()) == (b"after b", 2, ("c", "d"))
    journal.keep(b"timer", 2)
    assert (journal.checkpoint, journal.since()) == (b"timer", ("c", "d"))


def test_a_checkpoint_that_comes_late_changes_nothing():
    journal: Journal[str] = Journal(b"moved here")
    assert journal.checkpoint == b"moved here"
    for event in "abc":
        journal.add(event)
    journal.keep(b"3", 3)
    journal.keep(b"2", 2)
    assert (journal.checkpoint, journal.events, journal.since()) == (b"3", 3, ())


def test_a_session_that_never_tells_its_state_is_noticed():
    journal: Journal[int] = Journal()
    assert all(journal.add(number) for number in range(MAX_EVENTS))
    assert not journal.add(MAX_EVENTS)


@given(st.lists(st.one_of(st.none(), st.integers(0, 5))))
def test_checkpoint_and_what_came_since_are_always_everything(steps):
    """None: an event comes; a number: the session has got so much further."""
    journal: Journal[int] = Journal()
    came = told = 0
    for step in steps:
        if step is None:
            journal.add(came)
            came += 1
        else:
            told = min(came, told + step)
            journal.keep(b"", told)
        assert (*range(journal.events), *journal.since()) == tuple(range(came))


def test_news_of_a_lost_session_are_told_from_others():
    assert lost_session(session_lost("abc", "session:n-1")) == ("abc", "session:n-1")
    assert lost_session(b'{"call_id": "x"}') is None
