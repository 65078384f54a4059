"""What an answer reads, by our own count."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from reception.money.own_input import OwnInput
from reception.money.savings.billing import ITEM_TOKENS, Context
from reception.provider.base import (
    AddText,
    AddToolCall,
    Bound,
    DeleteItem,
    ProviderCommand,
    ToolResult,
    Usage,
)

HEAD = 640
SAID = Usage(output_text=10, output_audio=100)


def up(*told: ProviderCommand, head: int = HEAD) -> OwnInput:
    """A session that was told something."""
    made = OwnInput(head)
    made.is_up()
    for command in told:
        made.told(command)
    return made


def reads(own: OwnInput, response: str = "next") -> tuple[int, int]:
    """Text and audio of the input of an answer that begins now."""
    own.began(response)
    usage = own.expected(response)
    return usage.input_text, usage.input_audio


def cached(own: OwnInput, response: str = "next") -> tuple[int, int]:
    own.began(response)
    usage = own.expected(response)
    return usage.cached_text, usage.cached_audio


def bill(
    own: OwnInput, response: str, text: int, audio: int = 0, *, hit: int = 0, said: Usage = SAID
) -> None:
    """An answer as the provider reports it."""
    made = said.output_text, said.output_audio
    own.billed(response, Usage(text, audio, hit, 0, *made))


def test_the_first_answer_reads_head_and_what_was_told() -> None:
    assert reads(OwnInput(HEAD)) == (HEAD, 0)
    assert reads(up(AddText("system", "x" * 9))) == (HEAD + 3 + ITEM_TOKENS, 0)


def test_texts_function_calls_and_their_results_are_read() -> None:
    """A function's result of 600 characters is 150 tokens that no bill has shown yet."""
    own = up(
        AddToolCall("c", "name", "argument"), ToolResult("c", "x" * 600), DeleteItem("i"), Bound(9)
    )
    assert reads(own) == (HEAD + 3 + 150 + 2 * ITEM_TOKENS, 0)


def test_the_callers_speech_is_read_as_audio() -> None:
    own = up()
    own.caller(901)
    assert reads(own) == (HEAD + ITEM_TOKENS, 10)


def test_images_that_the_provider_told_of_stay_in_the_conversation() -> None:
    """Text comes from the cache first, then images, then audio, as the provider has it."""
    own = up()
    own.began("r1")
    own.billed("r1", Usage(HEAD, 0, output_text=10, output_audio=100, input_image=300))
    own.began("r2")
    expected = own.expected("r2")
    assert (expected.input_text, expected.input_audio) == (HEAD + 10 + ITEM_TOKENS, 100)
    assert (expected.input_image, expected.cached_text, expected.cached_image) == (300, HEAD, 256)
    assert expected.cached_audio == 0
    own.billed("r2", replace(expected, cached_text=0, cached_image=64))
    assert own.next().cached > 0  # images alone show that the cache works
    own.is_up()
    assert own.next().input_image == 0  # they were another session's


def test_an_answers_words_and_audio_are_read_by_the_next_one() -> None:
    own = up()
    own.began("r1")
    bill(own, "r1", HEAD)
    assert reads(own) == (HEAD + 10 + ITEM_TOKENS, 100)


def test_the_second_answer_finds_in_the_cache_what_the_first_one_read() -> None:
    """The first one found nothing there, since nothing was before it."""
    own = up()
    own.began("r1")
    assert (own.expected("r1").cached_text, own.expected("r1").cached_audio) == (0, 0)
    bill(own, "r1", 660, 70, hit=0)
    assert cached(own) == (660, 704 - 660)  # whole steps of 64


def test_after_a_cut_the_cache_still_has_what_was_read_before() -> None:
    own = up()
    own.began("r1")
    own.words("r1", "i1", 40)
    bill(own, "r1", HEAD)
    own.cut("i1", 500)
    assert cached(own, "r2") == (HEAD, 0)
    assert own.expected("r2").input_audio == 10


def test_a_cache_in_which_nothing_was_found_is_not_relied_on_until_something_is() -> None:
    own = up()
    for response, hit, found in (("r1", 0, 640), ("r2", 0, 0), ("r3", 640, 640)):
        own.began(response)
        bill(own, response, HEAD, hit=hit, said=Usage())
        assert cached(own, f"{response}, next") == (found, 0)
        own.forget(f"{response}, next")


def test_a_conversation_of_less_than_a_step_says_nothing_of_the_cache() -> None:
    own = up(head=60)
    for response in ("r1", "r2"):
        own.began(response)
        bill(own, response, 60, said=Usage(output_text=10))
    own.began("r3")
    assert own.expected("r3").cached_text == 0  # the second one read 60
    bill(own, "r3", 90, hit=0)
    assert cached(own) == (64, 0)


def test_another_session_has_words_only_and_nothing_cached() -> None:
    own = up()
    own.caller(5_000)
    own.began("r1")
    bill(own, "r1", HEAD + ITEM_TOKENS, 50)
    own.opens((Bound(9), AddText("user", "x" * 400), AddText("assistant", "x" * 40)))
    assert reads(own, "r2") == (HEAD + 10 + 2 * ITEM_TOKENS, 150)  # it has not come yet
    own.is_up()
    assert reads(own, "r3") == (HEAD + 110 + 2 * ITEM_TOKENS, 0)
    own.told(AddText("user", "in vain"))
    own.is_up()
    assert cached(own, "r4") == (0, 0)


def test_a_bill_of_the_session_before_changes_nothing() -> None:
    own = up()
    own.began("r1")
    own.words("r1", "i1", 40)
    own.is_up()
    bill(own, "r1", 9_000, 900)
    own.cut("i1", 0)
    own.words("r1", "i1", 40)
    own.cut("i1", 0)
    assert reads(own) == (HEAD, 0)


def test_what_the_provider_reports_sets_it_right() -> None:
    own = up()
    own.began("r1")
    own.caller(1_000)  # into the answer
    bill(own, "r1", HEAD + 60, 3, said=Usage())  # more than we knew
    assert reads(own, "r2") == (HEAD + 60 + 2 * ITEM_TOKENS, 3 + 10)
    bill(own, "r2", 300, 0)  # the provider has cut back
    assert reads(own, "r3") == (300 + 10 + ITEM_TOKENS, 100)


def test_a_later_session_has_the_head_as_the_first_answer_showed_it() -> None:
    own = up()
    own.began("r1")
    bill(own, "r1", HEAD + 60)
    own.is_up()
    assert reads(own, "r2") == (HEAD + 60, 0)
    bill(own, "r2", 5_000)  # that the replay was longer than we knew says nothing of it
    own.is_up()
    assert reads(own, "r3") == (HEAD + 60, 0)


def test_of_a_cut_answer_what_the_provider_kept_is_read() -> None:
    for late in (False, True):  # the cut, after the bill
        own = up()
        own.began("r1")
        own.words("r1", "i1", 30)
        own.words("r1", "i1", 10)
        if not late:
            own.cut("i1", 1_001)
        bill(own, "r1", HEAD)
        if late:
            own.cut("i1", 1_001)
        assert reads(own) == (HEAD + 10 + ITEM_TOKENS, 21)


def test_of_an_item_that_is_gone_nothing_is_read() -> None:
    own = up()
    own.began("r1")
    own.words("r1", "i1", 40)
    bill(own, "r1", HEAD)
    own.cut("i1", 0)
    assert reads(own) == (HEAD + ITEM_TOKENS, 0)


def test_a_cut_is_never_more_than_there_was() -> None:
    own = up()
    own.began("r1")
    own.words("r1", "i1", 400)
    own.cut("i1", 90_000)
    bill(own, "r1", HEAD)
    assert reads(own, "r2") == (HEAD + 10 + ITEM_TOKENS, 100)
    own.cut("i1", 0)
    assert reads(own, "r3") == (HEAD + ITEM_TOKENS, 0)


def test_nobody_knows_how_much_of_the_audio_is_in_which_of_two_items() -> None:
    own = up()
    own.began("r1")
    own.words("r1", "i1", 20)
    own.words("r1", "i2", 20)
    bill(own, "r1", HEAD)
    own.cut("i2", 0)
    assert reads(own) == (HEAD + 5 + ITEM_TOKENS, 100)


def test_a_cut_of_an_earlier_answer_is_where_the_cache_ends() -> None:
    own = up()
    own.began("r1")
    own.words("r1", "i1", 40)
    bill(own, "r1", HEAD)
    own.began("r2")
    own.cut("i1", 1_000)
    bill(own, "r2", HEAD + 200, 100, hit=640)
    assert cached(own, "r3") == (HEAD, 0)
    assert own.expected("r3").input_audio == 20 + 100


def test_cuts_of_what_is_not_known_change_nothing() -> None:
    own = up()
    own.cut("phrase-1", 0)
    own.words("never-began", "i1", 40)
    own.cut("i1", 0)
    assert reads(own) == (HEAD, 0)


def test_an_answer_that_came_to_nothing_has_left_nothing_in_the_cache() -> None:
    own = up()
    own.began("r1")
    own.forget("r1")
    own.forget("r1")
    assert cached(own, "r2") == (0, 0)
    bill(own, "r2", HEAD)
    own.began("r3")
    own.caller(1_000)
    own.began("r4")
    own.forget("r3")  # not the last one
    assert cached(own, "r5") == (654, 704 - 654)


def test_what_it_knows_is_bounded_and_can_be_kept() -> None:
    own = up()
    for number in range(100):
        own.began(f"r{number}")
        own.words(f"r{number}", f"i{number}", 40)
        bill(own, f"r{number}", HEAD, number)
    kept = pickle.dumps(own)
    assert len(kept) < 2_000
    assert reads(pickle.loads(kept)) == (HEAD + 10 + ITEM_TOKENS, 99 + 100)


TURNS = st.lists(
    st.tuples(
        st.integers(1, 9_000),  # ms of the caller
        st.integers(0, 300),  # tokens of the answer's text
        st.integers(0, 800),  # and of its audio
        st.booleans(),  # the provider reports it
    ),
    min_size=1,
    max_size=8,
)


@given(TURNS, st.integers(100, 3_000))
def test_by_openais_rules_it_is_the_bill(
    turns: list[tuple[int, int, int, bool]], head: int
) -> None:
    """Beside the simulator's conversation at the provider: the same tokens, also if only
    some of the answers are reported."""
    own, there = up(head=head), Context(head, warm=False)
    for number, (caller_ms, text, audio, reported) in enumerate(turns):
        own.caller(caller_ms)
        there.add(audio=-(-caller_ms // 100))
        own.began(f"r{number}")
        theirs = there.respond(text=text, audio=audio)
        ours = own.expected(f"r{number}")
        assert (ours.input_text, ours.input_audio) == (theirs.input_text, theirs.input_audio)
        assert ours.cached_text + ours.cached_audio == theirs.cached_text + theirs.cached_audio
        there.add(text=text, audio=audio)
        made = Usage(*_input(theirs if reported else ours), text, audio)
        own.billed(f"r{number}", made)


def _input(usage: Usage) -> tuple[int, int, int, int]:
    return usage.input_text, usage.input_audio, usage.cached_text, usage.cached_audio


IDS = st.sampled_from(["a", "b", "c"])
COUNTS = st.integers(0, 2_000)
STEPS = st.one_of(
    st.tuples(st.just("began"), IDS),
    st.tuples(st.just("forget"), IDS),
    st.tuples(st.just("words"), IDS, IDS, COUNTS),
    st.tuples(st.just("cut"), IDS, COUNTS),
    st.tuples(st.just("caller"), COUNTS),
    st.tuples(st.just("is_up")),
    st.tuples(st.just("billed"), IDS, st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)),
)


@example(
    [("billed", "a", Usage()), ("forget", "a"), ("billed", "a", Usage()),
     ("is_up",), ("began", "a"), ("began", "a")],
    "a",
)  # fmt: skip
@given(st.lists(STEPS, max_size=30), IDS)
def test_whatever_came_the_estimate_can_be_billed(
    steps: list[tuple[Any, ...]], response_id: str
) -> None:
    """Also of what the provider would never say."""
    own = up()
    for name, *args in steps:
        getattr(own, name)(*args)
    usage = own.expected(response_id)
    assert 0 <= usage.cached_text <= usage.input_text
    assert 0 <= usage.cached_audio <= usage.input_audio
