"""Callers that are there, and callers that are not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.call.presence import LOOKS, MOST_MARKS, Marks, Presence, Seen

IDLE_S, RATE = 10.0, 8_000
LOOK_S = IDLE_S / LOOKS
FRAME_S = 0.02


def ends(seen_at: Callable[[float], Seen], until_s: float, rate: float = RATE) -> tuple[float, str]:
    """When a caller counts as gone, and why; the end of the time and "" when never."""
    presence = Presence(IDLE_S, rate, 0.0)
    while (now_s := presence.next_look_s()) < until_s:
        why = presence.look(seen_at(now_s), now_s)
        if why:
            return now_s, why
        assert now_s < presence.next_look_s() <= now_s + LOOK_S
    return until_s, ""


def heard(frames: list[tuple[float, float]]) -> Callable[[float], Seen]:
    """From when each frame came, and its stamp (0: none)."""

    def at(now_s: float) -> Seen:
        come = [each for each in frames if each[0] <= now_s]
        last_s, media_s = come[-1] if come else (0.0, 0.0)
        return Seen(last_s, audio_bytes=round(len(come) * FRAME_S * RATE), media_s=media_s)

    return at


def every(gap_s: float, until_s: float, *, stamped: bool = False) -> list[tuple[float, float]]:
    times = [gap_s * number for number in range(1, int(until_s / gap_s))]
    return [(at_s, at_s if stamped else 0.0) for at_s in times]


def others(frames: list[tuple[float, float]]) -> Callable[[float], Seen]:
    """The same with other messages (marks, keys) all the time."""
    audio = heard(frames)

    def at(now_s: float) -> Seen:
        seen = audio(now_s)
        return Seen(now_s, audio_bytes=seen.audio_bytes, media_s=seen.media_s)

    return at


def test_who_sends_nothing_is_gone_after_the_idle_time():
    at_s, why = ends(lambda _: Seen(heard_s=3.25), 60.0)
    assert (at_s, why) == (13.25, "nothing received for 10 s")


def test_who_may_be_silent_is_not():
    assert ends(lambda _: Seen(heard_s=0.0, excused=True), 60.0)[1] == ""


def test_who_reads_nothing_is_gone_even_on_hold():
    def on_hold(now_s: float) -> Seen:
        return Seen(now_s, max(0.0, now_s - 5.0), excused=True)

    assert ends(on_hold, 60.0) == (15.0, "nothing read for 10 s")


def test_who_reads_late_is_there():
    assert ends(lambda now_s: Seen(now_s, behind_s=9.9), 60.0)[1] == ""


SLOW = "audio slower than real time for 10 s"


@given(st.floats(2.3, 500.0), st.floats(0.0, 30.0))
def test_who_sends_slower_than_real_time_is_gone(times, sound_s):
    """However slowly, and after whatever time in which all was well."""
    first = every(FRAME_S, sound_s + FRAME_S)
    gap_s = FRAME_S * times
    slow = [(at_s + sound_s, 0.0) for at_s, _ in every(gap_s, 60.0)]
    at_s, why = ends(others([*first, *slow]), 60.0 + sound_s)
    assert why == SLOW
    assert at_s - sound_s <= max(IDLE_S, gap_s) + gap_s + 2 * LOOK_S


def test_stamps_that_fall_behind_tell_no_better():
    slow = [(at_s, at_s / 5) for at_s, _ in every(5 * FRAME_S, 60.0)]
    assert ends(heard(slow), 60.0)[1] == SLOW


@given(st.lists(st.floats(0.0, 3.0), min_size=60, max_size=60), st.integers(0, 2_000))
def test_a_sound_caller_stays_whatever_the_network_does(delays, stall):
    """Frames come in their order, each second's late in its own way, and once nothing
    comes for five seconds."""
    sent = [FRAME_S * number for number in range(1, 3_000)]
    late = [at_s + delays[int(at_s)] for at_s in sent]
    stalled_s = FRAME_S * stall
    late = [max(at_s, stalled_s + 5.0) if at_s >= stalled_s else at_s for at_s in late]
    frames = [(at_s, 0.0) for at_s in accumulate(late, max)]
    assert ends(heard(frames), 60.0)[1] == ""


@pytest.mark.parametrize("seen_at", [others, heard])
def test_a_leg_that_suppresses_silence_and_stamps_its_frames_stays(seen_at):
    """A short word every four seconds."""
    words = [each for each in every(FRAME_S, 120.0, stamped=True) if each[0] % 4.0 < 0.3]
    assert ends(seen_at(words), 120.0)[1] == ""


def test_a_muted_leg_stays_and_may_speak_again():
    for silent_s in (5.0, 9.9, 10.0, 15.0, 45.5):
        frames = [each for each in every(FRAME_S, 120.0) if not 20.0 < each[0] < 20.0 + silent_s]
        assert ends(others(frames), 120.0)[1] == ""


def test_a_leg_on_hold_may_send_as_slowly_as_it_likes():
    slow = others(every(1.0, 60.0))

    def held(now_s: float) -> Seen:
        seen = slow(now_s)
        return Seen(seen.heard_s, audio_bytes=seen.audio_bytes, excused=now_s < 30.0)

    at_s, why = ends(held, 60.0)
    assert why == SLOW
    assert at_s >= 30.0 - LOOK_S + IDLE_S


def test_a_leg_that_has_no_fixed_rate_is_never_slow():
    assert ends(heard(every(0.4, 60.0)), 60.0, rate=0.0)[1] == ""


def test_after_a_process_stood_still_nobody_is_judged_at_once():
    """What was sent meanwhile is read only afterwards."""
    presence = Presence(IDLE_S, RATE, 0.0)
    assert presence.look(Seen(1.0, audio_bytes=RATE), 1.0) == ""
    stuck = Seen(1.0, behind_s=30.0, audio_bytes=RATE)
    assert presence.look(stuck, 31.0) == ""
    assert presence.next_look_s() == 32.0
    assert presence.look(Seen(32.0, audio_bytes=RATE + 800), 32.0) == ""
    assert presence.look(Seen(32.0, audio_bytes=RATE + 800), 42.0 + LOOK_S / 2) == ""  # late again
    assert presence.look(Seen(32.0), 43.0 + LOOK_S / 2) == "nothing received for 10 s"


# ------------------------------------------------------------------ marks


def marked(came: dict[str, float], sent: dict[str, float]) -> Callable[[float], Seen]:
    """A leg that speaks, and sends marks back at these times."""
    marks = Marks()

    def at(now_s: float) -> Seen:
        for name in [each for each, at_s in sent.items() if at_s <= now_s]:
            marks.sent(name, sent.pop(name))
        for name in [each for each, at_s in came.items() if at_s <= now_s]:
            del came[name]
            marks.came(name)
        return Seen(now_s, unmarked_s=marks.waits_s(now_s))

    return at


def test_who_sends_no_mark_back_any_more_is_gone():
    sent = {f"p{number}": 0.1 * number for number in range(600)}
    back = {f"p{number}": 0.1 * number + 0.2 for number in range(100)}
    at_s, why = ends(marked(back, sent), 60.0)
    assert why == "no mark sent back for 10 s"
    assert 20.0 <= at_s <= 20.0 + LOOK_S


def test_who_never_sends_one_back_is_served_by_the_clock():
    assert ends(marked({}, {"p1": 0.0}), 60.0)[1] == ""


def test_who_sends_them_back_stays_though_some_are_lost():
    sent = {f"p{number}": 0.1 * number for number in range(600)}
    back = {name: at_s + 0.2 for number, (name, at_s) in enumerate(sent.items()) if number % 7}
    assert ends(marked(back, sent), 60.0)[1] == ""


def test_marks_that_the_leg_was_told_to_drop_are_not_waited_for():
    marks = Marks()
    for name in ("a", "b", "c"):
        marks.sent(name, 1.0)
    marks.came("a")
    assert marks.waits_s(5.0) == 4.0
    marks.dropped(5.0)
    assert marks.waits_s(9.0) == 4.0  # nothing waits now
    marks.sent("d", 10.0)
    assert marks.waits_s(11.0) == 5.0
    marks.came("b")  # it was on its way
    assert marks.waits_s(11.0) == 1.0
    marks.excuse()
    assert marks.waits_s(12.0) == 0.0


def test_who_talks_into_each_answer_and_reads_none_is_gone():
    marks, presence = Marks(), Presence(IDLE_S, RATE, 0.0)
    marks.sent("first", 0.0)
    marks.came("first")
    cuts, now_s, why = 0, 0.0, ""
    while not why:
        now_s = presence.next_look_s()
        while 4.0 * (cuts + 1) <= now_s:  # it speaks 3 s after each answer's beginning
            cuts += 1
            marks.sent(f"p{cuts}", 4.0 * cuts - 3.0)
            marks.dropped(4.0 * cuts)
        why = presence.look(Seen(now_s, unmarked_s=marks.waits_s(now_s)), now_s)
    assert (why, cuts) == ("no mark sent back for 10 s", 4)


def test_marks_that_wait_are_bounded():
    marks = Marks()
    for number in range(2 * MOST_MARKS):
        marks.sent(str(number), float(number))
    marks.came(str(MOST_MARKS - 1))
    assert marks.waits_s(1e6) == 0.0
    marks.came(str(MOST_MARKS))
    assert marks.waits_s(1e6) == 0.0


def test_who_is_on_hold_need_not_send_marks_back():
    assert ends(lambda now_s: Seen(now_s, unmarked_s=now_s, excused=True), 60.0)[1] == ""
