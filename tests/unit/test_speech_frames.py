"""A head and sound in one frame come out as they went in, and what an answer means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import LimitReached, Unavailable
from reception.framing import FrameReader, Kind
from reception.speech_frames import Answers, Head, pack, unpack

HEADS = st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none())


@given(HEADS, st.binary())
def test_what_was_packed_is_unpacked(head: dict[str, object], sound: bytes) -> None:
    [(kind, body)] = FrameReader().feed(pack(head, sound))
    assert kind is Kind.CONTROL
    assert unpack(body) == (head, sound)


SOUNDS = st.lists(st.binary(max_size=50), max_size=5)
LAST = pack({"last": True})


@given(SOUNDS, st.integers(1, 80))
def test_answers_come_one_by_one_until_the_last(sounds: list[bytes], step: int) -> None:
    data = b"".join(pack({}, sound) for sound in sounds) + LAST + pack({}, b"too late")
    answers, at = Answers(), 0
    came: list[tuple[Head, bytes]] = []
    while not answers.over:
        came += answers.feed(data[at : at + step])
        at += step
    assert came == [({}, sound) for sound in sounds]
    assert at < len(data) - len(pack({}, b"too late")) + step


def test_a_request_may_be_refused_after_some_sound() -> None:
    answers = Answers().feed(pack({}, b"so far") + pack({"error": "too many wait"}))
    assert next(answers) == ({}, b"so far")
    with pytest.raises(LimitReached, match="too many wait"):
        next(answers)


def test_who_closes_before_the_last_answer_ended_in_the_middle() -> None:
    answers = Answers()
    assert list(answers.feed(pack({}, b"so far") + LAST[:3])) == [({}, b"so far")]
    assert not answers.over
    with pytest.raises(Unavailable, match="in the middle"):
        next(answers.feed(b""))
