"""What a conversation has billed, also when the provider says nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reception.call import messages as m
from reception.call.prompt import head_tokens
from reception.money.own_count import Difference
from reception.money.savings.billing import ITEM_TOKENS
from reception.provider import base as p
from tests.unit.call.example import PROFILE
from tests.unit.call.test_conversation import LOCAL, Call, commands, only, tool_call

USAGE = p.Usage(input_text=100, input_audio=9, output_audio=20)


def asked(profile: Any = PROFILE) -> Call:
    call = Call(profile)
    call.greeted()
    call.asked()
    return call


def spoken() -> Call:
    """The caller says something that is not written down yet."""
    call = asked()
    call.tell(p.SpeechStarted("u2", 2_000), p.SpeechStopped("u2", 2_500))
    return call


def bills(out: list[Any]) -> Any:
    return only(out, m.ReportUsage)


def test_an_answer_that_ends_after_the_call_is_billed() -> None:
    call = asked()
    call.tell(p.ResponseStarted("r1"))
    assert isinstance(call.tell(m.CallerGone("caller_hangup"))[-1], m.FinishCall)
    done = p.ResponseDone("r1", "cancelled", usage=USAGE)
    assert call.tell(m.AnswerAudio("r1", 1_000), done, done) == [m.ReportUsage("r1", USAGE, "m")]
    words = p.CallerTranscript("u2", "Hi", final=True, usage=p.TranscriptionUsage(1.0))
    assert call.tell(words, words) == [m.ReportTranscription("u2", 1.0, 0, 0)]
    assert call.tell(p.ResponseStarted("r2"), m.PlayoutDrained()) == []
    [bill] = call.talk.write_off()  # nobody will say what that one was
    assert isinstance(bill, m.ReportUsage)
    assert (bill.response_id, bill.estimated) == ("r2", True)
    assert call.talk.write_off() == []


def test_an_answer_that_was_lost_with_its_socket_is_billed_by_our_own_count() -> None:
    call = asked()
    call.tell(p.ResponseStarted("r1"), p.AssistantTranscript("r1", "i1", "Good day", final=False))
    [bill] = bills(call.tell(m.AnswerAudio("r1", 1_020, lost=True), m.ProviderDown(1006, "")))
    assert (bill.response_id, bill.estimated) == ("r1", True)
    assert (bill.usage.output_audio, bill.usage.output_text) == (21, 2)
    assert bill.usage.input_audio == 9  # 900 ms of the caller
    assert bill.usage.input_text > 100  # instructions and tools
    assert bills(call.tell(m.AnswerAudio("r1", 1_020, lost=True))) == []  # told again
    assert bills(call.tell(p.ResponseDone("r1", "cancelled", usage=USAGE))) == []
    assert call.talk.usage_counts() == {"usage_differs": 0, "usage_estimated": 1}


def test_an_answer_that_was_lost_with_its_worker_costs_what_was_heard() -> None:
    call = asked()
    call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"))
    [bill] = bills(call.tell(m.MediaLost(), after=2.0))
    assert (bill.usage.output_audio, bill.estimated) == (40, True)
    call = asked()
    call.tell(p.ResponseStarted("r1"))
    [bill] = bills(call.tell(m.MediaLost(), after=2.0))
    assert bill.usage.output_audio == 0


def test_an_end_without_usage_is_billed_if_something_was_made() -> None:
    call = asked()
    call.tell(p.ResponseStarted("r1"))
    assert bills(call.tell(p.ResponseDone("r1", "failed"))) == []
    call.tell(p.ResponseStarted("r2"), m.AnswerAudio("r2", 500))
    [bill] = bills(call.tell(p.ResponseDone("r2", "cancelled")))
    assert (bill.usage.output_audio, bill.estimated) == (10, True)


def lost(call: Call, response: str = "r9") -> p.Usage:
    """Of an answer that begins now and is lost with its socket."""
    call.tell(p.ResponseStarted(response))
    [bill] = bills(call.tell(m.AnswerAudio(response, 1_000, lost=True)))
    usage: p.Usage = bill.usage
    return usage


def test_the_input_of_a_lost_answer_has_what_was_told_and_called_since() -> None:
    """A function's result has many tokens that no bill has shown yet."""
    call = asked()
    call.tell(p.ResponseStarted("r1"), tool_call(), p.ResponseDone("r1", "completed", usage=USAGE))
    told = commands(call.tell(m.ToolFinished("t1", "x" * 600)))
    assert isinstance(told[0], p.ToolResult)
    assert lost(call).input_text == 100 + 150 + 2 * ITEM_TOKENS
    call = asked()
    call.tell(p.ResponseStarted("r1"), tool_call(arguments="x" * 80))
    [bill] = bills(call.tell(p.ResponseDone("r1", "cancelled")))
    assert bill.usage.output_text == 25  # with its name, 97 characters


def test_the_input_of_a_lost_answer_has_of_a_cut_one_what_the_provider_kept() -> None:
    """Not before it says so: the answer may have begun before it heard of the cut."""
    for said, kept in (((), 20), ((p.ItemCut("i1", 300),), 6), ((p.ItemCut("i1", 0),), 0)):
        call = asked()
        words = p.AssistantTranscript("r1", "i1", "Good day", final=False)
        call.tell(p.ResponseStarted("r1"), words, m.PlayoutStarted("i1"))
        call.tell(m.PlayoutInterrupted("i1", 300), *said)
        call.tell(p.ResponseDone("r1", "cancelled", usage=USAGE))
        assert lost(call).input_audio == 9 + kept


def test_words_that_were_heard_of_an_answer_in_text_are_in_the_next_ones_input() -> None:
    call = asked()
    words = p.AssistantTranscript("r1", "i1", "x" * 400, final=False)
    usage = p.Usage(input_text=100, output_text=100)
    call.tell(p.ResponseStarted("r1"), words, p.ResponseDone("r1", "completed", usage=usage))
    call.tell(m.PlayoutInterrupted("i1", 900, "x" * 39 + "…"), p.ItemCut("i1", 0))
    assert lost(call).input_text == 100 + 10 + 2 * ITEM_TOKENS


def test_another_sessions_first_answer_reads_words_and_no_audio() -> None:
    call = asked()
    call.asked("x" * 400, "u2")
    [redial] = only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    replay = [each for each in redial.opening if isinstance(each, p.AddText)]
    call.tell(m.ProviderUp())
    usage = lost(call)
    assert usage.input_audio == usage.cached_text == 0
    said = sum(-(-len(each.text) // 4) + ITEM_TOKENS for each in replay)
    assert usage.input_text == head_tokens(redial.opening[0]) + said


def test_what_is_said_after_the_call_is_counted() -> None:
    call = asked()
    call.tell(p.ResponseStarted("r1"), m.CallerGone("caller_hangup"))
    call.tell(p.AssistantTranscript("r1", "i1", "Good day", final=False))
    call.tell(tool_call(arguments="x" * 4), p.ItemCut("i1", 0))
    call.tell(p.SpeechStarted("u2", 2_000), p.SpeechStopped("u2", 2_500))
    call.tell(p.ResponseStarted("r2"))
    out = call.talk.write_off()
    first, second = bills(out)
    assert (first.usage.output_text, second.usage.input_audio) == (2 + 6, 9 + 5)
    assert out[-1] == m.ReportTranscription("u2", 0.5, 5, 0, estimated=True)


def test_words_that_the_session_took_with_it_are_billed_by_our_own_count() -> None:
    call = spoken()
    lost = m.ReportTranscription("u2", 0.5, 5, 0, estimated=True)
    assert only(call.tell(m.ProviderDown(1006, "")), m.ReportTranscription) == [lost]
    words = p.CallerTranscript("u2", "Hi", final=True, usage=p.TranscriptionUsage(0.5))
    call.tell(m.ProviderUp())
    assert only(call.tell(words), m.ReportTranscription) == []
    call = spoken()
    assert only(call.tell(m.ProviderUp()), m.ReportTranscription) == [lost]  # renewed
    call = spoken()
    call.tell(m.CallerGone("caller_hangup"))
    assert call.talk.write_off() == [lost]


def test_words_without_usage_are_billed_by_our_own_count_and_failed_ones_not_at_all() -> None:
    call = spoken()
    call.tell(p.CallerTranscript("u2", "H", final=False))
    [bill] = only(call.tell(p.CallerTranscript("u2", "Hi", final=True)), m.ReportTranscription)
    assert (bill.seconds, bill.estimated) == (0.5, True)
    assert only(call.tell(p.CallerTranscript("u3", "", final=True)), m.ReportTranscription) == []
    call = spoken()
    call.tell(p.CallerTranscriptFailed("u2", "server_error", "no"))
    assert only(call.tell(m.ProviderDown(1006, "")), m.ReportTranscription) == []


def test_words_that_end_after_the_call_are_billed() -> None:
    call = asked()
    call.tell(p.SpeechStarted("u2", 2_000), m.CallerGone("caller_hangup"))
    assert call.tell(p.SpeechStopped("u2", 2_500)) == []
    assert call.talk.write_off() == [m.ReportTranscription("u2", 0.5, 5, 0, estimated=True)]


def test_a_count_that_is_not_ours_is_told() -> None:
    call = asked()
    call.tell(p.ResponseStarted("r1"), m.AnswerAudio("r1", 2_000))
    out = call.tell(p.ResponseDone("r1", "completed", usage=USAGE))
    assert only(out, m.UsageDiffers) == [m.UsageDiffers(Difference("r1", "output_audio", 40, 20))]
    assert bills(out) == [m.ReportUsage("r1", USAGE, "m")]
    assert call.talk.usage_counts() == {"usage_differs": 1, "usage_estimated": 0}


def test_the_callers_speech_is_compared_only_where_all_of_it_is_known() -> None:
    for profile, told in ((PROFILE, 1), (replace(PROFILE, hearing=LOCAL), 0)):
        call = asked(profile)
        call.tell(p.ResponseStarted("r1"), p.ResponseDone("r1", "completed", usage=USAGE))
        call.asked("And?", "u2")  # 900 ms
        more = replace(USAGE, input_audio=9 + 20 + 50)
        out = call.tell(p.ResponseStarted("r2"), p.ResponseDone("r2", "completed", usage=more))
        assert [each.difference.what for each in only(out, m.UsageDiffers)] == (
            ["input_audio"] * told
        )


def test_after_a_cut_or_another_session_the_input_is_not_compared() -> None:
    for change in ((m.PlayoutInterrupted("i1", 50),), (m.ProviderDown(1006, ""), m.ProviderUp())):
        call = asked()
        call.tell(p.ResponseStarted("r1"), p.ResponseDone("r1", "completed", usage=USAGE))
        call.tell(*change)
        more = replace(USAGE, input_audio=900)
        done = p.ResponseDone("r2", "completed", usage=more)
        assert only(call.tell(p.ResponseStarted("r2"), done), m.UsageDiffers) == []
