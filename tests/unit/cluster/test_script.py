"""The caller's script, frame by frame on a literal clock."""

from __future__ import annotations

import pytest

from cluster.playback import FRAME_BYTES, FRAME_S, SILENCE
from cluster.script import (
    ANSWER_PATIENCE_S,
    GIVEN_UP_QUIET_S,
    QUIET_S,
    Ear,
    HangUp,
    Interrupt,
    Listen,
    Press,
    Say,
    Script,
    StayOn,
    Until,
    loud,
)

LOUD = bytes([0x10]) * FRAME_BYTES
SOFT = bytes([0xF5]) * FRAME_BYTES


class Player:
    """Runs a script on a clock of its own."""

    def __init__(self, *steps):
        self.script, self.ear = Script(steps), Ear()
        self.now_s = 100.0
        self.done: list[object] = []

    def frames(self, count):
        """The caller's next frames."""
        spoken = []
        for _ in range(count):
            frame, done = self.script.next(self.now_s, self.ear)
            spoken.append(frame)
            self.done += done
            self.now_s += FRAME_S
        return spoken

    def answer(self, frames):
        """The receptionist is heard, then has been quiet long enough."""
        self.ear.frames += frames
        self.ear.quiet_s = QUIET_S


def test_loudness_is_that_of_speech():
    assert loud(LOUD)
    assert loud(bytes([0x90]) * FRAME_BYTES)
    assert not loud(SILENCE)
    assert not loud(b"\x7f" * FRAME_BYTES)
    assert not loud(SOFT)
    assert not loud(b"")


def test_a_caller_says_nothing_until_it_is_time():
    true = False
    player = Player(Until(lambda: true), Say(LOUD), HangUp())
    assert player.frames(3) == [SILENCE] * 3
    true = True
    assert player.frames(2) == [LOUD, SILENCE]
    assert player.done == [HangUp()]


def test_words_are_cut_into_whole_frames():
    player = Player(Say(LOUD + b"\x10" * 40))
    first, second, third = player.frames(3)
    assert first == LOUD
    assert second == b"\x10" * 40 + b"\xff" * 120
    assert third == SILENCE


def test_the_end_of_speech_is_its_last_loud_frame():
    player = Player(Say(LOUD * 3 + SOFT * 5))
    player.frames(8)
    assert player.script.stopped_speaking_s == pytest.approx(100.0 + 3 * FRAME_S)
    assert not player.script.speaking


def test_listening_ends_when_an_answer_is_over():
    player = Player(Listen(), Press("1"))
    player.frames(50)
    assert player.done == []
    player.ear.frames, player.ear.quiet_s = 10, QUIET_S - 0.01
    player.frames(1)
    assert player.done == []
    player.ear.quiet_s = QUIET_S
    player.frames(1)
    assert player.done == [Press("1")]


def test_a_pause_within_an_answer_is_not_its_end():
    player = Player(Listen(), Press("1"))
    player.answer(10)
    player.ear.answering = True
    player.frames(1)
    assert player.done == []
    player.ear.quiet_s = GIVEN_UP_QUIET_S
    player.frames(1)
    assert player.done == [Press("1")]


def test_what_was_heard_before_the_callers_words_is_no_answer():
    player = Player(Listen(), Say(LOUD * 2), Listen(), HangUp())
    player.answer(10)
    assert player.frames(2) == [LOUD, LOUD]
    player.frames(10)
    assert player.done == []
    player.answer(5)
    player.frames(1)
    assert player.done == [HangUp()]


def test_keys_are_answered_like_words():
    player = Player(Press("2"), Listen(), HangUp())
    player.answer(7)
    player.frames(5)
    assert player.done == [Press("2")]
    player.answer(1)
    player.frames(1)
    assert player.done == [Press("2"), HangUp()]


def test_an_interruption_waits_for_so_much_of_an_answer():
    player = Player(Interrupt(SOFT + LOUD * 2, 0.2))
    player.ear.frames = 9
    assert player.frames(1) == [SILENCE]
    player.ear.frames = 10
    began_s = player.now_s
    assert player.frames(3) == [SOFT, LOUD, LOUD]
    assert player.script.cut_in_s == pytest.approx(began_s + FRAME_S)


def test_plain_words_are_no_interruption():
    player = Player(Say(LOUD))
    player.frames(2)
    assert player.script.cut_in_s == 0.0


def test_without_an_answer_the_caller_hangs_up():
    player = Player(Listen(), Say(LOUD))
    frames = int(ANSWER_PATIENCE_S / FRAME_S)
    player.frames(frames - 1)
    assert player.done == []
    assert player.frames(3) == [SILENCE] * 3
    assert player.done == [HangUp()]
    assert "30 s" in player.script.fault


def test_without_an_answer_there_is_nothing_to_interrupt():
    player = Player(Interrupt(LOUD, 2.0), Say(LOUD))
    player.ear.frames = 99
    assert player.frames(int(ANSWER_PATIENCE_S / FRAME_S) + 3).count(LOUD) == 0
    assert player.done == [HangUp()]
    assert "2 s" in player.script.fault


def test_staying_on_has_no_end():
    player = Player(StayOn(), HangUp())
    player.answer(10)
    player.frames(5_000)
    assert player.done == []


def test_an_answer_during_the_silence_behind_the_words_counts():
    player = Player(Say(LOUD + SOFT * 10), Listen(), HangUp())
    player.frames(5)
    player.ear.frames = 3
    player.frames(6)
    assert player.done == []
    player.ear.quiet_s = QUIET_S
    player.frames(1)
    assert player.done == [HangUp()]
