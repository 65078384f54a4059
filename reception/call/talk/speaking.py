"""Who speaks: the receptionist says something or falls silent, or nobody does."""

from __future__ import annotations

from reception.call import messages as m
from reception.call.phrases import PREFIX
from reception.call.prompt import say_exactly
from reception.call.states import State
from reception.call.talk import room
from reception.call.talk.course import Course, Playing
from reception.call.thrift import words_tokens
from reception.provider import base as p

_ANSWER = p.AddText("system", "Now answer what the caller asked last.")
_LOST = p.AddText(
    "system",
    "The line was bad for a moment, and some of what the caller just said was lost. "
    "Apologise in a few words, and ask for what you need to hear again.",
)


def respond(call: Course, exactly: str = "") -> None:
    """Asks the provider for an answer, or plays the recording of these words. Without a
    provider nothing else can be said."""
    recorded = call.thrift.text == call.given.configuration.text and exactly in call.given.recorded
    if recorded and not (call.floor.stopping or call.floor.owed):
        _play(call, exactly)
        return
    if call.connection.given_up:
        return
    if not exactly and room.runs_dry(call):
        put_off(call)
        return
    await_answer(call)
    if exactly:
        call.bills.asked = words_tokens(exactly)
        call.tell_provider(say_exactly(exactly))
    else:
        room.tell(call)
    call.tell_provider(p.Respond(call.bills.asked or None))


def _play(call: Course, text: str) -> None:
    """The model is told what the caller hears."""
    call.floor.phrases += 1
    item_id = f"{PREFIX}{call.floor.phrases}"
    call.tell_provider(p.AddText("assistant", text, item_id))
    call.tell(m.PlayPhrase(item_id, text))
    call.transcript.add("reception", item_id, text, True, call.at_ms)
    call.tell(m.TellTranscript(m.Who.RECEPTION, text, True, item_id))
    call.thrift.note_phrase(call.given.recorded[text], len(text))
    call.floor.playing = Playing(item_id, call.now_s, heard=False, phrase=text)
    call.floor.spoke = True
    call.call_off("answer", "silence")


def put_off(call: Course) -> None:
    """An answer for which nothing is left now is asked for again once there is."""
    hush(call)
    if call.bills.waits:
        await_answer(call)


def billed(call: Course) -> None:
    """Is there enough now for the answer that waits, or nothing left to wait for? Who speaks
    has it all the same."""
    room.measure(call)
    bills = call.bills
    if not bills.waits or (call.thrift.dry and bills.room and bills.room.owing):
        return
    bills.waits = False
    call.call_off("bills")
    if call.state is not State.CALLER_SPEAKING:
        respond(call)


def await_answer(call: Course) -> None:
    """An answer is owed until it begins."""
    call.floor.owed, call.floor.spoke = True, False
    call.later("answer", call.profile.limits.answer_s)


def hush(call: Course) -> None:
    """Stops what is being said and made."""
    floor = call.floor
    if floor.response is not None:
        call.tell_provider(p.CancelResponse(floor.response))
        floor.stopping, floor.response = floor.response, None
    if floor.playing is not None:
        floor.playing = None
        call.tell(m.StopPlayout())


def listen(call: Course) -> None:
    """Nobody speaks: how long is that all right? Not at all where an answer is due that
    the full model was asked for."""
    call.go(State.LISTENING)
    if call.unanswered and call.connection.up and not (call.thrift.changes_model or call.wrapping):
        call.unanswered = False
        call.go(State.THINKING)
        call.tell_provider(_ANSWER)
        respond(call)
        return
    limits = call.profile.limits
    call.later("silence", limits.end_after_s if call.prompted else limits.prompt_after_s)
    if call.thrift.changes_model and call.connection.up:
        call.later("renew", 0.0)


def heard_again(call: Course) -> None:
    """The caller speaks, or what was missed is heard now. The model is told what is lost
    all the same."""
    if call.floor.lost:
        call.tell_provider(_LOST)
    call.floor.missed = call.floor.lost = False
    call.call_off("missed")


def ask_again(call: Course) -> None:
    """What was missed is not heard again."""
    call.floor.lost = True
    heard_again(call)
    if call.state is State.LISTENING:
        call.go(State.THINKING)
        respond(call)


def is_busy(call: Course) -> bool:
    """Something is being made, awaited or run."""
    return call.floor.response is not None or call.floor.owed or bool(call.tools.running())


def is_quiet(call: Course) -> bool:
    """Nothing is being made, awaited, played or run."""
    return call.floor.playing is None and not is_busy(call)
