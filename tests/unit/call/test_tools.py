"""What the model may do."""

import json
from dataclasses import replace

import pytest

from reception.call import tools
from reception.call.profile import ALL_TOOLS
from reception.call.prompt import configuration, expected_words, instructions, say_exactly
from reception.call.record import TakenMessage
from tests.unit.call.example import PROFILE, SPEC

NOW_S = 1_795_510_800.0  # Tuesday, 2026-11-24 10:00 in Berlin


def run(function, /, **arguments):
    outcome = tools.run(function, json.dumps(arguments), PROFILE, NOW_S, SPEC)
    return json.loads(outcome.output), outcome.effect


def test_the_functions_on_offer_are_those_of_the_profile():
    assert [spec.name for spec in tools.specs(PROFILE)] == list(ALL_TOOLS)
    few = replace(PROFILE, tools=("end_call",))
    assert [spec.name for spec in tools.specs(few)] == ["end_call"]
    destination = tools.specs(PROFILE)[0].parameters["properties"]["destination"]
    assert destination["enum"] == ["Sales", "Anna Berg"]


def test_a_transfer_by_name_or_alias():
    output, effect = run("transfer_call", destination="sales DEPARTMENT", reason="order")
    assert effect == tools.Transfer("+4930100", "Sales", "order")
    assert output["spoken"] == "One moment please, I'll put you through to the Sales department."
    output, effect = run("transfer_call", destination="Anna Berg")
    assert output["spoken"].endswith("to Anna Berg.")
    assert effect == tools.Transfer("sip:anna@example", "Anna Berg", "")


@pytest.mark.parametrize("wanted", ["Nobody", ""])
def test_a_transfer_to_nobody_says_who_there_is(wanted):
    output, effect = run("transfer_call", destination=wanted)
    assert effect is None
    assert output["ok"] is False
    assert "Sales, Anna Berg" in output["error"]


def test_a_message_with_all_it_needs_is_kept():
    output, effect = run(
        "take_message",
        caller_name=" John ", phone_number="555-0123", message="Call me", for_whom="Anna",
    )  # fmt: skip
    assert output["ok"]
    assert effect == tools.Message(TakenMessage("c1", "Anna", "John", "5550123", "Call me", NOW_S))


def test_a_message_says_what_is_missing():
    output, effect = run("take_message", caller_name=" ", phone_number="12", message="x")
    assert effect is None
    assert output["missing"] == ["caller_name", "phone_number"]
    assert output["spoken"] == "Could you tell me your name and your telephone number, please?"


def test_opening_hours_of_the_week_and_of_a_day():
    output, _ = run("get_opening_hours")
    assert output["open_now"] is True
    assert output["hours"][5] == {"day": "Saturday", "open": []}
    assert output["spoken"].startswith("We are open Monday to Thursday")
    assert run("get_opening_hours", day="tomorrow")[0]["spoken"].startswith("We are open on Wed")
    assert run("get_opening_hours", day="Today")[0]["spoken"].startswith("We are open today")
    assert run("get_opening_hours", day="sunday")[0]["spoken"] == "We are closed on Sunday."
    assert "no weekday" in run("get_opening_hours", day="someday")[0]["error"]


def test_people_are_found_by_name_role_and_alias():
    output, _ = run("find_person", name="anna")
    assert output["matches"] == [{"name": "Anna Berg", "role": ""}]
    assert run("find_person", name="order")[0]["spoken"] == "I have found Sales, orders."
    assert run("find_person", name="zoe")[0]["found"] is False
    assert "that name" in run("find_person", name="")[0]["spoken"]


def test_the_end_says_goodbye():
    output, effect = run("end_call", reason="done")
    assert (output["spoken"], effect) == ("Goodbye then.", tools.EndCall("done"))


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("rm", "{}", "no function 'rm'"),
        ("end_call", "{", "no valid JSON"),
        ("end_call", "[]", "must be a JSON object"),
        ("end_call", '{"when": "now"}', "unknown argument 'when'"),
        ("end_call", '{"reason": 5}', "'reason' must be a string"),
        ("end_call", json.dumps({"reason": "x" * 2001}), "2001 characters, over 2000"),
    ],
)
def test_wrong_calls_are_refused_with_the_reason(name, arguments, error):
    outcome = tools.run(name, arguments, PROFILE, NOW_S, SPEC)
    assert outcome.effect is None
    assert error in json.loads(outcome.output)["error"]


def test_no_arguments_at_all_are_none():
    assert tools.run("end_call", "", PROFILE, NOW_S, SPEC).effect == tools.EndCall("")


def test_a_failure_has_words_for_the_caller():
    assert json.loads(tools.failed("broken").output)["error"] == "broken"


def test_instructions_are_the_same_for_every_call_and_hold_the_directory():
    text = instructions(PROFILE)
    assert text == instructions(replace(PROFILE))
    assert "- Sales (orders)" in text
    assert "- Anna Berg\n" in text
    assert "Speak English" in text
    assert instructions(replace(PROFILE, instructions="Be brief.")).endswith("\nBe brief.\n")
    nobody = replace(PROFILE, directory=(), language="nl")
    assert "- nobody" in instructions(nobody)
    assert "Speak nl" in instructions(nobody)


def test_the_recogniser_is_told_what_callers_say_and_whom_they_ask_for():
    words = expected_words(PROFILE)
    assert "Is Anna Berg there?" in words
    assert "through to Sales?" in words
    assert "opening hours" in words
    assert "through to" not in expected_words(replace(PROFILE, directory=()))
    assert expected_words(replace(PROFILE, language="de")) == "Example, Anna Berg, Sales"
    assert configuration(PROFILE, "pcmu", "").transcription_prompt == words


def test_exact_words_are_quoted():
    assert say_exactly('a "b" \\c').text == 'Say exactly: "a \\"b\\" \\\\c"'


def test_the_profiles_voice_comes_first():
    assert configuration(PROFILE, "pcmu", "cedar").voice == "cedar"
    assert configuration(replace(PROFILE, voice="ash"), "pcmu", "cedar").voice == "ash"
