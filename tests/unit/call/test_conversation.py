"""The conversation's state machine, with literal clocks."""

import pickle
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reception.call import messages as m
from reception.call import tools
from reception.call.prompt import configuration, say_exactly
from reception.call.record import TakenMessage
from reception.call.states import TRANSITIONS, State, check, public_state
from reception.call.talk.ending import LAST_WORDS_S
from reception.call.talk.provider import (
    AGAIN_S,
    DIAL_TRIES,
    RENEW_AGAIN_S,
    RENEW_LOOK_S,
    RENEW_S,
)
from reception.errors import IllegalTransition
from reception.media.hearing import Hearing
from reception.money.policy import Step
from reception.provider import base as p
from tests.unit.call.example import PHRASES, PROFILE, NoJitter, conversation

BUSY = "conversation_already_has_active_response"
CHEAP = replace(PROFILE, cheaper_model="mini")
ALONE = replace(PROFILE, directory=PROFILE.directory[:1])  # nobody takes its calls
LOCAL = Hearing(barge_in="local")
UNLIMITED = replace(PROFILE.limits, max_call_s=1e6, prompt_after_s=1e6, answer_s=1e6)


class Call:
    """A conversation with a clock that the test moves."""

    def __init__(self, profile=PROFILE, rng=None, full=""):
        self.now_s = 100.0
        self.talk = conversation(profile, rng, full)
        self.out = self.talk.start(self.now_s)

    @property
    def state(self) -> Any:
        return self.talk.state

    def tell(self, *events, after=0.0):
        """Events in, the commands of all of them out."""
        self.now_s += after
        out = []
        for event in events:
            wrapped = event if isinstance(event, m.ConversationEvent) else m.FromProvider(event)
            out += self.talk.handle(wrapped, self.now_s)
        self.out = out
        return out

    def wait(self):
        """To the next deadline."""
        deadline_s = self.talk.next_deadline_s()
        assert deadline_s is not None
        self.now_s = max(self.now_s, deadline_s)
        self.out = self.talk.handle_timer(self.now_s)
        return self.out

    def wait_for(self, seconds):
        """Every deadline that comes within so many seconds."""
        until_s, out = self.now_s + seconds, []
        while (at_s := self.talk.next_deadline_s()) is not None and at_s <= until_s:
            out += self.wait()
        self.now_s = max(self.now_s, until_s)
        return out

    def spoken(self, response="r1", item="i1", text="Words.", after=0.0):
        """A whole answer, made and played."""
        return self.tell(
            p.ResponseStarted(response),
            p.AssistantTranscript(response, item, text, final=True),
            m.PlayoutStarted(item),
            p.ResponseDone(response, "completed"),
            m.PlayoutDrained(),
            after=after,
        )

    def greeted(self):
        self.tell(m.ProviderUp())
        self.spoken("r0", "i0", PHRASES.greeting)
        return self

    def asked(self, text="Hello?", item="u1"):
        """The caller says something."""
        return self.tell(
            p.SpeechStarted(item, 0),
            p.SpeechStopped(item, 900),
            p.CallerTranscript(item, text, final=True),
        )


def kinds(out):
    return [type(command) for command in out]


def only(out, kind):
    return [command for command in out if isinstance(command, kind)]


def commands(out):
    """What the provider was told."""
    return [each.command for each in only(out, m.ToProvider)]


def asked_for(out):
    """What the provider was asked to say: the item right before, or "" for an answer of
    its own."""
    told = [None, *commands(out)]
    return [
        before if isinstance(before, p.AddText) and "Say exactly" in before.text else ""
        for before, command in pairwise(told)
        if isinstance(command, p.Respond)
    ]


def tool_call(name="get_opening_hours", response="r1", call_id="t1", arguments="{}"):
    return p.ToolCall(response, "ti", call_id, name, arguments)


TRANSFER = tools.Transfer("+4930100", "Sales", "order")


def test_the_greeting_is_said_to_the_letter_and_then_it_listens():
    call = Call()
    assert str(call.state) == "connecting"
    assert isinstance(call.talk.opening()[0], p.Configure)
    out = call.tell(m.ProviderUp())
    assert asked_for(out) == [say_exactly(PHRASES.greeting)]
    assert str(call.state) == "greeting"
    out = call.spoken()
    assert str(call.state) == "listening"
    steps = [(tell.step, tell.turn) for tell in only(out, m.TellTurn)]
    assert steps == [
        (m.TurnStep.RESPONSE_STARTED, 0), (m.TurnStep.FIRST_AUDIO, 0), (m.TurnStep.DONE, 0),
    ]  # fmt: skip


def test_a_turn_is_measured_from_the_end_of_speech_to_the_first_audio():
    call = Call().greeted()
    call.asked()
    assert str(call.state) == "thinking"
    call.tell(p.ResponseStarted("r1"), after=0.1)
    out = call.tell(m.PlayoutStarted("i1"), after=0.15)
    [first] = only(out, m.TellTurn)
    assert (first.step, first.turn, first.latency_ms) == (m.TurnStep.FIRST_AUDIO, 1, 250)
    assert str(call.state) == "speaking"
    call.tell(m.GatewayMeasured(700, 300), m.GatewayMeasured(900, 1))
    out = call.tell(p.ResponseDone("r1", "completed"), m.PlayoutDrained())
    [done] = only(out, m.TellTurn)
    assert (done.step, done.latency_ms, done.gateway_us) == (m.TurnStep.DONE, 250, 700)
    assert done.gateway_up_us == 300
    record = call.talk.record()
    assert (record.turns, record.state, record.phase) == (1, "active", "listening")
    assert record.turn_times[-1].latency_ms == 250


def test_words_go_to_the_callers_side_and_into_the_transcript_in_order_of_speech():
    call = Call().greeted()
    call.tell(p.SpeechStarted("u1", 0), p.SpeechStopped("u1", 900))
    call.tell(
        p.ResponseStarted("r1"),
        p.AssistantTranscript("r1", "i1", "Of ", final=False),
        p.AssistantTranscript("r1", "i1", "course.", final=False),
    )
    out = call.tell(p.CallerTranscript("u1", "Please?", final=True))  # recognised late
    assert only(out, m.TellTranscript) == [m.TellTranscript(m.Who.CALLER, "Please?", True, "u1")]
    said = [(each.who, each.text) for each in call.talk.record().transcript]
    assert said[1:] == [("caller", "Please?"), ("reception", "Of course.")]


def test_usage_is_reported_once_for_each_response_and_each_transcription():
    call = Call().greeted()
    usage = p.Usage(input_text=10)
    done = p.ResponseDone("r9", "completed", usage=usage)
    assert only(call.tell(done, done), m.ReportUsage) == [m.ReportUsage("r9", usage, "m")]
    words = p.CallerTranscript("u1", "x", final=True, usage=p.TranscriptionUsage(1.5, 10, 2, 3))
    out = call.tell(words, words)
    assert only(out, m.ReportTranscription) == [m.ReportTranscription("u1", 1.5, 12, 3)]


def test_an_answer_that_is_cut_keeps_what_was_heard():
    call = Call().greeted()
    call.asked()
    call.tell(
        p.ResponseStarted("r1"),
        p.AssistantTranscript("r1", "i1", "One two three four five six seven.", final=True),
        m.PlayoutStarted("i1"),
    )
    out = call.tell(m.PlayoutInterrupted("i1", 1000))
    [done] = only(out, m.TellTurn)
    assert (done.step, done.interrupted) == (m.TurnStep.DONE, True)
    call.tell(p.SpeechStarted("u2", 0), p.ResponseDone("r1", "cancelled", "turn_detected"))
    assert str(call.state) == "caller_speaking"
    record = call.talk.record()
    assert record.interruptions == 1
    assert (record.transcript[-1].text, record.transcript[-1].heard_ms) == ("One two three …", 1000)


def test_where_the_worker_decides_on_barge_in_a_cut_answer_is_cancelled_too():
    for hearing, cancelled in ((Hearing(), []), (LOCAL, [p.CancelResponse("r1")])):
        call = Call(replace(PROFILE, hearing=hearing)).greeted()
        call.asked()
        call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"))
        assert commands(call.tell(m.PlayoutInterrupted("i1", 500))) == cancelled
        assert commands(call.tell(p.SpeechStarted("u2", 0))) == []


def test_where_the_worker_decides_an_answer_that_is_complete_needs_no_cancelling():
    call = Call(replace(PROFILE, hearing=LOCAL)).greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"), p.ResponseDone("r1", "completed"))
    assert only(call.tell(m.PlayoutInterrupted("i1", 500)), m.ToProvider) == []


def test_where_the_worker_decides_the_conversation_asks_for_the_answers():
    for hearing, asked in ((Hearing(), []), (LOCAL, [""])):
        call = Call(replace(PROFILE, hearing=hearing)).greeted()
        call.tell(p.SpeechStarted("u1", 0))
        assert asked_for(call.tell(p.SpeechStopped("u1", 0))) == asked


def test_where_the_worker_decides_a_caller_who_goes_on_is_not_answered_halfway():
    call = Call(replace(PROFILE, hearing=LOCAL)).greeted()
    call.tell(p.SpeechStarted("u1", 0), p.SpeechStopped("u1", 0), p.ResponseStarted("r1"))
    assert commands(call.tell(p.SpeechStarted("u2", 0))) == [p.CancelResponse("r1")]
    call.tell(p.ResponseDone("r1", "cancelled"))
    assert asked_for(call.tell(p.SpeechStopped("u2", 0))) == [""]


def test_where_the_worker_decides_an_answer_that_begins_while_the_caller_goes_on_is_cancelled():
    call = Call(replace(PROFILE, hearing=LOCAL)).greeted()
    call.tell(p.SpeechStarted("u1", 0), p.SpeechStopped("u1", 0), p.SpeechStarted("u2", 0))
    assert commands(call.tell(p.ResponseStarted("r1"))) == [p.CancelResponse("r1")]


def test_where_the_worker_finds_turns_each_answer_is_asked_for_and_billed_by_their_name():
    turns = replace(PROFILE.turn_detection, kind="local")
    call = Call(replace(PROFILE, turn_detection=turns)).greeted()
    call.tell(p.SpeechStarted("t1", 0))
    assert asked_for(call.tell(p.SpeechStopped("t1", 900))) == [""]
    call.tell(p.AudioCommitted("t1", "i1"), p.AudioCommitted("i0"))
    usage = p.TranscriptionUsage(seconds=0.9)
    [bill] = only(
        call.tell(p.CallerTranscript("t1", "Hello?", final=True, usage=usage, bill_id="i1")),
        m.ReportTranscription,
    )
    assert bill.item_id == "i1"
    assert call.talk._call.bills.unwritten == {}
    assert [said.text for said in call.talk.record().transcript][-1] == "Hello?"


def test_the_provider_acts_by_itself_only_where_it_alone_decides():
    for hearing in (Hearing(), LOCAL, Hearing(min_speech_ms=300), Hearing(gain=True)):
        profile = replace(PROFILE, hearing=hearing)
        turns = configuration(profile, "pcmu", "v").turn_detection
        assert turns == replace(profile.turn_detection, automatic=not hearing.decides)


def test_a_tool_runs_once_and_its_result_is_answered_once():
    call = Call().greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), after=1.5)
    out = call.tell(tool_call(), tool_call())
    assert only(out, m.RunTool) == [m.RunTool("t1", "get_opening_hours", "{}", 1_500)]
    assert str(call.state) == "tool_running"
    assert asked_for(call.tell(m.ToolFinished("t1", "out"))) == []  # the response is not over
    out = call.tell(p.ResponseDone("r1", "completed"))
    assert m.ToProvider(p.ToolResult("t1", "out")) in out
    assert asked_for(out) == [""]
    assert str(call.state) == "thinking"
    assert call.tell(m.ToolFinished("t1", "again"), m.ToolFinished("t9", "unknown")) == []
    [redial] = only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    assert redial.opening[-2:] == (
        p.AddToolCall("t1", "get_opening_hours", "{}"), p.ToolResult("t1", "out"),
    )  # fmt: skip


def test_two_tools_are_answered_together():
    call = Call().greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), tool_call(), tool_call(call_id="t2"))
    call.tell(p.ResponseDone("r1", "completed"))
    assert asked_for(call.tell(m.ToolFinished("t2", "b"))) == []
    out = call.tell(m.ToolFinished("t1", "a"))
    results = [command.command for command in only(out, m.ToProvider)]
    assert results == [p.ToolResult("t1", "a"), p.ToolResult("t2", "b"), p.Respond()]


def test_a_tool_that_takes_too_long_gives_an_error_and_the_call_goes_on():
    call = Call().greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), tool_call(), p.ResponseDone("r1", "completed"))
    out = call.wait_for(16)
    [result] = [c.command for c in only(out, m.ToProvider) if isinstance(c.command, p.ToolResult)]
    assert "too long" in result.output
    assert call.tell(m.ToolFinished("t1", "late")) == []


def announced_transfer(call):
    call.asked("Sales please")
    call.tell(
        p.ResponseStarted("r1"),
        p.AssistantTranscript("r1", "i1", "One moment.", final=True),
        m.PlayoutStarted("i1"),
        tool_call("transfer_call"),
        m.ToolFinished("t1", "{}", TRANSFER),
        p.ResponseDone("r1", "completed"),
    )
    return call.tell(m.PlayoutDrained())


def test_a_transfer_waits_for_its_announcement_and_ends_the_call():
    call = Call().greeted()
    out = announced_transfer(call)
    assert m.TellTransfer("+4930100", "Sales", "order") in out
    assert m.Listen(False) in out
    assert str(call.state) == "transferring"
    assert call.tell(p.SpeechStarted("u9", 0), p.SpeechStopped("u9", 1)) == []
    out = call.tell(m.TransferResult(True))
    assert out == [m.FinishCall("transferred", False, 0)]
    record = call.talk.record()
    assert (record.transferred_to, record.end_reason) == ("+4930100", "transferred")


def test_a_transfer_without_words_is_announced_first():
    call = Call().greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), tool_call("transfer_call"))
    call.tell(p.ResponseDone("r1", "completed"))
    out = call.tell(m.ToolFinished("t1", "{}", TRANSFER))
    assert asked_for(out) == [say_exactly("Putting you through to Sales.")]
    assert only(call.spoken("r2", "i2"), m.TellTransfer)


@pytest.mark.parametrize("how", ["refused", "time-out"])
def test_a_failed_transfer_comes_back_to_the_receptionist(how):
    call = Call().greeted()
    announced_transfer(call)
    out = call.tell(m.TransferResult(False, "busy")) if how == "refused" else call.wait_for(31)
    assert m.Listen(True) in out
    assert asked_for(out) == [say_exactly(PHRASES.transfer_failed)]
    told = only(out, m.ToProvider)[0].command
    assert told.role == "system"
    assert "Sales failed" in told.text
    assert call.tell(m.TransferResult(True)) == []  # too late
    call.spoken("r2", "i2")
    assert str(call.state) == "listening"
    assert call.talk.record().transferred_to == ""


def test_end_call_hangs_up_after_the_goodbye():
    call = Call().greeted()
    call.asked("Bye")
    call.tell(
        p.ResponseStarted("r1"),
        p.AssistantTranscript("r1", "i1", "Goodbye.", final=True),
        m.PlayoutStarted("i1"),
        tool_call("end_call"),
        m.ToolFinished("t1", "{}", tools.EndCall("done")),
        p.ResponseDone("r1", "completed"),
    )
    out = call.tell(m.PlayoutDrained())
    assert only(out, m.FinishCall) == [m.FinishCall("completed", True, 1000)]
    assert call.talk.next_deadline_s() is None


def test_end_call_without_words_says_goodbye_first():
    call = Call().greeted()
    call.asked("Bye")
    call.tell(p.ResponseStarted("r1"), tool_call("end_call"), p.ResponseDone("r1", "completed"))
    out = call.tell(m.ToolFinished("t1", "{}", tools.EndCall("")))
    assert asked_for(out) == [say_exactly(PHRASES.goodbye)]


def test_a_caller_who_cuts_the_goodbye_off_is_heard():
    call = Call().greeted()
    call.asked("Bye")
    call.tell(
        p.ResponseStarted("r1"),
        p.AssistantTranscript("r1", "i1", "Goodbye.", final=True),
        m.PlayoutStarted("i1"),
        tool_call("end_call"),
        m.ToolFinished("t1", "{}", tools.EndCall("done")),
        p.ResponseDone("r1", "completed"),
        m.PlayoutInterrupted("i1", 200),
    )
    call.asked("Wait!", "u2")
    assert str(call.state) == "thinking"


def test_a_message_is_in_the_record():
    call = Call().greeted()
    call.asked()
    message = TakenMessage("c1", "Anna", "John", "5550123", "Call me", 5.0)
    call.tell(p.ResponseStarted("r1"), tool_call("take_message"))
    call.tell(m.ToolFinished("t1", "{}", tools.Message(message)), p.ResponseDone("r1", "completed"))
    assert call.talk.record().messages == (message,)


def test_silence_is_prompted_once_and_then_ended_politely():
    call = Call().greeted()
    assert asked_for(call.wait()) == [say_exactly(PHRASES.still_there)]
    assert call.now_s == pytest.approx(108)
    call.spoken("r1", "i1")
    out = call.wait()
    assert asked_for(out) == [say_exactly(PHRASES.silent_goodbye)]
    assert str(call.state) == "ending"
    out = call.spoken("r2", "i2")
    assert only(out, m.FinishCall) == [m.FinishCall("caller_silent", True, 1000)]


def test_whoever_speaks_after_the_prompt_is_prompted_anew_later():
    call = Call().greeted()
    call.wait()
    call.spoken("r1", "i1")
    call.asked()
    call.spoken("r2", "i2")
    assert asked_for(call.wait()) == [say_exactly(PHRASES.still_there)]


def test_the_longest_call_ends_politely_even_in_the_middle_of_an_answer():
    call = Call(replace(PROFILE, limits=replace(PROFILE.limits, max_call_s=5.0))).greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"))
    out = call.wait_for(5)
    assert [type(command) for command in out][:2] == [m.ToProvider, m.StopPlayout]
    assert m.ToProvider(p.CancelResponse("r1")) in out
    assert asked_for(out) == [say_exactly(PHRASES.time_is_up)]
    call.tell(p.ResponseDone("r1", "cancelled"))
    assert str(call.state) == "ending"
    assert only(call.spoken("r2", "i2"), m.FinishCall)[0].reason == "max_duration"


def test_last_words_that_never_come_do_not_hold_the_call():
    call = Call().greeted()
    call.tell(m.EndRequested("budget"))
    began_s = call.now_s
    assert call.tell(m.EndRequested("budget")) == []
    out = call.wait()
    assert only(out, m.FinishCall)[0].reason == "budget"
    assert call.now_s - began_s == pytest.approx(LAST_WORDS_S)


def test_last_words_that_fail_end_the_call():
    call = Call().greeted()
    call.tell(m.EndRequested("budget"))
    out = call.tell(p.ResponseStarted("r1"), p.ResponseDone("r1", "failed"))
    assert only(out, m.FinishCall)[0].reason == "budget"


def test_an_end_that_need_not_be_polite_is_at_once():
    call = Call().greeted()
    assert call.tell(m.EndRequested("shutdown", polite=False)) == [
        m.FinishCall("shutdown", True, 1000)
    ]
    assert call.tell(m.CallerGone("caller_hangup"), p.ResponseStarted("r")) == []


def test_an_end_before_the_provider_is_there_is_at_once():
    assert Call().tell(m.EndRequested("budget"))[-1].reason == "budget"


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (m.CallerGone("caller_hangup"), "caller_hangup"),
        (m.CallerGone("caller_vanished"), "caller_vanished"),
        (m.LegRefused("audio.payload", "too long"), "invalid_request"),
    ],
)
def test_a_caller_who_is_gone_ends_the_call_at_once(event, reason):
    call = Call().greeted()
    assert call.tell(event) == [m.FinishCall(reason, False, 0)]
    assert call.talk.state is State.ENDED
    assert call.talk.record().state == "ending"  # its record is not complete yet


def test_what_the_provider_made_until_the_end_is_billed_once_after_it():
    call = Call().greeted()
    call.tell(m.CallerGone("caller_hangup"))
    used, heard = p.Usage(output_audio=3), p.TranscriptionUsage(seconds=1.5)
    done = m.FromProvider(p.ResponseDone("r9", "cancelled", usage=used))
    words = m.FromProvider(p.CallerTranscript("i9", "yes", True, usage=heard))
    assert only(call.tell(done), m.ReportUsage) == [m.ReportUsage("r9", used, "m")]
    assert call.tell(words) == [m.ReportTranscription("i9", 1.5, 0, 0)]
    assert call.tell(done, words, m.FromProvider(p.ResponseDone("r10", "failed"))) == []
    assert call.state is State.ENDED


def test_hold_is_silent_both_ways_and_ends_where_it_began():
    call = Call().greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"))
    out = call.tell(m.CallerHold(True))
    assert kinds(out) == [m.ToProvider, m.StopPlayout, m.Listen]
    assert str(call.state) == "on_hold"
    assert call.tell(m.CallerHold(True)) == []
    assert call.wait_for(60) == []
    out = call.tell(m.CallerHold(False))
    assert out == [m.Listen(True)]
    assert str(call.state) == "listening"
    assert call.tell(m.CallerHold(False)) == []


def test_a_key_of_the_profile_transfers():
    call = Call().greeted()
    out = call.tell(m.CallerPressed("1"))
    assert asked_for(out) == [say_exactly("Putting you through to Sales.")]
    assert only(call.spoken("r1", "i1"), m.TellTransfer)[0].destination == "+4930100"


def test_other_keys_are_told_to_the_model_after_a_pause_or_a_hash():
    call = Call().greeted()
    assert call.tell(m.CallerPressed("4")) == []
    assert call.tell(m.CallerPressed("5"), after=1.0) == []
    out = call.wait()
    told = only(out, m.ToProvider)[0].command
    assert told == p.AddText("user", "The caller pressed the keys 4 5.")
    call.spoken("r1", "i1")
    out = call.tell(m.CallerPressed("7#"))
    assert "7 #" in only(out, m.ToProvider)[0].command.text


def test_keys_stop_the_answer_under_way_and_are_nothing_while_transferring():
    call = Call().greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"))
    out = call.tell(m.CallerPressed("9#"))
    assert m.StopPlayout() in out
    call.spoken("r2", "i2")
    announced_transfer(call)
    assert call.tell(m.CallerPressed("1")) == []


def test_keys_pressed_before_a_hold_are_forgotten_with_it():
    call = Call().greeted()
    call.tell(m.CallerPressed("4"), m.CallerHold(True))
    assert call.wait_for(60) == []
    call.tell(m.CallerHold(False))
    assert (
        "keys 5."
        in only(call.tell(m.CallerPressed("5")) or call.wait(), m.ToProvider)[0].command.text
    )


def test_a_lost_provider_is_dialled_again_and_told_what_was_said():
    call = Call().greeted()
    call.asked("Hello?")
    call.spoken("r1", "i1", "Hello. How can I help?")
    out = call.tell(m.ProviderDown(1011, "broken"))
    [redial] = only(out, m.Redial)
    assert 0.1 <= redial.delay_s <= 0.3
    assert redial.opening[1:] == (
        p.AddText("assistant", PHRASES.greeting),
        p.AddText("user", "Hello?"),
        p.AddText("assistant", "Hello. How can I help?"),
    )
    assert str(call.state) == "connecting"
    assert asked_for(call.tell(m.ProviderUp())) == []
    assert str(call.state) == "listening"


def test_an_answer_that_was_owed_is_asked_for_again():
    call = Call().greeted()
    call.asked()
    call.tell(m.ProviderDown(1006, ""))
    assert asked_for(call.tell(m.ProviderUp())) == [""]
    assert str(call.state) == "thinking"


def test_an_answer_that_was_lost_with_its_worker_keeps_what_was_heard_and_is_made_anew():
    call = Call().greeted()
    call.asked("Hello?")
    words = "We are open from nine to five every day of the week but Sunday."
    call.tell(
        p.ResponseStarted("r1"),
        p.AssistantTranscript("r1", "i1", words, final=True),
        m.PlayoutStarted("i1"),
        p.ResponseDone("r1", "completed"),
    )
    out = call.tell(m.MediaLost(), after=2.0)
    [redial] = only(out, m.Redial)
    assert redial.opening[-1] == p.AddText("assistant", "We are open from nine to five …")
    assert str(call.state) == "connecting"
    assert asked_for(call.tell(m.ProviderUp())) == [""]
    assert call.talk.record().interruptions == 0


def test_words_that_the_socket_took_along_are_told_the_next_one_again():
    call = Call().greeted()
    call.tell(p.SpeechStarted("u1", 0), m.ProviderDown(1006, ""))
    assert asked_for(call.tell(m.ProviderUp())) == []
    assert str(call.state) == "listening"
    assert commands(call.asked("I want a table.", "u2")) == []
    assert asked_for(call.wait_for(1.9 + AGAIN_S)) == []
    assert [said.text for said in call.talk.record().transcript][1:] == ["I want a table."]


@pytest.mark.parametrize("answering", [(), (p.ResponseStarted("r1"),)])
def test_an_answer_waits_until_its_question_is_heard_again(answering):
    call = Call().greeted()
    call.tell(p.SpeechStarted("u1", 0), p.SpeechStopped("u1", 900), *answering)
    call.tell(m.ProviderDown(1006, ""))
    assert asked_for(call.tell(m.ProviderUp())) == []
    call.tell(p.SpeechStarted("u2", 0))
    call.asked("I want a table.", "u3")
    assert str(call.state) == "thinking"


def test_words_that_are_not_heard_again_are_asked_for():
    call = Call().greeted()
    call.tell(p.SpeechStarted("u1", 0), m.ProviderDown(1006, ""))
    call.tell(m.ProviderDown(1006, ""))  # once more
    call.tell(m.ProviderUp())
    [told, asked] = commands(call.wait_for(AGAIN_S))
    assert "Apologise" in told.text
    assert isinstance(asked, p.Respond)
    assert str(call.state) == "thinking"


def test_what_is_heard_of_words_that_are_lost_is_answered_with_an_apology():
    call = Call().greeted()
    call.tell(p.SpeechStarted("u1", 0), m.MediaLost())
    assert commands(call.tell(m.ProviderUp())) == []
    [told] = commands(call.tell(p.SpeechStarted("u2", 0)))
    assert "Apologise" in told.text
    assert commands(call.tell(p.SpeechStarted("u2", 0))) == []


def test_a_caller_on_hold_is_not_asked_for_words_that_were_missed():
    call = Call().greeted()
    call.tell(p.SpeechStarted("u1", 0), m.ProviderDown(1006, ""), m.ProviderUp())
    call.tell(m.CallerHold(on=True))
    assert asked_for(call.wait_for(AGAIN_S)) == []
    assert str(call.state) == "on_hold"


def test_a_worker_lost_while_nobody_speaks_is_not_noticed():
    call = Call().greeted()
    assert only(call.tell(m.MediaLost()), m.Redial)
    assert asked_for(call.tell(m.ProviderUp())) == []
    assert str(call.state) == "listening"


def test_a_worker_lost_during_the_last_words_ends_the_call():
    call = Call().greeted()
    call.tell(m.EndRequested("budget"))
    call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"))
    assert call.tell(m.MediaLost())[-1].reason == "budget"


def test_a_tool_that_ran_while_the_provider_was_away_is_told_to_the_next_one():
    call = Call().greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), tool_call(), p.ResponseDone("r1", "completed"))
    call.tell(m.ProviderDown(1006, ""))
    assert only(call.tell(m.ToolFinished("t1", "out")), m.ToProvider) == []
    out = call.tell(m.ProviderUp())
    assert [command.command for command in only(out, m.ToProvider)] == [
        p.AddToolCall("t1", "get_opening_hours", "{}"),
        p.ToolResult("t1", "out"),
        p.Respond(),
    ]


def test_a_provider_that_stays_away_ends_the_call():
    call = Call(ALONE).greeted()
    for _ in range(DIAL_TRIES - 1):
        assert only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    out = call.tell(m.ProviderDown(1006, ""))
    assert only(out, m.FinishCall)[0].reason == "provider_unavailable"


def test_a_provider_that_answered_since_may_be_lost_again():
    call = Call().greeted()
    for number in range(DIAL_TRIES + 1):
        [redial] = only(call.tell(m.ProviderDown(1006, "")), m.Redial)
        assert redial.delay_s <= 0.3  # the first wait of all
        call.tell(m.ProviderUp())
        call.asked(item=f"u{number}")
        call.spoken(f"r{number + 1}", f"i{number + 1}")


def test_a_provider_that_never_answers_ends_the_call():
    call = Call(ALONE)
    assert only(call.wait(), m.FinishCall)[0].reason == "provider_unavailable"


def test_refused_keys_and_final_errors_are_not_tried_again():
    call = Call(ALONE)
    assert call.tell(m.ProviderDown(401, "no"))[-1].reason == "provider_unavailable"
    call = Call(ALONE).greeted()
    call.tell(p.ProviderFault("insufficient_quota", "", fatal=True, healable=False))
    assert call.tell(m.ProviderDown(1000, ""))[-1].reason == "provider_unavailable"
    call = Call().greeted()
    call.tell(p.ProviderFault("response_cancel_not_active", ""))
    assert only(call.tell(m.ProviderDown(1006, "")), m.Redial)


def test_a_provider_lost_during_the_last_words_ends_the_call():
    call = Call().greeted()
    call.tell(m.EndRequested("budget"))
    assert call.tell(m.ProviderDown(1006, ""))[-1].reason == "budget"


def test_a_session_that_is_nearly_over_is_renewed_in_a_pause():
    call = Call(replace(PROFILE, limits=UNLIMITED))
    call.tell(m.ProviderUp())
    call.now_s += RENEW_S - RENEW_LOOK_S  # while the greeting goes on
    assert call.wait_for(RENEW_LOOK_S) == []
    call.spoken()
    call.asked("Who is there?")
    call.spoken("r2", "i2", "It is me.")
    [renew] = only(call.wait_for(RENEW_LOOK_S), m.Renew)
    assert renew.opening[0] == configuration(call.talk._given.profile, "pcmu", "")
    assert p.AddText("user", "Who is there?") in renew.opening
    assert str(call.state) == "listening"
    assert call.wait_for(RENEW_AGAIN_S - 0.1) == []
    assert kinds(call.wait_for(0.2)) == [m.Renew]  # it was not taken up
    assert call.tell(m.ProviderUp()) == []
    assert call.wait_for(RENEW_S - 1.0) == []


def test_a_session_is_renewed_while_the_caller_is_on_hold_and_not_when_it_is_gone():
    call = Call(replace(PROFILE, limits=UNLIMITED)).greeted()
    call.tell(m.CallerHold(on=True))
    assert kinds(call.wait_for(RENEW_S)) == [m.Renew]
    call.tell(m.CallerHold(on=False), m.ProviderDown(1001, "60 minutes are over"))
    assert m.Renew not in kinds(call.wait_for(RENEW_AGAIN_S))


def test_a_provider_lost_while_transferring_changes_nothing_for_the_transfer():
    call = Call().greeted()
    announced_transfer(call)
    assert only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    assert str(call.state) == "transferring"
    call.tell(m.ProviderUp())
    assert call.tell(m.TransferResult(True))[-1].reason == "transferred"


def test_a_failed_answer_is_tried_once_more_and_then_apologised_for():
    call = Call().greeted()
    call.asked()
    out = call.tell(p.ResponseStarted("r1"), p.ResponseDone("r1", "failed"))
    assert asked_for(out) == [""]
    out = call.tell(p.ResponseStarted("r2"), p.ResponseDone("r2", "failed"))
    assert asked_for(out) == [say_exactly(PHRASES.trouble)]
    assert only(call.spoken("r3", "i3"), m.FinishCall)[0].reason == "provider_unavailable"


def test_an_answer_that_never_begins_is_asked_for_again():
    call = Call().greeted()
    call.asked()
    assert asked_for(call.wait()) == [""]


def test_an_answer_that_is_never_made_is_cancelled_but_one_that_plays_is_not():
    call = Call().greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"))
    out = call.wait()
    assert m.ToProvider(p.CancelResponse("r1")) in out
    assert asked_for(out) == [""]
    call.tell(p.ResponseStarted("r2"), m.PlayoutStarted("i2"))
    assert call.wait() == []


def test_an_answer_without_a_sound_is_followed_by_listening():
    call = Call().greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), p.ResponseDone("r1", "completed"))
    assert str(call.state) == "listening"


def test_a_prompt_of_the_providers_own_is_played():
    call = Call().greeted()
    call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"))
    assert str(call.state) == "speaking"


def test_what_needs_nothing_does_nothing():
    call = Call().greeted()
    nothing = (
        p.Other("x"), p.SessionReady("s"), p.SessionConfigured(), p.RateLimits(()),
        p.AudioDone("r", "i"), p.CallerTranscriptFailed("u", "c", "m"),
        p.SpeechStopped("u", 5), p.ResponseDone("r?", "completed"), m.TransferResult(True),
        m.PlayoutDrained(), m.GatewayMeasured(5), m.ProviderUp(),
    )  # fmt: skip
    assert call.tell(*nothing) == []


# ------------------------------------------------------------------ the table


@pytest.mark.parametrize("start", list(State))
@pytest.mark.parametrize("finish", list(State))
def test_every_pair_of_states_is_allowed_by_the_table_or_refused_with_the_story(start, finish):
    if finish is start or finish in TRANSITIONS[start]:
        check(start, finish, [])
    else:
        with pytest.raises(IllegalTransition, match=f"{start} cannot become {finish}.*a, b"):
            check(start, finish, ["a", "b"])


def test_what_others_see_of_a_state():
    assert [public_state(s) for s in (State.CONNECTING, State.THINKING, State.ENDED)] == [
        "connecting", "active", "ending",
    ]  # fmt: skip


# ------------------------------------------------------------------ whatever happens

ids = st.sampled_from(["a", "b", "c"])
effects = st.sampled_from([None, TRANSFER, tools.EndCall("x"), tools.FullModel()])
codes = st.sampled_from(["x", BUSY])
due = st.lists(st.sampled_from(list(Step)[1:-1]), unique=True, max_size=3)
events = st.one_of(
    st.builds(m.MoneyRunsOut, due.map(lambda steps: tuple(sorted(steps, key=list(Step).index)))),
    st.just(m.ProviderUp()),
    st.builds(m.ProviderDown, st.sampled_from([401, 1006, 1011]), st.just("")),
    st.just(m.MediaLost()),
    st.builds(m.CallerPressed, st.sampled_from(["1", "2", "#", "22"])),
    st.builds(m.CallerHold, st.booleans()),
    st.builds(m.TransferResult, st.booleans()),
    st.builds(m.CallerGone, st.just("caller_hangup")),
    st.builds(m.PlayoutStarted, ids),
    st.just(m.PlayoutDrained()),
    st.builds(m.PlayoutInterrupted, ids, st.integers(0, 5000), st.none() | st.text(max_size=5)),
    st.builds(m.Unspoken, ids | st.sampled_from(["phrase_1", "phrase_2"])),
    st.builds(m.GatewayMeasured, st.integers(0, 9999)),
    st.builds(m.AnswerAudio, ids, st.integers(0, 5000), st.booleans()),
    st.builds(m.ToolFinished, ids, st.just("{}"), effects),
    st.builds(m.EndRequested, st.just("budget"), st.booleans()),
    st.builds(m.FromProvider, st.one_of(
        st.builds(p.SpeechStarted, ids, st.just(0)),
        st.builds(p.SpeechStopped, ids, st.just(0)),
        st.builds(p.CallerTranscript, ids, st.text(max_size=5), st.booleans()),
        st.builds(p.ResponseStarted, ids),
        st.builds(p.AssistantTranscript, ids, ids, st.text(max_size=5), st.booleans()),
        st.builds(p.ResponseDone, ids, st.sampled_from(["completed", "failed", "cancelled"]),
                  usage=st.none() | st.builds(p.Usage, output_audio=st.integers(0, 100))),
        st.builds(p.ToolCall, ids, ids, ids, st.just("end_call"), st.just("{}")),
        st.builds(p.ProviderFault, codes, st.just(""), st.booleans(), st.booleans()),
    )),
)  # fmt: skip
steps = st.lists(st.tuples(events, st.floats(0, 20)), max_size=40)


def of_a_turn(item):
    told = p.SpeechStarted(item, 0), p.SpeechStopped(item, 900), p.CallerTranscript(item, "x", True)
    return [m.FromProvider(each) for each in told]


def of_a_function(call_id):
    return [m.FromProvider(tool_call(call_id=call_id)), m.ToolFinished(call_id, "{}")]


scenes = st.one_of(
    events.map(lambda event: [event]), st.just([m.ProviderUp()]),
    ids.map(of_a_turn), ids.map(of_a_function),
)  # fmt: skip
pauses = st.just(0.0) | st.floats(0, 20)
plays = st.lists(st.tuples(scenes, pauses), max_size=30).map(
    lambda play: [(event, seconds) for scene, seconds in play for event in scene]
)


@settings(max_examples=200)
@given(steps)
def test_whatever_happens_the_call_ends_exactly_once_and_no_tool_runs_twice(story):
    ends_once(Call(CHEAP, full="full"), story)


def ends_once(call, story):
    out = []
    for event, seconds in story:
        out += call.wait_for(seconds)
        out += call.tell(event)
        ended = call.state is State.ENDED
        assert (call.talk.next_deadline_s() is None) == ended
        call.talk.record()
    for _ in range(200):  # then nothing happens any more but time
        if call.talk.next_deadline_s() is None:
            break
        out += call.wait()
    assert str(call.state) == "ended"
    bills = (m.ReportUsage, m.ReportTranscription, m.UsageDiffers)
    out_but_bills = [command for command in out if not isinstance(command, bills)]
    [finish] = only(out, m.FinishCall)
    assert out_but_bills[-1] == finish
    billed = [command.key for command in only(out, m.ReportUsage | m.ReportTranscription)]
    assert len(billed) == len(set(billed))
    ran = [command.call_id for command in only(out, m.RunTool)]
    assert len(ran) == len(set(ran))
    steps = [command.step for command in only(out, m.TellBudget)]
    assert steps == sorted(set(steps), key=list(Step).index)
    assert tuple(map(str, steps)) == call.talk.record().budget_steps


class Elsewhere:
    """What commands began elsewhere, and no event answered."""

    WORK = m.RunTool | m.ReportUsage | m.ReportTranscription | m.Redial

    def __init__(self):
        self.doing = []

    def began(self, out):
        for command in out:
            if isinstance(command, m.Redial | m.FinishCall):  # of one dial none comes any more
                self._forget(m.Redial)
            if isinstance(command, self.WORK):
                self.doing.append(command)

    def answered(self, event):
        match event:
            case m.ProviderUp():
                self._forget(m.Redial)
            case m.ToolFinished(call_id):
                self._forget(m.RunTool, lambda run: run.call_id == call_id)

    def dials(self, call):
        """Until the provider is given up."""
        if call.talk._call.connection.given_up:
            self._forget(m.Redial)

    def bill(self, data):
        """One of the bills, whichever comes to be taken first; None where there is none."""
        bills = only(self.doing, m.ReportUsage | m.ReportTranscription)
        if not bills or data.draw(st.booleans()):
            return None
        bill = data.draw(st.sampled_from(bills))
        self.doing.remove(bill)
        return m.Billed(bill.key)

    def _forget(self, kind, which=lambda _: True):
        self.doing = [each for each in self.doing if not (isinstance(each, kind) and which(each))]


@settings(max_examples=200)
@given(plays, st.data())
def test_another_conversation_that_resumes_says_the_same_to_whatever_happens(story, data):
    """And begins again what was begun elsewhere, all that was not answered."""
    one, other = (Call(CHEAP, rng=NoJitter(), full="full") for _ in range(2))
    elsewhere = Elsewhere()
    for event, seconds in story:
        if data.draw(st.booleans()):
            checkpoint = pickle.dumps(other.talk.checkpoint())
            other.talk = conversation(CHEAP, NoJitter(), "full")
            again = other.talk.resume(pickle.loads(checkpoint))
            assert sorted(again, key=repr) == sorted(elsewhere.doing, key=repr)
            assert all(one.talk.awaits(each) for each in again)
        elsewhere.began(waited := one.wait_for(seconds))
        elsewhere.dials(one)
        assert other.wait_for(seconds) == waited
        if (billed := elsewhere.bill(data)) is not None:
            assert one.tell(billed) == other.tell(billed) == []
        elsewhere.answered(event)
        elsewhere.began(told := one.tell(event))
        elsewhere.dials(one)
        assert other.tell(event) == told
        assert other.talk.record() == one.talk.record()
        assert (other.state, other.talk.finish) == (one.state, one.talk.finish)


def test_a_dial_is_awaited_until_the_provider_is_up_or_another_takes_its_place():
    call = Call().greeted()
    [first] = only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    assert call.talk.awaits(first)
    [second] = only(call.tell(m.MediaLost()), m.Redial)
    assert [call.talk.awaits(each) for each in (first, second)] == [False, True]
    call.tell(m.ProviderUp())
    assert not call.talk.awaits(second)
    [third] = only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    call.tell(m.CallerGone("caller_hangup"))
    assert not call.talk.awaits(third)


def test_a_function_that_nobody_waits_for_is_begun_again_all_the_same():
    """It may be a message that is still to be kept."""
    call = Call().greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"))
    [run] = only(call.tell(tool_call("take_message")), m.RunTool)
    call.tell(p.ResponseDone("r1", "completed"))
    assert only(call.wait_for(PROFILE.limits.tool_s), m.ToProvider)  # that it took too long
    call.tell(m.CallerGone("caller_hangup"))
    next_one = conversation(PROFILE)
    assert run in next_one.resume(call.talk.checkpoint())
    assert call.tell(m.ToolFinished("t1", "{}")) == []
    assert run not in next_one.resume(call.talk.checkpoint())


def test_a_turn_is_measured_by_the_clock_of_who_goes_on():
    call = Call().greeted()
    call.asked()
    state = pickle.loads(pickle.dumps(call.talk.checkpoint()))
    call.talk = conversation(PROFILE)
    call.talk.resume(state, later_s=1_000.0)
    out = call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"), after=1_000.25)
    assert [each.latency_ms for each in only(out, m.TellTurn)] == [0, 250]


def test_a_checkpoint_is_small_and_has_nothing_that_everybody_is_given():
    call = Call()
    call.greeted()
    checkpoint = call.talk.checkpoint()
    assert len(pickle.dumps(checkpoint)) < 2_000
    assert not {"given", "profile", "spec", "rng"} & set(checkpoint)
