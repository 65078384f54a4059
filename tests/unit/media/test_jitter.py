"""Frames put in order by their numbers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.media.jitter import JitterBuffer, JitterCounts, Lost


def play(numbers, buffer=None, every_s=0.02):
    """Everything that comes out of frames (named after their numbers) every 20 ms."""
    buffer = buffer or JitterBuffer()
    return [
        out for at, number in enumerate(numbers) for out in buffer.add(number, number, at * every_s)
    ]


def test_frames_in_order_pass_at_once():
    buffer: JitterBuffer[Any] = JitterBuffer()
    assert [buffer.add(f"f{n}", n, n * 0.02) for n in range(7, 200)] == [
        [f"f{n}"] for n in range(7, 200)
    ]
    assert buffer.next_deadline_s() is None
    assert buffer.counts == JitterCounts(received=193)


def test_frames_without_numbers_pass_and_may_be_numbered_later():
    assert play([0, 0, 0, 8, 9, 11, 10]) == [0, 0, 0, 8, 9, 10, 11]


def test_a_frame_that_was_overtaken_is_put_right():
    buffer: JitterBuffer[Any] = JitterBuffer()
    assert buffer.add(1, 1, 0.0) == [1]
    assert buffer.add(3, 3, 0.02) == []
    assert buffer.next_deadline_s() == pytest.approx(0.08)
    assert buffer.add(2, 2, 0.04) == [2, 3]
    assert buffer.next_deadline_s() is None
    assert buffer.counts == JitterCounts(received=3, reordered=1)


def test_three_frames_may_overtake_one_and_a_fourth_gives_it_up():
    buffer: JitterBuffer[Any] = JitterBuffer(window_s=1.0)
    assert play([1, 3, 4, 5, 2], buffer) == [1, 2, 3, 4, 5]
    assert play([7, 8, 9], buffer) == []
    assert play([10], buffer) == [Lost(1), 7, 8, 9, 10]
    assert buffer.counts == JitterCounts(received=9, reordered=1, lost=1)


def test_a_gap_waits_no_longer_than_its_window():
    buffer: JitterBuffer[Any] = JitterBuffer()
    play([1], buffer)
    assert buffer.add(4, 4, 5.0) == []
    deadline_s = buffer.next_deadline_s()
    assert deadline_s is not None
    assert buffer.handle_timer(deadline_s - 0.001) == []
    assert buffer.handle_timer(deadline_s) == [Lost(2), 4]
    assert buffer.handle_timer(deadline_s) == []
    assert buffer.counts.lost == 2


def test_a_second_gap_waits_from_its_own_first_frame():
    buffer: JitterBuffer[Any] = JitterBuffer()
    play([1], buffer)
    buffer.add(3, 3, 0.10)
    buffer.add(5, 5, 0.14)
    assert buffer.handle_timer(0.16) == [Lost(1), 3]
    assert buffer.next_deadline_s() == pytest.approx(0.20)
    assert buffer.add(4, 4, 0.19) == [4, 5]


def test_a_frame_after_the_deadline_but_before_the_timer_is_still_played():
    buffer: JitterBuffer[Any] = JitterBuffer()
    play([1], buffer)
    buffer.add(3, 3, 0.02)
    assert buffer.add(2, 2, 0.5) == [2, 3]


def test_a_late_frame_is_dropped_however_far_behind_within_memory():
    buffer: JitterBuffer[Any] = JitterBuffer()
    play([1, *range(3, 60)], buffer)
    assert buffer.add(2, 2, 2.0) == []
    assert (buffer.counts.lost, buffer.counts.late, buffer.counts.received) == (1, 1, 59)


def test_a_double_frame_is_dropped_whether_played_or_held():
    buffer: JitterBuffer[Any] = JitterBuffer()
    assert play([1, 2, 2, 1, 4, 4, 3], buffer) == [1, 2, 3, 4]
    assert buffer.counts == JitterCounts(received=7, duplicate=3, reordered=1)


@pytest.mark.parametrize(
    ("numbers", "bad"),
    [
        ([5], 4),  # before the first: never missing
        ([5], 0),
        ([5, 6, 7, 8, 9], 5),  # came, and is further back than the window
        ([1, *range(3, 70)], 2),  # was missing, and is forgotten
        ([1, 1000], 999 - 64),
        ([1, *range(2, 100)], 1),
    ],
)
def test_going_backwards_is_refused_by_its_number(numbers, bad):
    buffer: JitterBuffer[Any] = JitterBuffer()
    play(numbers, buffer)
    with pytest.raises(InvalidRequest, match=f"{bad} is not over {numbers[-1]}") as caught:
        buffer.add(bad, bad, 9.0)
    assert caught.value.field == "audio.sequence"
    assert buffer.counts.received == len(numbers)


def test_a_jump_is_one_loss():
    assert play([1, 1 << 60, (1 << 60) + 1]) == [1, Lost((1 << 60) - 2), 1 << 60, (1 << 60) + 1]


def test_the_end_lets_go_of_everything():
    buffer: JitterBuffer[Any] = JitterBuffer()
    play([1, 3], buffer)
    assert buffer.flush() == [Lost(1), 3]
    assert buffer.flush() == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [((0,), "window_frames 0"), ((33,), "window_frames 33"), ((3, 0.0), "window_s 0")],
)
def test_the_window_has_bounds(arguments, says):
    with pytest.raises(ValueError, match=says):
        JitterBuffer(*arguments)


@st.composite
def networks(draw):
    """(window, numbers in order of arrival): some lost, some late, some doubled."""
    window = draw(st.integers(1, 6))
    arrivals = []
    for number in range(1, draw(st.integers(2, 60)) + 1):
        fate = draw(st.sampled_from(["arrives"] * 6 + ["lost", "doubled"])) if number > 1 else ""
        delay = draw(st.integers(0, window + 2)) if number > 1 else 0
        if fate != "lost":
            arrivals.append((number + delay, number))
        if fate == "doubled":
            arrivals.append((number + delay, number))
    return window, [number for _, number in sorted(arrivals)]


@given(networks())
def test_order_is_kept_and_every_number_is_accounted_for(network):
    window, numbers = network
    buffer: JitterBuffer[Any] = JitterBuffer(window, window_s=10.0)
    try:
        out = play(numbers, buffer)
    except InvalidRequest:  # doubled, and the double late beyond the window
        assert len(set(numbers)) < len(numbers)
        return
    out += buffer.flush()
    played = [each for each in out if not isinstance(each, Lost)]
    lost = sum(each.frames for each in out if isinstance(each, Lost))
    counts = buffer.counts
    assert played == sorted(set(played))
    assert len(played) + lost == max(numbers)
    assert counts.lost == lost
    assert counts.received == len(numbers) == len(played) + counts.late + counts.duplicate


@given(st.permutations(range(4)), st.integers(0, 5))
def test_whatever_is_shuffled_within_the_window_comes_out_whole(order, blocks):
    numbers = [1] + [2 + 4 * block + each for block in range(blocks) for each in order]
    assert play(numbers) == list(range(1, 4 * blocks + 2))


def test_after_a_restart_any_number_may_be_the_first():
    buffer: JitterBuffer[str] = JitterBuffer()
    buffer.add("a", 100, 0.0)
    buffer.add("c", 102, 0.02)
    assert buffer.restart() == [Lost(1), "c"]
    assert buffer.next_deadline_s() is None
    assert [buffer.add(frame, number, 1.0) for frame, number in (("d", 1), ("e", 2))] == [
        ["d"], ["e"],
    ]  # fmt: skip
    assert buffer.counts.received == 4
