"""How a call saves as its money runs out: steps, model, the length of answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reception.call import messages as m
from reception.call import tools
from reception.call.profile import Limits, Profile
from reception.call.prompt import say_exactly
from reception.call.talk.provider import CHANGE_AGAIN_S
from reception.call.thrift import SHORT_ANSWER_S, Thrift, words_tokens
from reception.money.bounds import tokens_to_say
from reception.money.policy import Step
from reception.provider import base as p
from tests.unit.call.example import PHRASES, PROFILE, buys
from tests.unit.call.test_conversation import Call, asked_for, commands, kinds, only

CHEAP = replace(PROFILE, cheaper_model="mini")
NOBODY = replace(PROFILE, directory=PROFILE.directory[:1], keys={})
SHORT_ANSWER_TOKENS = tokens_to_say(SHORT_ANSWER_S, text=False)
WARN = m.MoneyRunsOut((Step.WARN,))
SHORTEN = m.MoneyRunsOut((Step.WARN, Step.SHORTEN))
CHEAPER = m.MoneyRunsOut((Step.WARN, Step.SHORTEN, Step.CHEAPER))
WRAP_UP = m.MoneyRunsOut((Step.WARN, Step.WRAP_UP))
TRANSFER = m.MoneyRunsOut((Step.WARN, Step.TRANSFER))


def greeted(profile: Profile = PROFILE) -> Call:
    call = Call(profile)
    call.greeted()
    return call


def told(out: list[Any]) -> list[Step]:
    return [each.step for each in only(out, m.TellBudget)]


def renewals(out: list[Any]) -> Any:
    return only(out, m.Renew)


def steps_of(call: Call) -> tuple[str, ...]:
    return call.talk.record().budget_steps


# ------------------------------------------------------------------ steps


def test_a_step_is_taken_once_in_order_and_never_back() -> None:
    thrift = Thrift("m")
    assert thrift.take(()) == []
    assert thrift.take((Step.WARN, Step.SHORTEN)) == [Step.WARN, Step.SHORTEN]
    assert thrift.take((Step.WARN, Step.SHORTEN, Step.CHEAPER)) == [Step.CHEAPER]
    assert thrift.take((Step.WARN,)) == []
    assert thrift.taken == [Step.WARN, Step.SHORTEN, Step.CHEAPER]


def test_the_callers_side_and_the_record_are_told_of_each_step() -> None:
    call = greeted()
    out = call.tell(WARN, after=2.0)
    assert out == [m.TellBudget(Step.WARN, 2_000)]
    assert call.tell(WARN) == []
    assert told(call.tell(SHORTEN)) == [Step.SHORTEN]
    assert steps_of(call) == ("warn", "shorten")
    assert str(call.state) == "listening"


# ------------------------------------------------------------------ shorter answers


def test_shorter_answers_are_bounded_and_asked_for_at_the_conversations_end() -> None:
    call = greeted()
    bound, brief = commands(call.tell(SHORTEN))
    assert bound == p.Bound(SHORT_ANSWER_TOKENS)
    assert isinstance(brief, p.AddText)
    assert (brief.role, brief.item_id) == ("system", "")
    [redial] = only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    [configure] = call.talk.opening()
    assert isinstance(configure, p.Configure)
    assert redial.opening[0] == replace(configure, max_output_tokens=SHORT_ANSWER_TOKENS)
    assert redial.opening[-1] == brief


def test_how_many_tokens_a_bound_is_depends_on_whether_answers_are_text() -> None:
    thrift = Thrift("m", 120, text=True)
    assert thrift.max_output_tokens == tokens_to_say(120, text=True)
    thrift.text = False
    assert thrift.max_output_tokens == tokens_to_say(120, text=False)
    thrift.take((Step.SHORTEN,))
    assert thrift.max_output_tokens == SHORT_ANSWER_TOKENS
    thrift.text = True
    assert thrift.max_output_tokens == tokens_to_say(SHORT_ANSWER_S, text=True)


def test_without_a_session_only_the_next_one_is_told_to_be_brief() -> None:
    call = greeted()
    call.tell(m.ProviderDown(1006, ""))
    assert kinds(call.tell(SHORTEN)) == [m.TellBudget, m.TellBudget]
    [redial] = only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    assert redial.opening[0].max_output_tokens == SHORT_ANSWER_TOKENS


def test_fixed_words_have_room_enough_however_short_answers_are() -> None:
    call = greeted()
    call.tell(SHORTEN)
    words, respond = commands(call.wait())
    assert words == say_exactly(PHRASES.still_there)
    assert respond == p.Respond(words_tokens(PHRASES.still_there))
    text = "Thank you for calling. " * 20  # half a minute: 600 tokens of audio, 115 of text
    assert words_tokens(text) > 2 * (len(text) / 15 * 20 + len(text) / 4)
    assert words_tokens("x" * 5_000) == 4_096


def test_an_answer_is_no_longer_than_what_is_held_pays_for() -> None:
    call = greeted()
    assert commands(call.tell(m.MoneyRunsOut((), buys(512)))) == [p.Bound(512)]
    assert call.tell(m.MoneyRunsOut((), buys(512))) == []
    assert commands(call.tell(m.MoneyRunsOut((), buys(1_024)))) == [p.Bound(1_024)]
    [bound, _] = commands(call.tell(m.MoneyRunsOut((Step.SHORTEN,), buys(1_024))))
    assert bound == p.Bound(SHORT_ANSWER_TOKENS)
    assert commands(call.tell(m.MoneyRunsOut((Step.SHORTEN,), buys(256)))) == [p.Bound(256)]
    [redial] = only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    assert redial.opening[0].max_output_tokens == 256
    call = greeted()
    call.tell(m.MoneyRunsOut((), buys(512)))
    assert commands(call.tell(m.MoneyRunsOut((), None, "r"))) == [p.Bound(None)]


# ------------------------------------------------------------------ another model


def test_a_cheaper_model_goes_on_once_nobody_speaks() -> None:
    call = greeted(CHEAP)
    call.asked("Hello?")
    call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"))
    call.tell(CHEAPER)
    assert renewals(call.wait_for(0.5)) == []
    words = p.AssistantTranscript("r1", "i1", "Good day.", final=True)
    usage = p.Usage(output_audio=1)
    done = call.tell(words, p.ResponseDone("r1", "completed", usage=usage))
    assert only(done, m.ReportUsage) == [m.ReportUsage("r1", usage, "m")]
    call.tell(m.PlayoutDrained())
    [renew] = renewals(call.wait_for(0))
    assert renew.model == "mini"
    assert renew.opening[2:4] == (
        p.AddText("user", "Hello?"), p.AddText("assistant", "Good day."),
    )  # fmt: skip
    assert (str(call.state), call.talk.record().model) == ("listening", "m")
    assert call.tell(m.ProviderUp("mini")) == []
    assert (str(call.state), call.talk.record().model) == ("listening", "mini")
    call.asked("And now?", "u2")
    out = call.tell(p.ResponseStarted("r2"), p.ResponseDone("r2", "completed", usage=usage))
    assert only(out, m.ReportUsage) == [m.ReportUsage("r2", usage, "mini")]
    assert renewals(call.wait_for(5)) == []


def test_a_caller_who_speaks_meanwhile_puts_the_change_off() -> None:
    call = greeted(CHEAP)
    call.tell(CHEAPER)
    assert len(renewals(call.wait_for(0))) == 1
    call.asked()  # the worker keeps the session that there is
    call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"), p.ResponseDone("r1", "completed"))
    assert renewals(call.wait_for(CHANGE_AGAIN_S)) == []
    call.tell(m.PlayoutDrained())
    assert len(renewals(call.wait_for(0))) == 1
    assert len(renewals(call.wait_for(CHANGE_AGAIN_S))) == 1
    assert call.talk.record().model == "m"


def test_a_change_is_not_tried_for_ever() -> None:
    call = greeted(replace(CHEAP, limits=Limits(prompt_after_s=1_000)))
    call.tell(CHEAPER)
    models = [renew.model for renew in renewals(call.wait_for(100 * CHANGE_AGAIN_S))]
    assert models[:10] == ["mini"] * 10
    assert "mini" not in models[10:]


def test_a_session_that_was_dialled_before_has_the_model_of_then() -> None:
    call = greeted(CHEAP)
    call.tell(CHEAPER)
    call.wait_for(0)
    call.tell(m.ProviderUp("m"))
    assert call.talk.record().model == "m"
    call.tell(m.ProviderUp())
    assert call.talk.record().model == "mini"


@pytest.mark.parametrize(
    ("model", "profiles", "cheaper"),
    [
        ("gpt-realtime-2.1", "", "gpt-realtime-2.1-mini"),
        ("gpt-realtime-2.1", "other", "other"),
        ("gpt-realtime-2.1-mini", "", "gpt-realtime-2.1-mini"),
    ],
)
def test_which_model_is_the_cheaper_one(model: str, profiles: str, cheaper: str) -> None:
    thrift = Thrift(model)
    thrift.go_cheaper(profiles)
    assert thrift.changes_model == (cheaper != model)
    assert (thrift.dial(), thrift.model) == (cheaper, model)


def test_a_model_without_a_cheaper_one_stays() -> None:
    call = greeted()
    call.tell(CHEAPER)
    assert renewals(call.wait_for(5)) == []
    assert steps_of(call) == ("warn", "shorten", "cheaper")


def test_a_lost_session_comes_back_with_the_cheaper_model() -> None:
    call = greeted(CHEAP)
    call.asked()
    call.tell(CHEAPER)
    [redial] = only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    assert redial.model == "mini"
    assert asked_for(call.tell(m.ProviderUp())) == [""]
    assert call.talk.record().model == "mini"


def test_a_cheaper_model_that_can_not_be_had_leaves_the_call_with_the_one_before() -> None:
    call = greeted(CHEAP)
    call.tell(m.ProviderDown(1006, ""), CHEAPER)
    [redial] = only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    call.tell(p.ProviderFault("model_not_found", "", fatal=True, healable=False))
    [back] = only(call.tell(m.ProviderDown(404, "no such model")), m.Redial)
    assert (redial.model, back.model) == ("mini", "m")
    call.tell(m.ProviderUp())
    assert (str(call.state), call.talk.record().model) == ("listening", "m")
    assert renewals(call.wait_for(5)) == []


# ------------------------------------------------------------------ the end


def test_what_was_said_already_is_heard_to_its_end_before_the_goodbye() -> None:
    call = greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"), p.ResponseDone("r1", "completed"))
    out = call.tell(WRAP_UP)
    assert told(out) == [Step.WARN, Step.WRAP_UP]
    assert m.Listen(False) in out
    assert asked_for(out) == []
    assert asked_for(call.tell(m.PlayoutDrained())) == [say_exactly(PHRASES.goodbye)]
    assert call.tell(WARN, TRANSFER) == []
    out = call.spoken("r2", "i2")
    assert only(out, m.FinishCall) == [m.FinishCall("budget", True, 1_000)]
    assert steps_of(call) == ("warn", "wrap_up")


def test_what_is_still_being_made_is_not_waited_for() -> None:
    call = greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"))
    out = call.tell(WRAP_UP)
    assert p.CancelResponse("r1") in commands(out)
    assert m.StopPlayout() in out
    assert asked_for(out) == [say_exactly(PHRASES.goodbye)]


def test_a_caller_who_speaks_as_the_money_goes_hears_the_goodbye_at_once() -> None:
    call = greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"), p.ResponseDone("r1", "completed"))
    assert asked_for(call.tell(WRAP_UP)) == []
    assert asked_for(call.tell(p.SpeechStarted("u2", 0))) == [say_exactly(PHRASES.goodbye)]


def test_the_goodbye_waits_for_a_session() -> None:
    call = greeted()
    call.tell(m.ProviderDown(1006, ""))
    assert asked_for(call.tell(WRAP_UP)) == []
    assert asked_for(call.tell(m.ProviderUp()))[-1] == say_exactly(PHRASES.goodbye)


def test_a_caller_on_hold_hears_the_goodbye_when_back() -> None:
    call = greeted()
    call.tell(m.CallerHold(True))
    assert asked_for(call.tell(WRAP_UP)) == []
    assert asked_for(call.tell(m.CallerHold(False))) == [say_exactly(PHRASES.goodbye)]


def test_a_goodbye_that_met_another_answer_is_asked_for_again() -> None:
    call = greeted()
    call.asked()
    assert asked_for(call.tell(WRAP_UP)) == [say_exactly(PHRASES.goodbye)]
    busy = p.ProviderFault("conversation_already_has_active_response", "")
    out = call.tell(p.ResponseStarted("r1"), busy)
    assert commands(out) == [p.CancelResponse("r1")]
    out = call.tell(p.ResponseDone("r1", "cancelled"))
    assert asked_for(out) == [say_exactly(PHRASES.goodbye)]
    assert str(call.state) == "ending"
    assert only(call.spoken("r2", "i2"), m.FinishCall)[0].reason == "budget"


def test_a_busy_provider_is_nothing_to_a_call_that_goes_on() -> None:
    call = greeted()
    call.asked()
    busy = p.ProviderFault("conversation_already_has_active_response", "")
    assert call.tell(p.ResponseStarted("r1"), busy)[1:] == []


# ------------------------------------------------------------------ to a person


@pytest.mark.parametrize(
    ("profile", "name"),
    [(PROFILE, "Anna Berg"), (replace(PROFILE, transfer_to="Sales"), "Sales")],
)
def test_a_person_takes_the_call_over(profile: Profile, name: str) -> None:
    call = greeted(profile)
    out = call.tell(TRANSFER)
    assert told(out) == [Step.WARN, Step.TRANSFER]
    assert asked_for(out) == [say_exactly(f"Putting you through to {name}.")]
    [transfer] = only(call.spoken("r1", "i1"), m.TellTransfer)
    entry = profile.entry(name)
    assert entry is not None
    assert (transfer.destination, transfer.name) == (entry.destination, name)
    assert call.tell(m.TransferResult(True))[-1].reason == "transferred"


def test_a_person_who_does_not_answer_leaves_a_goodbye() -> None:
    call = greeted()
    call.tell(TRANSFER)
    call.spoken("r1", "i1")
    assert asked_for(call.tell(m.TransferResult(False, "busy"))) == [say_exactly(PHRASES.goodbye)]
    assert only(call.spoken("r2", "i2"), m.FinishCall)[0].reason == "budget"


def test_where_nobody_can_take_the_call_it_is_wrapped_up() -> None:
    call = greeted(NOBODY)
    assert asked_for(call.tell(TRANSFER)) == [say_exactly(PHRASES.goodbye)]


def test_a_transfer_that_is_under_way_is_waited_for() -> None:
    call = greeted()
    call.asked("Sales please")
    call.tell(
        p.ResponseStarted("r1"),
        p.ToolCall("r1", "ti", "t1", "transfer_call", "{}"),
        m.ToolFinished("t1", "{}", tools.Transfer("+4930100", "Sales", "order")),
        p.ResponseDone("r1", "completed"),
    )
    assert asked_for(call.tell(WRAP_UP)) == []
    assert only(call.spoken("r2", "i2"), m.TellTransfer)
    assert asked_for(call.tell(m.TransferResult(False))) == [say_exactly(PHRASES.goodbye)]
