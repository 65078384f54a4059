"""The small model asks for the full one, which goes on with the caller's question."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from reception.call import messages as m
from reception.call import tools
from reception.call.profile import FULL_MODEL_TOOL, Limits, Profile
from reception.call.prompt import configuration
from reception.call.talk.provider import CHANGE_AGAIN_S
from reception.money.policy import Step
from reception.provider import base as p
from tests.unit.call.example import PROFILE, SPEC
from tests.unit.call.test_conversation import Call, asked_for, commands, only

QUESTION = "What is a lien on a vessel?"
ANSWER = p.AddText("system", "Now answer what the caller asked last.")
CHEAPER = m.MoneyRunsOut((Step.CHEAPER,))
GRANTED = m.ToolFinished("t1", '{"ok": true}', tools.FullModel())
PATIENT = replace(PROFILE, limits=Limits(prompt_after_s=1_000))


def asks(profile: Profile = PROFILE, finished: m.ToolFinished = GRANTED) -> Call:
    """A caller's question for which the small model asks for the full one."""
    call = Call(profile, full="full")
    call.greeted()
    call.asked(QUESTION)
    call.tell(
        p.ResponseStarted("r1"),
        p.ToolCall("r1", "ti", "t1", FULL_MODEL_TOOL, "{}"),
        finished,
        p.ResponseDone("r1", "completed"),
    )
    return call


def waits(profile: Profile = PROFILE) -> Call:
    """And the small one has said that it takes a moment."""
    call = asks(profile)
    call.spoken("r2", "i2", "One moment please.")
    return call


def names(configure: p.Configure) -> set[str]:
    return {spec.name for spec in configure.tools}


def renewals(out: list[Any]) -> Any:
    return only(out, m.Renew)


def result(out: list[Any]) -> Any:
    [told] = [each for each in commands(out) if isinstance(each, p.ToolResult)]
    return json.loads(told.output)


# ------------------------------------------------------------------ who may ask


@pytest.mark.parametrize(("full", "offered"), [("full", True), ("m", False), ("", False)])
def test_only_a_model_that_there_is_a_fuller_one_of_may_ask(full: str, offered: bool) -> None:
    [configure] = Call(full=full).talk.opening()
    assert isinstance(configure, p.Configure)
    assert (FULL_MODEL_TOOL in names(configure)) == offered
    assert names(configure) >= {"end_call", "take_message"}


def test_a_profile_may_leave_it_out() -> None:
    few = replace(PROFILE, tools=("end_call",))
    assert names(configuration(few, "pcmu", "", may_ask=True)) == {"end_call"}
    outcome = tools.run(FULL_MODEL_TOOL, "{}", few, 0.0, SPEC)
    assert (json.loads(outcome.output)["ok"], outcome.effect) == (False, None)


def test_the_function_bridges_the_time_until_the_other_model_is_there() -> None:
    outcome = tools.run(FULL_MODEL_TOOL, "{}", PROFILE, 0.0, SPEC)
    assert outcome.effect == tools.FullModel()
    assert json.loads(outcome.output) == {
        "ok": True, "spoken": "One moment please, let me think about that.",
    }  # fmt: skip


# ------------------------------------------------------------------ the change


def test_the_full_model_answers_the_question_in_the_next_pause() -> None:
    call = asks()
    assert result(call.out) == {"ok": True}
    assert asked_for(call.out) == [""]
    assert renewals(call.spoken("r2", "i2", "One moment please.")) == []
    [renew] = renewals(call.wait_for(0))
    assert renew.model == "full"
    assert FULL_MODEL_TOOL not in names(renew.opening[0])
    assert renew.opening[2:] == (
        p.AddText("user", QUESTION),
        p.AddToolCall("t1", FULL_MODEL_TOOL, "{}"),
        p.ToolResult("t1", '{"ok": true}'),
        p.AddText("assistant", "One moment please."),
    )
    assert call.talk.record().model == "m"
    assert commands(call.tell(m.ProviderUp("full"))) == [ANSWER, p.Respond()]
    assert (str(call.state), call.talk.record().model) == ("thinking", "full")
    call.spoken("r3", "i3", "It is a claim.")
    assert str(call.state) == "listening"
    assert call.tell(m.ProviderUp("full")) == []


def test_answers_of_the_full_model_are_billed_as_such_and_save_nothing() -> None:
    call = waits()
    call.wait_for(0)
    call.tell(m.ProviderUp("full"), p.ResponseStarted("r3"))
    usage = p.Usage(output_audio=1)
    [bill] = only(call.tell(p.ResponseDone("r3", "completed", usage=usage)), m.ReportUsage)
    assert bill.model == "full"
    last = call.talk.answered()[0][-1]
    assert (last.model, last.asked_model) == ("full", "full")


def test_a_caller_who_goes_on_meanwhile_is_answered_as_always() -> None:
    call = waits()
    call.wait_for(0)
    call.asked("Never mind. Are you open?", "u2")
    call.spoken("r3", "i3", "We are.")
    assert [renew.model for renew in renewals(call.wait_for(0))] == ["full"]
    assert call.tell(m.ProviderUp("full")) == []
    assert (str(call.state), call.talk.record().model) == ("listening", "full")


def test_keys_that_the_caller_presses_meanwhile_are_acted_upon() -> None:
    call = waits()
    call.tell(m.CallerPressed("7"))
    call.wait_for(0)
    assert call.tell(m.ProviderUp("full")) == []


def test_a_caller_on_hold_has_the_answer_when_back() -> None:
    call = waits()
    call.tell(m.CallerHold(True))
    assert len(renewals(call.wait_for(0.5))) == 1
    assert call.tell(m.ProviderUp("full")) == []
    assert commands(call.tell(m.CallerHold(False))) == [ANSWER, p.Respond()]


def test_where_the_money_is_gone_nothing_more_is_answered() -> None:
    call = waits()
    call.tell(m.CallerHold(True))
    call.wait_for(0.5)
    call.tell(m.ProviderUp("full"), m.MoneyRunsOut((Step.WRAP_UP,)))
    assert ANSWER not in commands(call.tell(m.CallerHold(False)))


def test_a_session_that_is_lost_comes_back_with_the_full_model_and_the_question() -> None:
    call = waits()
    [redial] = only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    assert redial.model == "full"
    assert commands(call.tell(m.ProviderUp())) == [ANSWER, p.Respond()]


def test_a_full_model_that_can_not_be_had_leaves_the_answer_to_the_small_one() -> None:
    call = waits()
    call.tell(m.ProviderDown(1006, ""))
    [back] = only(call.tell(m.ProviderDown(404, "no such model")), m.Redial)
    assert back.model == "m"
    assert FULL_MODEL_TOOL in names(back.opening[0])
    assert commands(call.tell(m.ProviderUp())) == [ANSWER, p.Respond()]


def test_a_change_that_is_never_taken_up_is_given_up() -> None:
    call = waits(PATIENT)
    tried = renewals(call.wait_for(20 * CHANGE_AGAIN_S))
    assert [renew.model for renew in tried[:11]] == ["full"] * 10 + ["m"]
    assert "full" not in [renew.model for renew in tried[10:]]
    assert FULL_MODEL_TOOL in names(tried[10].opening[0])
    assert commands(call.tell(m.ProviderUp("m"))) == [ANSWER, p.Respond()]


# ------------------------------------------------------------------ refused


def test_without_the_money_the_small_model_does_what_it_can() -> None:
    refused = tools.not_now()
    call = asks(finished=m.ToolFinished("t1", refused.output, refused.effect))
    told = result(call.out)
    assert not told["ok"]
    assert told["spoken"]
    call.spoken("r2", "i2", "I'm not sure.")
    assert renewals(call.wait_for(5)) == []


def test_a_call_that_went_on_with_a_cheaper_model_does_not_go_back() -> None:
    call = Call(full="full")
    call.greeted()
    call.tell(CHEAPER)
    call.asked(QUESTION)
    out = call.tell(
        p.ResponseStarted("r1"),
        p.ToolCall("r1", "ti", "t1", FULL_MODEL_TOOL, "{}"),
        GRANTED,
        p.ResponseDone("r1", "completed"),
    )
    assert result(out) == json.loads(tools.not_now().output)
    call.spoken("r2", "i2", "I'm not sure.")
    assert renewals(call.wait_for(5)) == []


def test_as_the_money_runs_out_a_change_is_called_off() -> None:
    call = waits()
    assert commands(call.tell(CHEAPER)) == []
    assert "full" not in [renew.model for renew in renewals(call.wait_for(5))]
    call = waits(replace(PROFILE, cheaper_model="mini"))
    call.wait_for(0)
    call.tell(CHEAPER, m.ProviderUp("full"), p.ResponseStarted("r3"))
    call.spoken("r3", "i3", "It is a claim.")
    assert [renew.model for renew in renewals(call.wait_for(0))] == ["mini"]


def test_the_full_model_can_not_ask_for_itself() -> None:
    call = waits()
    call.wait_for(0)
    call.tell(m.ProviderUp("full"), p.ResponseStarted("r3"))
    call.tell(p.ToolCall("r3", "ti", "t2", FULL_MODEL_TOOL, "{}"))
    out = call.tell(replace(GRANTED, call_id="t2"), p.ResponseDone("r3", "completed"))
    assert not result(out)["ok"]
