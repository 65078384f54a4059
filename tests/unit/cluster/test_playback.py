"""A telephone's playout on a literal clock."""

from __future__ import annotations

from cluster.playback import FRAME_BYTES, SILENCE, Playback

A, B = b"\x10" * FRAME_BYTES, b"\x20" * FRAME_BYTES


def test_one_frame_at_a_time_then_silence():
    playback = Playback()
    playback.add(A + B)
    assert [playback.next(at)[0] for at in (1.0, 1.02, 1.04)] == [A, B, SILENCE]
    assert playback.heard_frames == 2
    assert playback.next(1.06)[0] is SILENCE


def test_a_short_frame_is_filled():
    playback = Playback()
    playback.add(A + b"\x30" * 8)
    playback.next(1.0)
    assert playback.next(1.02)[0] == b"\x30" * 8 + b"\xff" * 152


def test_a_mark_is_reached_when_what_is_before_it_was_played():
    playback = Playback()
    playback.mark("first")
    playback.add(A)
    playback.mark("second")
    playback.mark("third")
    playback.add(B)
    assert playback.next(1.0) == (A, ["first"])
    assert playback.next(1.02) == (B, ["second", "third"])
    assert playback.next(1.04) == (SILENCE, [])


def test_clearing_drops_audio_and_marks():
    playback = Playback()
    playback.add(A + B)
    playback.mark("never")
    playback.next(1.0)
    playback.clear()
    assert playback.next(1.02) == (SILENCE, [])
    assert playback.heard_frames == 1


def test_quiet_is_counted_from_the_last_sound():
    playback = Playback()
    playback.add(A)
    assert playback.quiet_for_s(5.0) == 0.0
    playback.next(5.0)
    assert playback.quiet_for_s(5.5) == 0.5
    playback.mark("waits alone")
    assert playback.quiet_for_s(5.5) == 0.5
