"""Our own count of tokens beside the provider's."""

from __future__ import annotations

import pickle

import pytest

from reception.money.own_count import Difference, OwnCount, agree
from reception.provider.base import AddText, Usage

FIRST = Usage(input_text=500, input_audio=0, output_text=10, output_audio=40)


def answered(
    count: OwnCount, response: str, usage: Usage, *, caller: bool = True
) -> list[Difference]:
    count.began(response)
    return count.answered(response, usage, caller=caller)


@pytest.mark.parametrize(
    ("ours", "theirs", "answers", "right"),
    [
        (0, 0, 1, True), (1, 0, 1, True), (2, 0, 1, False), (2, 0, 2, True),
        (100, 102, 1, True), (100, 103, 1, False), (98, 100, 1, True), (97, 100, 1, False),
        (1_000, 1_020, 1, True), (1_000, 1_021, 1, False), (1_021, 1_000, 1, False),
    ],
)  # fmt: skip
def test_two_percent_or_a_token_for_each_answer(
    ours: int, theirs: int, answers: int, right: bool
) -> None:
    assert agree(ours, theirs, answers) is right


def test_an_answers_audio_is_a_token_for_50_ms() -> None:
    count = OwnCount(500)
    count.audio("r1", 1_990)
    assert count.answered("r1", FIRST, caller=True) == []
    count.audio("r2", 3_000)
    usage = Usage(input_text=500, input_audio=40, output_audio=80)
    assert count.answered("r2", usage, caller=True) == [Difference("r2", "output_audio", 60, 80)]
    assert (count.differing, count.estimated) == (1, 0)


def test_an_answer_of_which_no_audio_was_counted_is_not_compared() -> None:
    assert OwnCount(0).answered("r1", FIRST, caller=True) == []


def test_the_callers_speech_is_what_the_input_has_more_than_before() -> None:
    count = OwnCount(500)
    answered(count, "r1", FIRST)
    count.caller(1_950)
    second = Usage(input_text=500, input_audio=60, output_audio=10)
    assert answered(count, "r2", second) == []
    count.caller(2_000)
    third = Usage(input_text=500, input_audio=110)
    assert answered(count, "r3", third) == [Difference("r3", "input_audio", 40, 60)]
    count.caller(2_000)
    assert answered(count, "r4", Usage(input_audio=200)) == []  # it is known
    assert count.differing == 1


def test_what_the_caller_says_into_an_answer_is_the_next_ones_input() -> None:
    count = OwnCount(500)
    answered(count, "r1", FIRST)
    count.began("r2")
    count.caller(5_000)
    assert count.answered("r2", Usage(input_audio=40), caller=True) == []
    assert answered(count, "r3", Usage(input_audio=90)) == []
    count.began("r4")
    count.changed()  # the caller has cut it
    assert count.answered("r4", Usage(input_audio=90, output_audio=50), caller=True) == []
    assert answered(count, "r5", Usage(input_audio=100)) == []
    assert answered(count, "r6", Usage(input_audio=90)) == []  # the cut came late
    assert answered(count, "r7", Usage(input_audio=80)) == []  # and here even later
    assert answered(count, "r8", Usage(input_audio=80)) == []


def test_where_the_conversation_was_cut_or_not_all_speech_is_known_nothing_is_compared() -> None:
    for caller, cut in ((False, False), (True, True)):
        count = OwnCount(500)
        answered(count, "r1", FIRST, caller=caller)
        if cut:
            count.changed()
        assert answered(count, "r2", Usage(input_audio=900), caller=caller) == []
        assert answered(count, "r3", Usage(input_audio=500), caller=caller) == []
        found = answered(count, "r4", Usage(input_audio=900), caller=caller)
        assert bool(found) is caller


def test_an_answer_that_nobody_reports_is_billed_by_what_came_of_it() -> None:
    count = OwnCount(500)
    count.began("r1")
    count.words("r1", "i1", 30)
    count.words("r1", "i1", 11)
    count.called("r1", 13)
    count.called("r1", 1)
    count.audio("r1", 2_001)
    assert (count.chars("r1"), count.chars("r2")) == (41, 0)
    assert count.estimate("r1") == Usage(input_text=500, output_text=11 + 4, output_audio=41)
    assert count.estimated == 1
    assert not count.has("r1")


def test_something_came_of_an_answer_that_has_audio_words_or_a_function_call() -> None:
    count = OwnCount(500)
    count.audio("r1", 20)
    count.words("r2", "i2", 1)
    count.called("r3", 2)
    count.began("r4")
    assert [count.has(f"r{number}") for number in range(1, 5)] == [True, True, True, False]
    answered(count, "r3", FIRST)
    assert not count.has("r3")


def test_its_input_is_what_the_conversation_has() -> None:
    count = OwnCount(500)
    count.opens((AddText("user", "x" * 40),))
    count.is_up()
    count.told(AddText("system", "x" * 80))
    count.caller(2_000)
    count.words("r1", "i1", 8)
    assert answered(count, "r1", Usage(540, 20, output_text=2, output_audio=60)) == []
    count.cut("i1", 1_000)
    assert count.estimate("r2") == Usage(540 + 4, 20 + 20, cached_text=512)


def test_it_is_bounded_and_can_be_kept() -> None:
    count = OwnCount(500)
    for number in range(200):
        count.audio(f"never-{number}", 100)
        count.began(f"never-{number}")
        answered(count, f"r{number}", FIRST)
    assert len(pickle.dumps(count)) < 6_000
    assert count.has("never-199")
    assert not count.has("never-99")
