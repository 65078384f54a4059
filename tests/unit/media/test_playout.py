"""Playout: pacing, what was heard, cutting off. Every clock is literal."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.media.codecs import PROVIDER_FORMATS, AudioFormat
from reception.media.hearing import Hearing
from reception.media.leg import LegConfig, Speaks
from reception.media.playout import (
    MAX_BUFFERED_MS,
    CutItem,
    FrameOut,
    MarkOut,
    Playout,
)
from reception.media.uplink import choose

PCMU = AudioFormat("pcmu", 8_000)
FRAME = b"\x01" * 160


def playout(*, marks=False, lead_ms=100):
    return Playout(PCMU, 20, lead_ms=lead_ms, sends_marks=marks)


def frames(out):
    return [each for each in out if isinstance(each, FrameOut)]


def marks(out):
    return [each.name for each in out if isinstance(each, MarkOut)]


def test_frames_run_ahead_of_the_clock_by_the_lead_and_no_more():
    leg = playout()
    leg.add("a", 0, FRAME * 50)
    assert len(frames(leg.due(10.0))) == 5
    assert leg.due(10.0) == []
    assert len(frames(leg.due(10.021))) == 2
    assert len(frames(leg.due(10.04))) == 0
    assert len(frames(leg.due(10.041))) == 1


def test_a_leg_that_has_run_dry_beside_audio_for_it_is_overdue():
    player = playout(lead_ms=40)
    player.add("a", 0, FRAME * 4)
    assert not player.overdue(1.0)  # the first frame's time is when it is asked for
    player.due(1.0)
    assert not player.overdue(1.03)
    assert player.overdue(1.05)
    player.due(1.05)
    assert not player.overdue(1.08)
    assert not player.overdue(9.0)  # nothing is left


@given(st.lists(st.floats(0.0, 0.06), min_size=1, max_size=50))
def test_audio_that_comes_as_it_is_spoken_is_never_overdue(lates):
    """However late: it goes out as it comes, and nothing waits."""
    player, now_s = playout(lead_ms=120), 1.0
    for late_s in lates:
        now_s += 0.02 + late_s
        assert not player.overdue(now_s)
        player.add("a", 0, FRAME)
        player.due(now_s)
        assert not player.overdue(now_s + late_s)


def test_frames_are_numbered_timed_and_the_first_is_known():
    leg = playout()
    leg.add("a", 0, FRAME * 2)
    first, second = frames(leg.due(10.0))
    assert (first.first, first.sequence, first.timestamp_ms) == (True, 1, 0)
    assert (second.first, second.sequence, second.timestamp_ms) == (False, 2, 20)
    leg.add("a", 0, FRAME)
    [third] = frames(leg.due(11.0))
    assert (third.first, third.timestamp_ms) == (False, 1000)


def test_a_leg_taken_over_goes_on_numbering_and_names_its_marks_anew():
    going_on = Playout(PCMU, 20, lead_ms=100, sends_marks=True, frames_before=50, generation=2)
    going_on.add("i", 0, b"\x01" * 160 * 5)
    out = going_on.due(7.0)
    assert [(each.sequence, each.timestamp_ms) for each in frames(out)][:2] == [
        (51, 1_000), (52, 1_020),
    ]  # fmt: skip
    assert marks(out) == ["p2.1"]


def test_a_last_piece_shorter_than_a_frame_waits_for_the_end_and_is_filled_with_silence():
    leg = playout()
    leg.add("a", 0, b"\x01" * 200)
    assert len(frames(leg.due(10.0))) == 1
    leg.complete("a")
    [last] = frames(leg.due(10.0))
    assert last.audio == b"\x01" * 40 + b"\xff" * 120


def test_completing_one_item_leaves_the_others_open():
    leg = playout()
    leg.add("a", 0, FRAME)
    leg.add("b", 0, FRAME)
    leg.complete("a")
    leg.due(10.0)
    assert not leg.take_drained(10.1)


def test_items_follow_each_other_without_a_gap():
    leg = playout()
    leg.add("a", 0, FRAME)
    leg.add("b", 0, FRAME)
    assert [frame.item_id for frame in frames(leg.due(10.0))] == ["a", "b"]


def test_drained_is_told_once_when_all_was_played():
    leg = playout()
    assert not leg.take_drained(9.0)
    leg.add("a", 0, FRAME * 2)
    leg.due(10.0)
    assert not leg.take_drained(10.01)  # more may come
    leg.complete_all()
    assert not leg.take_drained(10.03)  # still sounding
    assert leg.busy
    assert leg.take_drained(10.1)
    assert not leg.take_drained(10.2)
    assert not leg.busy


def test_without_marks_the_clock_says_what_was_heard():
    leg = playout()
    leg.add("a", 3, FRAME * 50)
    leg.due(10.0)
    leg.due(10.05)
    assert leg.interrupt(10.05) == [CutItem("a", 3, 50)]
    assert leg.due(10.06) == []


def test_heard_is_never_more_than_was_sent():
    leg = playout()
    leg.add("a", 0, FRAME * 2)
    leg.due(10.0)
    assert leg.interrupt(20.0) == [CutItem("a", 0, 40)]


def test_items_after_the_audible_one_are_cut_at_zero_and_played_ones_are_left_alone():
    leg = playout()
    leg.add("a", 0, FRAME * 2)
    leg.add("b", 0, FRAME * 10)
    leg.add("c", 0, FRAME)
    leg.due(10.0)
    assert leg.interrupt(10.06) == [CutItem("b", 0, 20), CutItem("c", 0, 0)]


def test_nothing_unheard_nothing_cut():
    leg = playout()
    assert leg.interrupt(10.0) == []
    leg.add("a", 0, FRAME)
    leg.complete("a")
    leg.due(10.0)
    assert leg.interrupt(10.5) == []


def test_audio_that_comes_late_for_a_cut_item_is_ignored():
    leg = playout()
    leg.add("a", 0, FRAME * 10)
    leg.due(10.0)
    leg.interrupt(10.0)
    leg.add("a", 0, FRAME)
    leg.complete("a")
    assert leg.due(10.1) == []
    assert not leg.take_drained(11.0)


def test_an_answer_complete_but_still_playing_is_cut():
    leg = playout()
    leg.add("a", 0, FRAME * 20)
    leg.complete("a")
    leg.due(10.0)
    assert leg.interrupt(10.03) == [CutItem("a", 0, 30)]


def test_marks_come_every_hundred_milliseconds_and_at_the_end():
    leg = playout(marks=True, lead_ms=300)
    leg.add("a", 0, FRAME * 7)
    leg.complete("a")
    out = leg.due(10.0)
    kinds = ["mark" if isinstance(each, MarkOut) else "frame" for each in out]
    assert kinds == ["frame"] * 5 + ["mark"] + ["frame"] * 2 + ["mark"]


def test_marks_say_what_was_heard_whatever_the_clock_says():
    leg = playout(marks=True, lead_ms=300)
    leg.add("a", 0, FRAME * 50)
    [first, second, _] = marks(leg.due(10.0))
    leg.mark_reached(first, 11.0)  # the leg is a second late
    leg.mark_reached(second, 11.1)
    leg.mark_reached("unknown", 11.1)
    [cut] = leg.interrupt(11.13)
    assert cut.heard_ms == 230


def test_between_marks_no_more_than_the_next_mark_was_heard():
    leg = playout(marks=True, lead_ms=300)
    leg.add("a", 0, FRAME * 50)
    [first, *_] = marks(leg.due(10.0))
    leg.mark_reached(first, 10.1)
    assert leg.interrupt(11.0)[0].heard_ms == 200


def test_before_the_first_mark_the_clock_counts_up_to_it():
    leg = playout(marks=True, lead_ms=300)
    leg.add("a", 0, FRAME * 50)
    leg.due(10.0)
    assert leg.interrupt(10.05)[0].heard_ms == 50


def test_an_item_with_less_than_a_marks_worth_is_heard_by_the_clock():
    leg = playout(marks=True)
    leg.add("a", 0, FRAME * 3)
    leg.due(10.0)
    assert leg.interrupt(10.03)[0].heard_ms == 30


def test_all_that_was_sent_is_marked_and_reached():
    leg = playout(marks=True)
    leg.add("a", 0, FRAME * 5)
    [name] = marks(leg.due(10.0))
    leg.mark_reached(name, 10.05)
    assert leg.interrupt(10.06)[0].heard_ms == 100


def test_drained_waits_for_the_last_mark_but_not_for_ever():
    leg = playout(marks=True)
    leg.add("a", 0, FRAME)
    leg.complete("a")
    [name] = marks(leg.due(10.0))
    assert not leg.take_drained(10.5)
    leg.mark_reached(name, 10.6)
    assert leg.take_drained(10.6)
    leg.add("b", 0, FRAME)
    leg.complete("b")
    leg.due(20.0)
    assert not leg.take_drained(21.0)
    assert leg.take_drained(22.1)


def test_audio_past_the_bound_is_dropped_and_counted():
    leg = playout()
    leg.add("a", 0, bytes(8 * (MAX_BUFFERED_MS + 1)))
    leg.add("a", 0, FRAME)
    assert leg.dropped_ms == 20


def test_a_tail_shorter_than_a_millisecond_is_still_played_out():
    leg = playout()
    leg.add("a", 0, b"\x01")
    leg.complete("a")
    assert len(frames(leg.due(10.0))) == 1
    assert leg.take_drained(10.1)


def test_a_frame_says_when_the_leg_plays_it():
    leg = playout()
    leg.add("a", 0, FRAME * 20)
    first, *_, last = frames(leg.due(10.0))
    assert (first.starts_s, last.starts_s) == pytest.approx((10.0, 10.08))
    [after] = frames(leg.due(10.015))
    assert after.starts_s == pytest.approx(10.1)


# ---- interruption and truncation: what users of such systems ran into


@pytest.mark.parametrize("with_marks", [False, True])
def test_truncation_is_by_what_was_played_not_by_what_was_queued_or_sent(with_marks):
    leg = playout(marks=with_marks, lead_ms=200)
    leg.add("a", 0, FRAME * 500)  # ten seconds are received at once
    assert len(frames(leg.due(10.0))) == 10  # 200 ms are on their way
    assert leg.interrupt(10.07) == [CutItem("a", 0, 70)]


@pytest.mark.parametrize("with_marks", [False, True])
def test_before_the_first_frame_was_sent_nothing_was_heard(with_marks):
    leg = playout(marks=with_marks)
    leg.add("a", 0, FRAME * 10)
    assert leg.interrupt(10.0) == [CutItem("a", 0, 0)]
    assert not leg.busy


@pytest.mark.parametrize("with_marks", [False, True])
def test_in_the_moment_in_which_the_first_frame_is_sent_nothing_was_heard(with_marks):
    leg = playout(marks=with_marks)
    leg.add("a", 0, FRAME * 10)
    leg.due(10.0)
    assert leg.interrupt(10.0) == [CutItem("a", 0, 0)]


def test_an_item_that_waits_behind_another_is_cut_at_zero_even_when_it_was_sent():
    leg = playout(lead_ms=200)
    leg.add("a", 0, FRAME * 4)
    leg.complete("a")
    leg.add("b", 0, FRAME * 4)
    leg.complete("b")
    assert [frame.item_id for frame in frames(leg.due(10.0))] == ["a"] * 4 + ["b"] * 4
    assert leg.interrupt(10.05) == [CutItem("a", 0, 50), CutItem("b", 0, 0)]


def test_several_responses_complete_and_queued_are_cut_in_order():
    leg = playout()
    for item in "abcd":
        leg.add(item, 0, FRAME * 10)
        leg.complete_all()
    for passed in range(15):
        leg.due(10.0 + passed / 50)
    assert leg.interrupt(10.3) == [CutItem("b", 0, 100), CutItem("c", 0, 0), CutItem("d", 0, 0)]


def test_late_audio_of_every_item_that_was_cut_is_ignored_and_the_next_answer_plays():
    leg = playout()
    leg.add("a", 0, FRAME * 10)
    leg.add("b", 0, FRAME * 10)
    leg.due(10.0)
    leg.interrupt(10.02)
    for late in ("a", "b"):
        leg.add(late, 0, FRAME * 3)
    leg.add("c", 0, FRAME)
    assert [frame.item_id for frame in frames(leg.due(10.1))] == ["c"]


def test_marks_of_what_was_cut_say_nothing_of_the_next_answer():
    leg = playout(marks=True, lead_ms=300)
    leg.add("a", 0, FRAME * 50)
    stale = marks(leg.due(10.0))
    leg.interrupt(10.05)
    leg.add("b", 0, FRAME * 50)
    fresh = marks(leg.due(10.1))
    assert not set(stale) & set(fresh)
    for name in stale:
        leg.mark_reached(name, 10.12)  # some legs send them all back when they are cleared
    assert leg.interrupt(10.15) == [CutItem("b", 0, 50)]


def test_a_mark_that_comes_twice_counts_once():
    leg = playout(marks=True, lead_ms=300)
    leg.add("a", 0, FRAME * 50)
    [first, *_] = marks(leg.due(10.0))
    leg.mark_reached(first, 10.1)
    leg.mark_reached(first, 10.19)
    assert leg.interrupt(10.19) == [CutItem("a", 0, 190)]


def test_the_silence_that_fills_the_last_frame_was_not_received_and_is_not_heard():
    leg = playout()
    leg.add("a", 0, b"\x01" * (160 + 40))  # 25 ms
    leg.complete("a")
    leg.due(10.0)
    assert leg.interrupt(10.039) == [CutItem("a", 0, 25)]


def test_what_was_played_to_its_end_is_not_cut_by_speech_that_comes_after():
    leg = playout()
    leg.add("a", 0, FRAME * 2)
    leg.complete("a")
    leg.due(10.0)
    assert leg.take_drained(10.04)
    assert not leg.busy
    assert leg.interrupt(10.05) == []
    assert leg.interrupt(10.06) == []


def test_cutting_twice_cuts_once():
    leg = playout()
    leg.add("a", 0, FRAME * 20)
    leg.due(10.0)
    assert leg.interrupt(10.03) == [CutItem("a", 0, 30)]
    assert leg.interrupt(10.031) == []


def test_an_answer_that_stalls_is_cut_at_what_came_of_it():
    leg = playout()
    leg.add("a", 0, FRAME * 2)
    leg.due(10.0)
    assert leg.interrupt(13.0) == [CutItem("a", 0, 40)]  # more of it would have come


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 2000)),
            st.tuples(st.just("wait"), st.integers(1, 300)),
            st.tuples(st.just("cut"), st.just(0)),
            st.tuples(st.just("ack"), st.just(0)),
        ),
        max_size=40,
    ),
    st.booleans(),
)
def test_what_was_heard_is_within_what_was_sent_and_sound_is_never_made_up(steps, with_marks):
    leg = playout(marks=with_marks)
    now_s, item, outstanding = 100.0, 0, []
    received: dict[str, int] = {}
    cut_items: set[str] = set()
    sent: dict[str, int] = {}
    for step, amount in steps:
        if step == "add":
            name = f"i{item}"
            leg.add(name, 0, b"\x01" * amount)
            received[name] = received.get(name, 0) + amount
        if step == "wait":
            now_s += amount / 1000
        for out in leg.due(now_s):
            if isinstance(out, FrameOut):
                sent[out.item_id] = sent.get(out.item_id, 0) + out.audio.count(1)
            else:
                outstanding.append(out.name)
        if step == "ack" and outstanding:
            leg.mark_reached(outstanding.pop(0), now_s)
        if step == "cut":
            item += 1
            for cut in leg.interrupt(now_s):
                assert 0 <= cut.heard_ms * 8 <= sent.get(cut.item_id, 0) + 8
                assert cut.heard_ms * 8 <= received[cut.item_id] + 8
                assert cut.item_id not in cut_items
                cut_items.add(cut.item_id)
            outstanding.clear()
    for name, amount in sent.items():
        assert amount <= received[name]


@pytest.mark.parametrize(
    ("codec", "rate", "bytes_per_ms", "provider"),
    [
        ("pcmu", 8_000, 8, "pcmu"),
        ("pcma", 8_000, 8, "pcma"),
        ("l16", 8_000, 16, "pcm24k"),
        ("l16", 48_000, 96, "pcm24k"),
    ],
)
def test_formats(codec, rate, bytes_per_ms, provider):
    format = AudioFormat(codec, rate)
    assert format.bytes_per_ms == bytes_per_ms
    assert format.duration_ms(bytes_per_ms * 20 + 1) == 20
    assert choose(format) == provider
    assert provider in PROVIDER_FORMATS
    assert len(format.silence) == format.sample_bytes


def test_a_leg_travels_as_plain_values():
    leg = LegConfig("opus", 24_000, 20, True, hearing=Hearing("local", 200, "light", True))
    assert LegConfig.of(json.loads(json.dumps(asdict(leg)))) == leg
    text = replace(leg, speaks=Speaks("/s.sock", "marin", "de"))
    assert LegConfig.of(json.loads(json.dumps(asdict(text)))) == text


def test_a_leg_has_a_lead_by_default():
    assert LegConfig("pcmu", 8_000, 20, sends_marks=False).lead_ms == 120
