"""Two voices on one clock: jitter, stalls, gaps, drift and interruptions."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reception.media.codecs import AudioFormat
from reception.media.timeline import BLOCK_MS, MAX_AHEAD_MS, WINDOW_MS, Timeline

PCMU, L16 = AudioFormat("pcmu", 8_000), AudioFormat("l16", 16_000)
QUIET = b"\xff"


class Tape:
    """What a timeline gave out."""

    def __init__(self, format=PCMU, begin_s=0.0):
        self.format = format
        self.blocks: list[tuple[bytes, bytes]] = []
        self.timeline = Timeline(format, begin_s, lambda *block: self.blocks.append(block))

    @property
    def caller(self):
        return b"".join(left for left, _ in self.blocks)

    @property
    def heard(self):
        return b"".join(right for _, right in self.blocks)

    def finish(self, at_s):
        self.timeline.finish(at_s)
        assert len(self.caller) == len(self.heard)
        return self


def frame(number, ms=20):
    """A frame that no other frame looks like."""
    return bytes([number % 200 + 1]) * (8 * ms)


def test_a_frame_belongs_where_it_ends_when_it_arrives():
    tape = Tape(begin_s=100.0)
    tape.timeline.said(100.5, frame(1))
    tape.finish(101.0)
    assert tape.caller == QUIET * 3_840 + frame(1) + QUIET * 4_000
    assert tape.heard == QUIET * 8_000


def test_blocks_come_in_order_while_the_call_goes_on_and_hold_what_may_still_change():
    tape = Tape(L16)
    for number in range(1, 251):
        tape.timeline.said(number * 0.02, bytes([number, 0]) * 320)
    assert [len(left) for left, _ in tape.blocks] == [32_000] * 3
    assert 5_000 - WINDOW_MS == 3 * BLOCK_MS
    tape.finish(5.0)
    assert tape.caller == b"".join(bytes([number, 0]) * 320 for number in range(1, 251))


def test_silence_for_hours_is_given_out_as_time_passes():
    tape = Tape()
    tape.timeline.said(0.02, frame(1))
    tape.timeline.heard(7_200.0, frame(2), "i1")
    tape.finish(7_201.0)
    assert len(tape.heard) == 7_201 * 8_000
    assert tape.heard[7_200 * 8_000 :][:160] == frame(2)
    assert {len(left) for left, _ in tape.blocks} == {8_000}


@given(st.lists(st.integers(0, 180), min_size=100, max_size=100), st.integers(20, 60))
def test_jitter_neither_loses_nor_moves_a_sample(delays_ms, first_ms):
    """In-order delivery: a frame that is held up holds up those behind it."""
    tape, arrival_ms = Tape(), 0
    tape.timeline.said(first_ms / 1000, frame(0))
    for number, delay_ms in enumerate(delays_ms, start=1):
        arrival_ms = max(arrival_ms, first_ms + number * 20 + delay_ms * (number % 7 == 3))
        tape.timeline.said(arrival_ms / 1000, frame(number))
    tape.finish((first_ms + 2_000) / 1000)
    said = b"".join(frame(number) for number in range(101))
    assert tape.caller == QUIET * ((first_ms - 20) * 8) + said


def test_a_late_second_frame_joins_the_first():
    tape = Tape()
    tape.timeline.said(0.02, frame(1))
    tape.timeline.said(0.07, frame(2))
    tape.finish(0.07)
    assert tape.caller == frame(1) + frame(2) + QUIET * 240


@pytest.mark.parametrize("stall_ms", [220, 700, 1_700])
def test_frames_that_were_held_up_move_back_to_where_they_belong(stall_ms):
    tape = Tape()
    for number in range(1, 401):
        due_ms = number * 20
        held = 3_000 < due_ms <= 3_000 + stall_ms
        tape.timeline.said((3_000 + stall_ms if held else due_ms) / 1000, frame(number))
    tape.finish(8.0)
    assert tape.caller == b"".join(frame(number) for number in range(1, 401))


def test_after_a_pause_the_voice_is_where_it_was_said():
    tape = Tape()
    tape.timeline.said(0.02, frame(1))
    tape.timeline.said(3.02, frame(2))
    tape.timeline.said(3.04, frame(3))
    tape.finish(4.0)
    assert tape.caller[3_000 * 8 :][:320] == frame(2) + frame(3)


def test_lost_frames_are_silence_and_what_follows_stays_in_place():
    tape = Tape()
    tape.timeline.said(0.02, frame(1))
    tape.timeline.said(0.10, frame(2), lost=3)
    tape.finish(0.1)
    assert tape.caller == frame(1) + QUIET * 480 + frame(2)


def test_a_wild_number_of_lost_frames_does_no_harm():
    tape = Tape()
    tape.timeline.said(0.02, frame(1))
    tape.timeline.said(0.04, frame(2), lost=2**60)
    tape.finish(0.04)
    assert tape.caller == frame(1) + frame(2)


def test_a_flood_is_bounded_and_counted():
    tape = Tape()
    for number in range(500):
        tape.timeline.said(0.02, frame(number))
    assert tape.timeline.dropped_ms == 10_000 - MAX_AHEAD_MS - 20
    tape.finish(0.02)
    assert len(tape.caller) < (MAX_AHEAD_MS + 60) * 8


@pytest.mark.parametrize("ppm", [-300, 300])
def test_a_drifting_clock_stays_in_step_for_an_hour(ppm):
    """The leg's clock runs 300 ppm off (1.08 s an hour), with jitter on top."""
    tape, rng = Tape(), random.Random(1)
    last_s = 0.0
    for number in range(1, 60_001):
        true_s = number * 0.06 * (1 + ppm / 1e6)
        last_s = max(last_s, true_s + rng.random() * 0.04)
        spoken = frame(1, 60) if number % 1_000 == 0 else QUIET * 480
        tape.timeline.said(last_s, spoken)
    tape.finish(last_s)
    said = tape.caller
    at, beeps = said.find(frame(1)[:100]), 0
    while at >= 0:
        beeps += 1
        true_s = (beeps * 1_000 - 1) * 0.06 * (1 + ppm / 1e6)
        assert abs(at / 8_000 - true_s) < 0.06
        at = said.find(frame(1)[:100], at + 2_000)
    assert beeps == 60


def test_answers_are_where_the_leg_plays_them():
    tape = Tape()
    tape.timeline.heard(0.1, frame(1), "i1")
    tape.timeline.heard(0.1204, frame(2), "i1")  # rounding: joined
    tape.timeline.heard(0.5, frame(3), "i2")
    tape.finish(0.6)
    expected = QUIET * 800 + frame(1) + frame(2) + QUIET * (4_000 - 1_120) + frame(3)
    assert tape.heard == expected + QUIET * 640


def test_an_interruption_leaves_what_was_heard_of_the_item_and_nothing_after_it():
    tape = Tape()
    for number in range(10):
        tape.timeline.heard(1 + number * 0.02, frame(number), "i1")
    tape.timeline.heard(1.2, frame(50), "i2")
    tape.timeline.cut("i1", 90)
    tape.timeline.cut("i2", 0)
    tape.timeline.heard(1.5, frame(60), "i3")
    tape.finish(2.0)
    spoken = b"".join(frame(number) for number in range(10))
    assert tape.heard[8_000:][:4_160] == spoken[:720] + QUIET * (4_000 - 720) + frame(60)


def test_an_item_heard_to_its_end_is_not_cut_but_the_one_behind_it_is():
    tape = Tape()
    tape.timeline.heard(0.0, frame(1), "i1")
    tape.timeline.heard(0.02, frame(2), "i2")
    tape.timeline.cut("i1", 20)
    tape.timeline.cut("i2", 0)
    tape.timeline.cut("never heard of", 0)
    tape.finish(0.1)
    assert tape.heard == frame(1) + QUIET * 640


def test_what_was_given_out_can_not_be_cut_any_more():
    tape = Tape()
    for number in range(200):
        tape.timeline.heard(number * 0.02, frame(number), "i1")
    tape.timeline.cut("i1", 0)
    tape.finish(4.0)
    assert tape.heard == b"".join(frame(n) for n in range(50)) + QUIET * 24_000


def test_nothing_is_heard_after_the_call():
    tape = Tape()
    for number in range(10):
        tape.timeline.heard(number * 0.02, frame(number), "i1")
    tape.finish(0.05)
    assert tape.heard == frame(0) + frame(1) + frame(2)[:80]


events = st.lists(
    st.one_of(
        st.tuples(st.just("said"), st.integers(0, 400), st.integers(1, 1_000), st.integers(0, 9)),
        st.tuples(st.just("heard"), st.integers(0, 120), st.sampled_from([10, 20, 60])),
        st.tuples(st.just("cut"), st.integers(0, 3_000)),
        st.tuples(st.just("pause"), st.integers(0, 9_000)),
    ),
    max_size=120,
)


@given(events)
@settings(max_examples=75)
def test_whatever_comes_channels_stay_equal_in_order_and_bounded(story):
    tape, now_ms, edge_ms, item, said_ms = Tape(L16), 0, 0, 0, 0
    line = tape.timeline
    for event in story:
        match event:
            case "said", wait_ms, ms, lost:
                now_ms += wait_ms
                line.said(now_ms / 1000, b"\x11\x11" * (16 * ms), lost)
                said_ms += ms
            case "heard", lead_ms, ms:
                edge_ms = max(edge_ms, now_ms + lead_ms)
                line.heard(edge_ms / 1000, b"\x22\x22" * (16 * ms), f"i{item}")
                edge_ms = min(edge_ms + ms, now_ms + 200)
            case "cut", heard_ms:
                line.cut(f"i{item}", heard_ms)
                item, edge_ms = item + 1, now_ms
            case "pause", wait_ms:
                now_ms += wait_ms
        for track in (line._caller, line._heard):
            assert track.end - track.begins <= 16 * (WINDOW_MS + BLOCK_MS + MAX_AHEAD_MS + 1_000)
    given_out = len(tape.blocks)
    tape.finish(now_ms / 1000)
    assert all(len(left) == len(right) for left, right in tape.blocks)
    assert all(len(left) == 32 * BLOCK_MS for left, _ in tape.blocks[: max(given_out, 1) - 1])
    assert set(tape.caller) <= {0, 0x11}
    assert set(tape.heard) <= {0, 0x22}
    assert len(tape.caller) >= 32 * now_ms
    voice_ms = tape.caller.count(0x11) / 32
    assert voice_ms <= said_ms * 1.02 + 1
    assert voice_ms >= (said_ms - line.dropped_ms) * 0.98 - 1
