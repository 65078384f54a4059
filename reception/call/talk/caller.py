"""What the caller does: speaks, presses keys, is on hold, goes."""

from __future__ import annotations

from reception.call import messages as m
from reception.call.states import TALKING, State
from reception.call.talk import effects, ending, money, speaking
from reception.call.talk.course import Course
from reception.provider import base as p

DIGIT_PAUSE_S = 1.5


def speech_started(call: Course, event: p.SpeechStarted) -> None:
    money.speaks(call, event)
    if call.state not in TALKING:
        return
    call.transcript.began("caller", event.item_id, call.at_ms)
    call.go(State.CALLER_SPEAKING)
    call.prompted = call.unanswered = False
    call.call_off("silence")
    speaking.heard_again(call)
    if call.profile.asks:
        speaking.hush(call)
    call.tell(call.turns.speech_started(call.now_s))


def speech_stopped(call: Course, event: p.SpeechStopped) -> None:
    money.spoken(call, event)
    if call.state is not State.CALLER_SPEAKING:
        return
    call.go(State.THINKING)
    call.floor.retried = False
    if call.profile.asks:
        speaking.respond(call)
    else:
        speaking.await_answer(call)
    call.tell(call.turns.speech_stopped(call.now_s))


def words(call: Course, event: p.CallerTranscript) -> None:
    call.transcript.add("caller", event.item_id, event.text, event.final, call.at_ms)
    call.tell(m.TellTranscript(m.Who.CALLER, event.text, event.final, event.item_id))
    money.bill_words(call, event)


def pressed(call: Course, event: m.CallerPressed) -> None:
    if call.state not in TALKING:
        return
    call.digits += event.digits
    call.prompted = call.unanswered = False
    call.call_off("silence")
    if call.digits in call.profile.keys or "#" in event.digits:
        act_on_digits(call)
    else:
        call.later("digits", DIGIT_PAUSE_S)


def act_on_digits(call: Course) -> None:
    """The caller has pressed what there was to press."""
    call.call_off("digits")
    digits, call.digits = call.digits, ""
    speaking.hush(call)
    entry = call.profile.entry(call.profile.keys.get(digits, ""))
    call.go(State.THINKING)
    if entry is None:
        told = f"The caller pressed the keys {' '.join(digits)}."
        call.tell_provider(p.AddText("user", told))
        speaking.respond(call)
    else:
        effects.plan_transfer(call, entry, f"pressed {digits}")


def hold(call: Course, event: m.CallerHold) -> None:
    if event.on and call.state in TALKING:
        speaking.hush(call)
        call.floor.owed = call.bills.waits = False
        call.digits = ""
        call.call_off("silence", "answer", "digits")
        call.go(State.ON_HOLD)
        call.tell(m.Listen(False))
    elif not event.on and call.state is State.ON_HOLD:
        call.tell(m.Listen(True))
        speaking.listen(call)


def gone(call: Course, event: m.CallerGone) -> None:
    ending.end(call, event.reason, hangup=False)


def refused(call: Course, _: m.LegRefused) -> None:
    ending.end(call, "invalid_request", hangup=False)
