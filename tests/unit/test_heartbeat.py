"""When a silent peer is asked, and given up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.heartbeat import Heartbeat, Verdict


@pytest.mark.parametrize(
    ("beats", "verdict"),
    [(1, Verdict.WAIT), (2, Verdict.ASK), (3, Verdict.WAIT), (4, Verdict.DEAD), (5, Verdict.DEAD)],
)
def test_a_peer_is_asked_and_then_given_up(beats, verdict):
    assert Heartbeat.judge(beats) is verdict


@given(st.floats(0.1, 60.0), st.floats(0.0, 1.0))
def test_a_frozen_peer_is_given_up_in_time_and_not_much_too_early(dead_after_s, share):
    """Last heard at any point between two beats."""
    heartbeat = Heartbeat(dead_after_s)
    heard_s, now_s, beats = share * heartbeat.beat_s, 0.0, 0
    while heartbeat.judge(beats) is not Verdict.DEAD:
        now_s += heartbeat.beat_s
        beats += 1
    assert 0.749 * dead_after_s <= now_s - heard_s <= 1.001 * dead_after_s


def test_a_peer_with_nothing_to_say_is_asked_once_a_second():
    heartbeat, beats, asked = Heartbeat(2.0), 0, []
    for number in range(1, 13):
        beats += 1
        verdict = heartbeat.judge(beats)
        assert verdict is not Verdict.DEAD
        if verdict is Verdict.ASK:
            asked.append(number * heartbeat.beat_s)
            beats = 0  # its answer comes before the next beat
    assert asked == [1, 2, 3, 4, 5, 6]


def test_who_was_held_up_judges_nobody():
    heartbeat = Heartbeat(2.0)
    heartbeat.start(10.0)
    assert heartbeat.beat(10.5)
    assert heartbeat.beat(11.4)  # late, by less than a beat
    assert not heartbeat.beat(12.5)
    assert heartbeat.beat(13.0)


def test_who_was_held_up_knows_it_for_a_while():
    heartbeat = Heartbeat(2.0)
    heartbeat.start(10.0)
    assert not heartbeat.held_up(10.5)
    assert heartbeat.held_up(14.0)  # and its beat has not even come yet
    heartbeat.beat(14.0)
    assert heartbeat.held_up(14.1)
    for beat in range(1, 5):
        heartbeat.beat(14.0 + 0.5 * beat)
    assert not heartbeat.held_up(16.0)
