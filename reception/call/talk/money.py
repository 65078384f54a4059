"""A call's money: its bills, each made once, and what is done as the money runs out."""

from __future__ import annotations

from reception.call import messages as m
from reception.call.states import TALKING, State
from reception.call.talk import effects, ending, room, speaking
from reception.call.talk.course import Course
from reception.call.thrift import BRIEF
from reception.media.speech import speech_ms
from reception.money.policy import Step
from reception.money.savings.billing import caller_tokens
from reception.provider import base as p

BUDGET = "budget"

# ------------------------------------------------------------------ bills


def bill_answer(call: Course, event: p.ResponseDone) -> None:
    """As the provider counts. Where it says nothing of an answer that was made, as we do."""
    usage, count = event.usage, call.bills.count
    if usage is None:
        if count.has(event.response_id):
            _bill_by_own_count(call, event.response_id)
        room.ended(call, event.response_id, None)
        count.forget(event.response_id)
        return
    if not _once(call, event.response_id):
        return
    chars = count.chars(event.response_id)
    known = not call.profile.asks  # of the caller's speech
    for difference in count.answered(event.response_id, usage, caller=known):
        call.tell(m.UsageDiffers(difference))
    call.thrift.note(usage, _spoken_ms(call, usage, chars))
    room.ended(call, event.response_id, usage)
    call.tell(m.ReportUsage(event.response_id, usage, call.thrift.model))


def _spoken_ms(call: Course, usage: p.Usage, chars: int) -> int:
    """About how long it takes to speak an answer, if it came as text."""
    written = call.given.configuration.text and not usage.output_audio
    return round(speech_ms(chars)) if written else 0


def speaks(call: Course, event: p.SpeechStarted) -> None:
    """The caller says something."""
    call.bills.speech = event.item_id, event.audio_start_ms


def spoken(call: Course, event: p.SpeechStopped) -> None:
    """The provider took what the caller said, and writes it down."""
    bills = call.bills
    speech, bills.speech = bills.speech, None
    if speech is not None and speech[0] == event.item_id:
        audio_ms = max(0, event.audio_end_ms - speech[1])
        bills.count.caller(audio_ms)
        bills.unwritten[event.item_id] = audio_ms


def committed(call: Course, event: p.AudioCommitted) -> None:
    """The provider's name for what the worker found to be a turn: it bills by that."""
    if event.bill_id and event.item_id in call.bills.unwritten:
        call.bills.unwritten[event.bill_id] = call.bills.unwritten.pop(event.item_id)


def bill_words(call: Course, event: p.CallerTranscript) -> None:
    usage, bill_id = event.usage, event.bill_id or event.item_id
    if not event.final:
        return
    if usage is None:
        _bill_words_by_own_count(call, bill_id)
    elif _once(call, bill_id):
        tokens_in = usage.input_audio + usage.input_text
        call.tell(m.ReportTranscription(bill_id, usage.seconds, tokens_in, usage.output_text))
    words_failed(call, event)


def words_failed(call: Course, event: p.CallerTranscript | p.CallerTranscriptFailed) -> None:
    """Nothing more will be said of what it cost to write this down."""
    call.bills.unwritten.pop(event.bill_id or event.item_id, None)


def write_off_words(call: Course) -> None:
    """What the provider's session took with it: it wrote that down, and bills it."""
    for item_id in list(call.bills.unwritten):
        _bill_words_by_own_count(call, item_id)


def _bill_words_by_own_count(call: Course, item_id: str) -> None:
    audio_ms = call.bills.unwritten.pop(item_id, None)
    if audio_ms is not None and _once(call, item_id):
        tokens = caller_tokens(audio_ms)
        words = m.ReportTranscription(item_id, audio_ms / 1_000, tokens, 0, estimated=True)
        call.tell(words)


def answer_words(call: Course, event: p.AssistantTranscript) -> None:
    if not event.final:
        call.bills.count.words(event.response_id, event.item_id, len(event.text))


def called(call: Course, event: p.ToolCall) -> None:
    call.bills.count.called(event.response_id, len(event.name) + len(event.arguments))


def cut(call: Course, event: m.PlayoutInterrupted) -> None:
    """The provider is told, and says when it has cut the item. Text it can't cut: it is
    told the words that were heard in place of it."""
    call.bills.count.changed()
    if event.heard:
        call.bills.count.told(p.AddText("assistant", event.heard))


def item_cut(call: Course, event: p.ItemCut) -> None:
    call.bills.count.cut(event.item_id, event.audio_ms)


def answer_audio(call: Course, event: m.AnswerAudio) -> None:
    call.bills.count.audio(event.response_id, event.audio_ms)
    if event.lost:
        _bill_by_own_count(call, event.response_id)


def late_answer(call: Course, event: p.ResponseStarted) -> None:
    call.bills.count.changed()  # what was said since the end is not counted
    call.bills.count.began(event.response_id)


def write_off(call: Course) -> None:
    """What nothing more will be heard of."""
    for response_id in call.bills.count.open():
        _bill_by_own_count(call, response_id)
    write_off_words(call)


def _bill_by_own_count(call: Course, response_id: str) -> None:
    if _once(call, response_id):
        chars = call.bills.count.chars(response_id)
        usage = call.bills.count.estimate(response_id)
        call.thrift.note(usage, _spoken_ms(call, usage, chars))
        room.ended(call, response_id, usage)
        call.tell(m.ReportUsage(response_id, usage, call.thrift.model, estimated=True))


def _once(call: Course, key: str) -> bool:
    new = key not in call.bills.billed
    call.bills.billed.add(key)
    return new


# ------------------------------------------------------------------ as it runs out


def runs_out(call: Course, event: m.MoneyRunsOut) -> None:
    if event.billed or event.means is not None:
        room.told(call, event.means, event.billed)
    if call.state is State.ENDING:
        return
    room.measure(call)
    new = call.thrift.take(event.due)
    if Step.SHORTEN in new and call.connection.up:
        room.tell(call)
        call.tell_provider(BRIEF)
    for step in new:
        call.tell(m.TellBudget(step, call.at_ms))
        if step is Step.CHEAPER:
            call.thrift.go_cheaper(call.profile.cheaper_model)
            if call.thrift.changes_model and call.connection.up:
                call.later("renew", 0.0)
        elif step.ends:
            room.wrap_up(call, taken_over=step is not Step.TRANSFER)
    speaking.billed(call)


def wraps_up(call: Course) -> bool:
    """Whether the end is to begin. An answer that is made, and paid for, is played to
    its end; nothing else is waited for."""
    if not call.wrapping or call.effect is not None or not call.connection.up:
        return False
    playing = call.floor.playing is not None and not speaking.is_busy(call)
    return call.state in TALKING and (not playing or call.state is State.CALLER_SPEAKING)


def wrap_up(call: Course) -> None:
    """Puts the caller through to a person, else says goodbye."""
    entry = None if call.taken_over else call.profile.person()
    if entry is None:
        ending.say_and_end(call, call.profile.phrases.goodbye, BUDGET)
        return
    call.taken_over = True
    speaking.hush(call)
    call.tools.clear()
    call.call_off("silence", "tools")
    call.go(State.THINKING)
    effects.plan_transfer(call, entry, "the call's budget is used up")
