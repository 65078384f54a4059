"""Answers that come as text while the node's voice is away."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from reception.call import messages as m
from reception.call.conversation import Conversation
from reception.call.profile import Profile
from reception.call.prompt import say_exactly
from reception.call.talk.voice import AGAIN_S
from reception.money.bounds import tokens_to_say
from reception.money.policy import Step
from reception.money.savings.levels import LEVELS, Level
from reception.provider import base as p
from tests.unit.call.example import PHRASES, PROFILE, SPEC
from tests.unit.call.test_conversation import (
    CHEAP,
    Call,
    asked_for,
    commands,
    ends_once,
    only,
    steps,
    tool_call,
)

PATIENT = replace(PROFILE, limits=replace(PROFILE.limits, prompt_after_s=300.0))
SPOKEN = dict.fromkeys((PHRASES.greeting, PHRASES.goodbye, PHRASES.still_there), 2_000)


def conversation(profile: Profile = PATIENT, level: Level = Level.ECONOMY) -> Conversation:
    return Conversation(
        SPEC, profile, "mini", "pcmu", rng=random.Random(1), decisions=LEVELS[level],
        recorded=SPOKEN if level is Level.ECONOMY else {}, asked_model="full",
    )  # fmt: skip


def ringing(profile: Profile = PATIENT) -> Call:
    call = Call(profile)
    call.talk = conversation(profile)
    call.talk.start(call.now_s)
    return call


def greeted(profile: Profile = PATIENT) -> Call:
    call = ringing(profile)
    call.tell(m.ProviderUp(), m.PlayoutStarted("phrase_1"), m.PlayoutDrained())
    return call


def written(call: Call, *more: Any, response: str = "r1", item: str = "i1") -> list[Any]:
    """An answer as text of which nothing is heard, up to its end."""
    text = p.AssistantTranscript(response, item, "At nine.", final=True, written=True)
    out: list[Any] = call.tell(p.ResponseStarted(response), text, m.Unspoken(item), *more)
    return out


def modes(out: list[Any]) -> list[tuple[bool, int | None]]:
    """As what, and how long, answers are to be from then on."""
    told = [each for each in commands(out) if isinstance(each, p.Configure)]
    return [(each.text, each.max_output_tokens) for each in told]


SOUND = (False, tokens_to_say(30, text=False))
TEXT = (True, tokens_to_say(30, text=True))


def test_an_answer_of_which_nothing_is_heard_is_made_anew_as_sound() -> None:
    call = greeted()
    call.asked()
    out = written(call)
    assert modes(out) == [SOUND]
    assert asked_for(out) == []  # the provider is not done
    assert asked_for(call.tell(p.ResponseDone("r1", "completed"))) == [""]
    call.spoken("r2", "i2", "At nine.")
    assert str(call.state) == "listening"
    said = [(each.item_id, each.text) for each in call.talk.record().transcript]
    assert said == [("phrase_1", PHRASES.greeting), ("u1", "Hello?"), ("i2", "At nine.")]


def test_instructions_and_tools_stay_as_they_were() -> None:
    call = greeted()
    [opening] = call.talk.opening()
    assert isinstance(opening, p.Configure)
    [configure] = [each for each in commands(written(call)) if isinstance(each, p.Configure)]
    assert configure == replace(opening, text=False, max_output_tokens=SOUND[1])


def test_the_nodes_voice_is_tried_again_after_a_while() -> None:
    call = greeted()
    written(call, p.ResponseDone("r1", "completed"))
    call.spoken("r2", "i2")
    assert modes(call.wait_for(AGAIN_S - 1.0)) == []
    assert modes(call.wait_for(1.0)) == [TEXT]
    [greeting] = only(call.tell(m.EndRequested("ended_by_operator")), m.PlayPhrase)
    assert greeting.text == PHRASES.goodbye


def test_fixed_words_are_said_by_the_provider_meanwhile() -> None:
    call = ringing()
    call.tell(m.ProviderUp())
    out = call.tell(m.Unspoken("phrase_1"))
    assert modes(out) == [SOUND]
    assert asked_for(out) == [say_exactly(PHRASES.greeting)]
    call.spoken("r0", "i0", PHRASES.greeting)
    assert str(call.state) == "listening"
    out = call.tell(m.EndRequested("ended_by_operator"))
    assert only(out, m.PlayPhrase) == []
    assert asked_for(out) == [say_exactly(PHRASES.goodbye)]


def test_last_words_that_can_not_be_spoken_are_said_before_the_end() -> None:
    call = greeted()
    call.tell(m.EndRequested("ended_by_operator"))
    out = call.tell(m.Unspoken("phrase_2"))
    assert asked_for(out) == [say_exactly(PHRASES.goodbye)]
    assert call.talk.finish is None
    call.spoken("r1", "i1", PHRASES.goodbye)
    assert call.talk.finish is not None


def test_without_a_session_the_next_one_is_told() -> None:
    call = greeted()
    call.tell(p.ResponseStarted("r1"), m.ProviderDown(1006, ""))
    call.wait_for(0.0)
    assert modes(call.tell(m.Unspoken("i1"))) == []
    [redial] = only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    assert (redial.opening[0].text, redial.opening[0].max_output_tokens) == SOUND
    assert asked_for(call.tell(m.ProviderUp())) == [""]  # it was owed


def test_a_phrase_is_not_said_into_the_callers_words() -> None:
    call = ringing()
    call.tell(m.ProviderUp(), p.SpeechStarted("u1", 0))
    assert asked_for(call.tell(m.Unspoken("phrase_1"))) == []


@pytest.mark.parametrize(
    "event", [p.ResponseDone("r1", "cancelled"), p.ResponseDone("r2", "completed")]
)
def test_what_was_cancelled_is_not_made_anew(event: p.ResponseDone) -> None:
    call = greeted()
    written(call)
    assert asked_for(call.tell(event)) == []


def test_a_function_under_way_brings_the_next_answer() -> None:
    call = greeted()
    call.asked()
    written(call, tool_call())
    assert asked_for(call.tell(p.ResponseDone("r1", "completed"))) == []
    assert asked_for(call.tell(m.ToolFinished("t1", "{}"))) == [""]


def test_what_the_provider_writes_instead_of_saying_it_is_not_asked_for_for_ever() -> None:
    call = greeted()
    written(call, p.ResponseDone("r1", "completed"))
    out = written(call, p.ResponseDone("r2", "completed"), response="r2", item="i2")
    assert (modes(out), asked_for(out)) == ([], [])
    assert str(call.state) == "listening"


def test_bounds_are_of_what_answers_are() -> None:
    call = greeted()
    written(call)
    [bound, _] = commands(call.tell(m.MoneyRunsOut((Step.SHORTEN,))))
    assert bound == p.Bound(tokens_to_say(15, text=False))


def test_an_answer_as_sound_is_not_counted_as_text() -> None:
    call = greeted()
    written(call, p.ResponseDone("r1", "completed", usage=p.Usage(output_text=2)))
    call.tell(
        p.ResponseStarted("r2"),
        p.AssistantTranscript("r2", "i2", "At nine.", final=False),
        p.ResponseDone("r2", "completed", usage=p.Usage(output_text=2, output_audio=12)),
    )
    assert [each.spoken_ms for each in call.talk.answered()[0][1:]] == [0, 0]


@pytest.mark.parametrize("level", [Level.ECONOMY, Level.THRIFTY])
def test_another_node_speaks_as_it_can(level: Level) -> None:
    call = greeted()
    there = conversation(level=level)
    there.resume(call.talk.checkpoint())
    [redial] = only(there.handle(m.MediaLost(), 120.0), m.Redial)
    assert redial.opening[0].text == (level is Level.ECONOMY)


def test_a_voice_that_is_away_is_tried_again_at_another_node_too() -> None:
    call = greeted()
    written(call, p.ResponseDone("r1", "completed"))
    call.spoken("r2", "i2")
    there = conversation()
    there.resume(call.talk.checkpoint())
    assert modes(there.handle_timer(call.now_s + AGAIN_S)) == [TEXT]


@settings(max_examples=100)
@given(steps)
def test_whatever_happens_the_call_ends_exactly_once(story: Any) -> None:
    ends_once(ringing(CHEAP), story)
