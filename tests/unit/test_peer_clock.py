"""A peer's stamps on our own clock."""

from hypothesis import given
from hypothesis import strategies as st

from reception.peer_clock import PeerClock

S = 1_000_000_000
MS = 1_000_000


@given(
    st.integers(-(10**15), 10**15),
    st.integers(0, 50 * MS),
    st.integers(0, 50 * MS),
    st.integers(0, 50 * MS),
)
def test_the_error_is_at_most_half_of_the_round_trip(ahead_ns, there_ns, back_ns, age_ns):
    clock, asked_ns = PeerClock(), 10**16
    now_ns = asked_ns + there_ns + back_ns
    clock.answered(asked_ns, asked_ns + there_ns + ahead_ns, now_ns)
    then_ns = now_ns - age_ns
    got_ns = clock.ours(then_ns + ahead_ns, now_ns)
    assert abs(got_ns - then_ns) <= (there_ns + back_ns) / 2 + 1
    assert got_ns <= now_ns


def test_an_unknown_clock_shows_now():
    assert PeerClock().ours(5, 99) == 99


def test_a_slow_answer_does_not_spoil_a_quick_one_until_that_is_old():
    clock = PeerClock()
    clock.answered(0, 500 + 1 * MS // 2, 1 * MS)  # 500 ns ahead
    clock.answered(1 * S, 1 * S, 1 * S + 40 * MS)  # says 20 ms behind
    assert clock.ours(2 * S, 3 * S) == 2 * S - 500
    clock.answered(11 * S, 11 * S, 11 * S + 40 * MS)
    assert clock.ours(12 * S, 13 * S) == 12 * S + 20 * MS
    clock.answered(12 * S, 12 * S, 12 * S + 20 * MS)  # quicker: counts at once
    assert clock.ours(12 * S, 13 * S) == 12 * S + 10 * MS


def test_a_stamp_stays_a_stamp():
    clock = PeerClock()
    clock.answered(0, 10 * S, 0)
    assert clock.ours(1, S) == 1  # before our clock began, and not 0: that is none
