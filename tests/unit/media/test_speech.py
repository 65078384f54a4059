"""Text that is spoken here: where it is cut, and what of it was heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.media.speech import LONG_CHARS, Piece, Speech, speech_ms


def said(*deltas: str) -> list[str]:
    """The pieces of an answer that comes in these deltas."""
    speech = Speech()
    pieces = [piece for delta in deltas for piece in speech.say("i", delta)]
    return [piece.text for piece in [*pieces, *speech.finish("i")]]


def spoken(*texts: str, ms: float = 1_000.0) -> Speech:
    """Sentences of a second each."""
    speech = Speech()
    for piece in [*speech.say("i", " ".join(texts)), *speech.finish("i")]:
        speech.spoken(piece, ms, whole=True)
    return speech


# ------------------------------------------------------------------ pieces


def test_a_sentence_is_spoken_once_the_next_one_begins() -> None:
    speech = Speech()
    assert speech.say("i", "We are") == []
    assert speech.say("i", " open.") == []
    assert speech.say("i", " Until five") == [Piece("i", "We are open.")]
    assert speech.unfinished == ["i"]
    assert speech.finish("i") == [Piece("i", "Until five"), Piece("i")]
    assert speech.finish("i") == []
    assert speech.finish("other") == []
    assert speech.say("i", "more. And more.") == []
    assert (speech.knows("i"), speech.knows("other")) == (True, False)
    assert speech.unfinished == []


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Yes! Of course? Well…  then", ["Yes!", "Of course?", "Well…", "then"]),
        ("It costs 3.50 euros, about 4.20 dollars.", ["It costs 3.50 euros, about 4.20 dollars."]),
        ("Ask Mr. Keller or Dr. J. Berg. Bye.", ["Ask Mr. Keller or Dr. J. Berg.", "Bye."]),
        ('He said "no." Really.', ['He said "no."', "Really."]),
        ("**Hours**\n- Monday\n\n- Friday `9` #", ["Hours", "- Monday", "- Friday 9"]),
        ("… - …", []),
    ],
)
def test_where_sentences_end(text: str, pieces: list[str]) -> None:
    assert said(text) == [*pieces, ""]
    assert said(*text) == [*pieces, ""]


def test_a_long_sentence_is_spoken_in_parts() -> None:
    clause, words = "and so it goes on " * 5, "word " * 50
    first, *_ = said(f"{clause}, {words}")
    assert first == clause.strip() + " ,"
    assert len(said(words)[0]) <= LONG_CHARS
    assert "".join(said("x" * 500)) == "x" * 500


@given(st.lists(st.text("aB.! \n,", max_size=60)))
def test_nothing_is_lost_and_nothing_is_long(deltas: list[str]) -> None:
    pieces = said(*deltas)
    letters = [char for char in "".join(deltas) if char.isalpha()]
    assert [char for char in "".join(pieces) if char.isalpha()] == letters


def test_all_items_come_to_their_end_together() -> None:
    speech = Speech()
    speech.say("i", "One")
    speech.say("j", "Two")
    assert speech.finish_all() == [Piece("i", "One"), Piece("i"), Piece("j", "Two"), Piece("j")]


def test_of_an_item_that_was_cut_nothing_more_is_said() -> None:
    speech = Speech()
    speech.say("i", "One. T")
    speech.cut("i")
    assert speech.unfinished == []
    assert speech.say("i", "wo. Three.") == []


# ------------------------------------------------------------------ what was heard


def test_what_was_heard_ends_with_the_last_whole_word() -> None:
    speech = spoken("We are open.", "Until five in the afternoon.", "Goodbye.")
    assert speech.heard("i", 0) == ("", False)
    assert speech.heard("i", 200) == ("", False)
    assert speech.heard("i", 600) == ("We are …", False)
    assert speech.heard("i", 1_000) == ("We are open. …", False)
    assert speech.heard("i", 1_500) == ("We are open. Until five in …", False)
    assert speech.heard("i", 2_999) == ("We are open. Until five in the afternoon. …", False)
    assert speech.heard("i", 3_000) == ("We are open. Until five in the afternoon. Goodbye.", True)
    assert speech.heard("other", 500) == ("", False)


def test_what_was_not_made_yet_was_not_heard() -> None:
    speech = Speech()
    [first, second] = speech.say("i", "We are open. Until five in the afternoon. Then")
    speech.spoken(first, 800.0, whole=True)
    speech.spoken(second, 400.0, whole=False)
    assert speech.heard("i", 800) == ("We are open. …", False)
    assert speech.begun("i")
    heard = speech.heard("i", 800 + speech_ms(len(second.text)) / 2)
    assert heard == ("We are open. Until five in …", False)
    speech.spoken(second, 400.0, whole=True)
    assert not speech.begun("i")
    assert not speech.begun("other")
    both = "We are open. Until five in the afternoon. …"
    assert speech.heard("i", 1_600) == (both, False)
    speech.spoken(second, 1.0, whole=True)  # nobody waits for it
    speech.spoken(Piece("other", "x"), 1.0, whole=True)
    speech.finish("i")
    assert speech.heard("i", 1_600) == (both, False)


def test_what_was_left_out_was_not_heard() -> None:
    speech = Speech()
    [first] = speech.say("i", "We are open. Until")
    speech.spoken(first, 800.0, whole=True)
    speech.cut("i")
    speech.finish("i")
    assert speech.heard("i", 800) == ("We are open. …", False)


def test_what_could_not_be_spoken_was_not_heard() -> None:
    speech = Speech()
    [first, second] = speech.say("i", "We are open. Until five. ")
    speech.spoken(first, 0.0, whole=True)
    speech.spoken(second, 500.0, whole=True)
    assert speech.heard("i", 200) == ("", False)
    assert speech.heard("i", 400) == ("Until …", False)


def test_old_items_are_forgotten() -> None:
    speech = Speech()
    for number in range(20):
        speech.say(f"i{number}", "Words")
    assert speech.unfinished == [f"i{number}" for number in range(4, 20)]
