"""What the provider's next session is told of the caller's words again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reception.media.retold import BEFORE_MS, LONGEST_MS, Retold

PIECE_MS = 100.0


def _pieces(retold: Retold, first: int, last: int) -> list[bytes]:
    said = [str(number).encode() for number in range(first, last)]
    for each in said:
        retold.sent(each, PIECE_MS)
    return said


def test_of_silence_only_its_last_second_is_kept() -> None:
    retold = Retold()
    silence = _pieces(retold, 0, 40)
    assert retold.take() == silence[-10:]
    assert retold.take() == []


def test_words_are_kept_from_before_they_began_until_they_are_understood() -> None:
    retold = Retold()
    before = _pieces(retold, 0, 40)[-10:]
    retold.started()
    words = _pieces(retold, 40, 70)
    retold.stopped("a")
    after = _pieces(retold, 70, 75)
    assert retold.take() == before + words + after

    _pieces(retold, 0, 40)
    retold.started()
    _pieces(retold, 40, 70)
    retold.stopped("b")
    after = _pieces(retold, 70, 75)
    retold.understood("b")
    assert retold.take() == after


def test_what_is_answered_is_not_told_again_but_what_is_said_meanwhile_is() -> None:
    retold = Retold()
    for item in ("a", "b"):
        retold.started()
        _pieces(retold, 0, 5)
        retold.stopped(item)
    retold.started()
    going_on = _pieces(retold, 5, 9)
    retold.answered()
    assert retold.take() == going_on


def test_understood_words_take_earlier_ones_along_but_not_later_ones() -> None:
    retold = Retold()
    retold.started()
    _pieces(retold, 0, 5)
    retold.stopped("a")
    retold.started()
    _pieces(retold, 5, 9)
    retold.stopped("b")
    later = _pieces(retold, 9, 12)
    retold.understood("b")
    retold.understood("unknown")
    retold.understood("a")
    assert retold.take() == later


@given(st.lists(st.sampled_from(["piece", "start", "stop", "read", "answer"]), max_size=400))
def test_it_is_bounded_and_in_order(steps: list[str]) -> None:
    retold, number, items = Retold(), 0, 0
    speaking = unread = False
    for step in steps:
        match step:
            case "piece":
                retold.sent(number.to_bytes(2, "big"), PIECE_MS)
                number += 1
            case "start":
                retold.started()
                speaking = True
            case "stop":
                items += 1
                retold.stopped(str(items))
                speaking, unread = False, True
            case "read":
                retold.understood(str(items))
            case "answer":
                retold.answered()
                unread = False
    if not (speaking or unread):
        retold.sent(number.to_bytes(2, "big"), PIECE_MS)
        number += 1
    kept = [int.from_bytes(each, "big") for each in retold.take()]
    assert kept == list(range(number - len(kept), number))
    most_ms = LONGEST_MS if speaking or unread else BEFORE_MS
    assert len(kept) * PIECE_MS <= most_ms + PIECE_MS


def test_what_is_kept_can_be_told_in_another_format() -> None:
    retold = Retold()
    retold.started()
    said = _pieces(retold, 0, 3)
    retold.stopped("a")
    retold.convert(bytes.upper)
    retold.convert(lambda audio: audio * 2)
    assert retold.take() == [each * 2 for each in said]
