"""What a load caller hears and sends, on literal clocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.load import wire
from cluster.load.hearing import Hearing
from cluster.load.measures import Measures
from cluster.playback import FRAME_BYTES, FRAME_S, SILENCE
from cluster.script import Ear, Garbage, HangUp, Listen, Mute, Press, Say, Script, Vanish
from protos.reception.v1 import reception_pb2 as rv

LOUD = bytes([0x10]) * FRAME_BYTES


class Ears:
    """A hearing and its measures; frames come one every 20 ms unless told."""

    def __init__(self):
        self.measures = Measures()
        self.hearing = Hearing(self.measures, intended_s=100.0)
        self.now_s, self.sequence = 101.0, 0

    def hear(self, count=1, item="i1", every_s=FRAME_S):
        for _ in range(count):
            self.sequence += 1
            self.hearing.audio(FRAME_BYTES, self.sequence, self.sequence * 20, item, self.now_s)
            self.now_s += every_s

    def took(self, name):
        found = self.measures.durations[name]
        return (found.count, found.max_ms)


# ---------------------------------------------------------------- hearing


def test_the_greeting_is_timed_from_the_intended_moment_once():
    ears = Ears()
    ears.hear(3)
    assert ears.took("first_audio") == (1, pytest.approx(1000))
    assert ears.measures.counts == {"frames_received": 3, "frames_lost": 0}


def test_gaps_are_losses_and_old_frames_are_disorder():
    ears = Ears()
    ears.hear(2)
    ears.sequence += 3
    ears.hear(1)
    ears.sequence = 1
    ears.hear(1)
    assert ears.measures.counts["frames_lost"] == 3
    assert ears.measures.counts["frames_disordered"] == 1


def test_unnumbered_frames_are_never_lost():
    ears = Ears()
    for _ in range(3):
        ears.hearing.audio(FRAME_BYTES, 0, 0, "", 101.0)
    assert not ears.measures.counts["frames_lost"]


def test_an_answer_that_starves_the_playout_is_late_once():
    ears = Ears()
    ears.hear(10, every_s=0.001)  # a lead of 180 ms
    ears.now_s += 0.15
    ears.hear(1)
    assert "frames_late" not in ears.measures.counts
    ears.now_s += 0.3
    ears.hear(5)  # the first is late; the others follow it
    assert ears.measures.counts["frames_late"] == 1


def test_a_pause_between_answers_is_not_lateness():
    ears = Ears()
    ears.hear(5, "i1")
    ears.now_s += 4.0
    ears.hear(5, "i2")
    ears.hearing.done()
    ears.now_s += 4.0
    ears.hear(5, "i2")  # a server that names no other item, after its turn's end
    assert not ears.measures.counts["frames_late"]


def test_jitter_is_that_of_rfc_3550():
    ears = Ears()
    ears.hear(1)
    ears.now_s += 0.016
    ears.hear(1)
    ears.hearing.done()
    assert ears.took("jitter") == (1, pytest.approx(1.0))  # 16 ms of 16
    ears.hearing.done()
    assert ears.measures.durations["jitter"].count == 1


def test_frames_after_the_cut_are_stale():
    ears = Ears()
    ears.hear(3, "i1")
    ears.hearing.cut("i1")
    ears.hear(2, "i1")
    ears.hear(1, "i2")
    assert ears.measures.counts["frames_stale"] == 2
    assert ears.took("jitter")[0] == 1


def test_an_answer_is_the_next_item_after_the_words():
    ears = Ears()
    ears.hear(3, "i1")
    ears.hearing.asked(ears.now_s)
    ears.hear(2, "i1")  # still on its way
    assert ears.took("answer") == (0, 0)
    ears.hear(2, "i2")
    assert ears.took("answer") == (1, pytest.approx(40))


def test_words_after_a_pause_for_breath_count_from_their_end():
    ears = Ears()
    ears.hearing.asked(ears.now_s)
    ears.hearing.forget()
    ears.hear(1, "i1")
    assert ears.took("answer")[0] == 0


# ---------------------------------------------------------------- the wire


FRAMES = st.integers(1, 50).flatmap(
    lambda count: st.binary(min_size=160, max_size=160).map(lambda frame: frame * count)
)


@given(st.integers(1, 2**40), st.integers(0, 2**33), FRAMES)
def test_frames_are_what_protobuf_would_make(sequence, frame_number, frame):
    audio = rv.Audio(payload=frame, sequence=sequence, timestamp_ms=frame_number * 20)
    expected = rv.CallerMessage(audio=audio).SerializeToString()
    assert wire.audio(frame, sequence, frame_number) == expected


def test_garbage_is_garbage():
    with pytest.raises(Exception, match="Error parsing message"):
        rv.CallerMessage.FromString(wire.garbage("bytes", 9))
    assert rv.CallerMessage.FromString(wire.garbage("start", 9)).HasField("start")
    backwards = rv.CallerMessage.FromString(wire.garbage("backwards", 9)).audio
    assert 0 < backwards.sequence < 9
    assert len(rv.CallerMessage.FromString(wire.garbage("huge", 9)).audio.payload) > 8_000
    assert "x" in rv.CallerMessage.FromString(wire.garbage("digits", 9)).dtmf.digits


# ---------------------------------------------------------------- new steps


def _play(script, frames, ear=None):
    ear = ear or Ear()
    return [script.next(100.0 + number * FRAME_S, ear) for number in range(frames)]


def test_a_mute_leg_sends_nothing_for_its_time():
    script = Script([Say(LOUD), Mute(0.1), Press("1")])
    played = _play(script, 9)
    assert [frame for frame, _ in played] == [LOUD, *[b""] * 5, SILENCE, SILENCE, SILENCE]
    assert [done for _, done in played if done] == [[Press("1")]]
    assert script.over


def test_vanishing_and_garbage_are_done_when_they_are_due():
    script = Script([Say(LOUD * 2), Garbage("huge"), Vanish("silent")])
    assert [done for _, done in _play(script, 4)] == [
        [], [], [Garbage("huge"), Vanish("silent")], [],
    ]  # fmt: skip


def test_steps_begin_again_and_never_spin():
    script = Script([Say(LOUD), Press("1")], again=True)
    played = _play(script, 6)
    assert [frame for frame, _ in played].count(LOUD) == 3
    assert not script.over
    assert [len(done) for _, done in _play(Script([Press("1")], again=True), 4)] == [1] * 4


def test_a_fault_ends_a_script_that_would_begin_again(monkeypatch):
    monkeypatch.setattr("cluster.script.ANSWER_PATIENCE_S", 0.05)
    script = Script([Listen()], again=True)
    done = [each for _, deeds in _play(script, 20) for each in deeds]
    assert done == [HangUp()]
    assert script.over
