"""What a call does at each level of saving."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from reception.call import messages as m
from reception.call.conversation import Conversation
from reception.call.profile import Profile
from reception.call.record import CallSpec
from reception.call.thrift import SHORT_ANSWER_S
from reception.money.bounds import tokens_to_say
from reception.money.policy import Step
from reception.money.savings.comparison import Answered
from reception.money.savings.levels import LEVELS, Level
from reception.provider import base as p
from reception.provider.realtime import RealtimeCodec
from tests.unit.call.example import PHRASES, PROFILE, SPEC, buys
from tests.unit.call.test_conversation import commands, only

SHORT_ANSWER_TOKENS = tokens_to_say(SHORT_ANSWER_S, text=False)


def talk(level: Level, spec: CallSpec = SPEC, profile: Profile = PROFILE) -> Conversation:
    rng = random.Random(1)
    call = Conversation(spec, profile, "m", "pcmu", rng=rng, decisions=LEVELS[level])
    call.start(100.0)
    return call


def configured(level: Level) -> p.Configure:
    [configure] = talk(level).opening()
    assert isinstance(configure, p.Configure)
    return configure


@pytest.mark.parametrize("level", list(Level))
def test_every_call_of_a_profile_begins_with_the_same_bytes(level: Level) -> None:
    codec = RealtimeCodec()
    other = replace(
        SPEC,
        call_id="other",
        session_id="other",
        lease_id="other",
        from_uri="+4930999",
        to_uri="+4930888",
        metadata={"priority": "normal", "queue": "7"},
        tenant="other",
        key_id="other",
        node_id="other",
        accepted_at_s=2e9,
    )
    one, two = (
        [codec.encode(command) for command in talk(level, spec).opening()] for spec in (SPEC, other)
    )
    assert one == two


def test_what_is_said_on_the_way_leaves_instructions_and_tools_as_they_are() -> None:
    """Not one of the commands after the first has instructions or tools."""
    call, codec = talk(Level.QUALITY), RealtimeCodec()
    out = call.handle(m.ProviderUp(), 101.0)
    out += call.handle(m.FromProvider(p.ResponseStarted("r0")), 101.1)
    out += call.handle(m.FromProvider(p.ResponseDone("r0", "completed")), 101.2)
    out += call.handle(m.MoneyRunsOut((Step.SHORTEN,), buys(512)), 101.3)
    out += call.handle_timer(120.0)
    said = [codec.encode(command) for command in commands(out)]
    assert sum(PHRASES.greeting in each for each in said) == 1
    assert sum(PHRASES.still_there in each for each in said) == 1
    assert not [each for each in said if '"instructions"' in each or '"tools"' in each]


def test_the_conversation_is_cut_back_from_quality_on() -> None:
    assert configured(Level.OFF).truncation is None
    assert configured(Level.QUALITY).truncation == p.Truncation(8_000, 50)
    assert configured(Level.BALANCED).truncation == p.Truncation(4_000, 50)


def test_only_economy_has_its_answers_as_text() -> None:
    codec = RealtimeCodec()
    for level in Level:
        session = json.loads(codec.encode(configured(level)))["session"]
        text = level is Level.ECONOMY
        assert session["output_modalities"] == (["text"] if text else ["audio"])
        assert ("output" in session["audio"]) != text
        assert ("read aloud" in session["instructions"]) == text


@pytest.mark.parametrize(("level", "ms"), [(Level.ECONOMY, 2_000), (Level.THRIFTY, 0)])
def test_an_answer_as_text_is_kept_with_the_time_it_takes_to_speak(level: Level, ms: int) -> None:
    call = talk(level)
    call.handle(m.ProviderUp(), 101.0)
    usage = p.Usage(output_text=8)
    for event in (
        p.ResponseStarted("r0"),
        p.AssistantTranscript("r0", "i0", "x" * 30, final=False),
        p.ResponseDone("r0", "completed", usage=usage),
        p.ResponseStarted("r1"),
        p.AssistantTranscript("r1", "i1", "x" * 30, final=False),
    ):
        call.handle(m.FromProvider(event), 102.0)
    call.handle(m.AnswerAudio("r1", 0, lost=True), 103.0)
    assert [each.spoken_ms for each in call.answered()[0]] == [ms, ms]


def test_the_model_is_asked_for_short_answers_from_balanced_on() -> None:
    off, quality, balanced = map(configured, (Level.OFF, Level.QUALITY, Level.BALANCED))
    assert quality.instructions == off.instructions
    manner = LEVELS[Level.BALANCED].manner
    assert balanced.instructions == off.instructions.replace(
        "say precisely that.\n", f"say precisely that.\n{manner}\n"
    )
    assert (quality.max_output_tokens, balanced.max_output_tokens) == (None, 698)


def test_an_answer_as_text_has_fewer_tokens_for_the_same_time() -> None:
    assert configured(Level.ECONOMY).max_output_tokens == 200
    call = talk(Level.ECONOMY)
    call.handle(m.ProviderUp(), 101.0)
    assert commands(call.handle(m.MoneyRunsOut((), buys(512)), 102.0)) == []


def test_the_levels_bound_is_the_highest_and_money_makes_it_lower() -> None:
    call = talk(Level.BALANCED)
    call.handle(m.ProviderUp(), 101.0)
    assert commands(call.handle(m.MoneyRunsOut((), buys(1_024)), 102.0)) == []
    assert commands(call.handle(m.MoneyRunsOut((), buys(512)), 102.0)) == [p.Bound(512)]
    assert commands(call.handle(m.MoneyRunsOut((), None, "r"), 102.0)) == [p.Bound(698)]
    [bound, _] = commands(call.handle(m.MoneyRunsOut((Step.SHORTEN,), None, "r"), 102.0))
    assert bound == p.Bound(SHORT_ANSWER_TOKENS)
    [redial] = only(call.handle(m.ProviderDown(1006, ""), 103.0), m.Redial)
    assert redial.opening[0] == replace(
        configured(Level.BALANCED), max_output_tokens=SHORT_ANSWER_TOKENS
    )


def test_each_bill_is_kept_with_the_model_that_was_asked_for() -> None:
    rng = random.Random(1)
    full, small = "gpt-realtime-2.1", "gpt-realtime-2.1-mini"
    cheap = replace(PROFILE, cheaper_model="other")
    call = Conversation(
        SPEC, cheap, small, "pcmu", rng=rng, decisions=LEVELS[Level.THRIFTY], asked_model=full
    )
    call.start(100.0)
    call.handle(m.ProviderUp(small), 101.0)
    first, second = p.Usage(10, 20), p.Usage(30, 40)
    for usage in (first, first):  # told twice, billed once
        call.handle(m.FromProvider(p.ResponseDone("r0", "completed", usage=usage)), 102.0)
    call.handle(m.MoneyRunsOut((Step.CHEAPER,)), 103.0)
    call.handle(m.ProviderUp("other"), 104.0)
    call.handle(m.FromProvider(p.ResponseDone("r1", "completed", usage=second)), 105.0)
    answered, head_tokens = call.answered()
    assert answered == (Answered(small, full, first), Answered("other", "other", second))
    assert 300 < head_tokens < 3_000
    for number in range(600):
        done = p.ResponseDone(f"x{number}", "completed", usage=first)
        call.handle(m.FromProvider(done), 106.0)
    assert len(call.answered()[0]) == 500
