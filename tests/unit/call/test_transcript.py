"""What was said, in order, as heard."""

from reception.call.transcript import Transcript
from reception.provider.base import AddText, AddToolCall, ToolResult


def test_partial_words_add_up_and_final_ones_replace_them():
    said = Transcript()
    said.add("reception", "i", "One ", final=False, at_ms=5)
    said.add("reception", "i", "two", final=False, at_ms=6)
    assert said.said()[0].text == "One two"
    said.add("reception", "i", "One, two.", final=True, at_ms=7)
    [only] = said.said()
    assert (only.text, only.at_ms, only.interrupted) == ("One, two.", 5, False)


def test_words_stand_where_their_speech_began():
    said = Transcript()
    said.began("caller", "u", 1)
    said.add("reception", "i", "Yes?", final=True, at_ms=2)
    said.add("caller", "u", "Hello", final=True, at_ms=3)
    assert [each.text for each in said.said()] == ["Hello", "Yes?"]


def test_what_was_not_understood_or_not_heard_is_left_out():
    said = Transcript()
    said.began("caller", "u", 1)
    said.add("reception", "i", "Nobody heard this", final=True, at_ms=2)
    said.cut("i", 0)
    assert said.said() == ()
    assert said.replay() == []


def test_a_cut_answer_keeps_the_words_heard_and_takes_no_late_ones():
    said = Transcript()
    said.add("reception", "i", "One two three four five.", final=True, at_ms=2)
    said.cut("i", 700)
    said.add("reception", "i", "One two three four five.", final=True, at_ms=3)
    [only] = said.said()
    assert (only.text, only.interrupted, only.heard_ms) == ("One two …", True, 700)


def test_a_cut_after_all_was_heard_keeps_all():
    said = Transcript()
    said.add("reception", "i", "Short.", final=True, at_ms=2)
    said.cut("i", 5000)
    said.cut("unknown", 5)
    assert said.said()[0].text == "Short."


def test_a_replay_has_words_and_functions_in_order():
    said = Transcript()
    said.add("caller", "u", "Hours?", final=True, at_ms=1)
    said.tool("t", "get_opening_hours", "{}", "nine")
    said.add("reception", "i", "Nine.", final=True, at_ms=2)
    assert said.replay() == [
        AddText("user", "Hours?"),
        AddToolCall("t", "get_opening_hours", "{}"),
        ToolResult("t", "nine"),
        AddText("assistant", "Nine."),
    ]


def test_where_the_words_heard_are_known_they_are_kept():
    said = Transcript()
    said.add("reception", "i", "One two three four five.", final=True, at_ms=2)
    said.cut("i", 900, "One two three …")
    said.add("reception", "i", "One two three four five.", final=True, at_ms=3)
    [only] = said.said()
    assert (only.text, only.heard_ms) == ("One two three …", 900)
    assert said.replay() == [AddText("assistant", "One two three …")]
    said.cut("i", 100, "")
    assert said.said() == ()
