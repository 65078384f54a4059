"""The receptionist's answers: made by the provider, played by the audio worker."""

from __future__ import annotations

from reception.call import messages as m
from reception.call.states import State
from reception.call.talk import ending, fallback, money, room, speaking, tool_calls, voice
from reception.call.talk.course import Course, Playing
from reception.call.tools import EndCall
from reception.provider import base as p

# ------------------------------------------------------------------ made


def started(call: Course, event: p.ResponseStarted) -> None:
    call.floor.response = event.response_id
    dry = room.began(call, event.response_id)
    call.bills.count.began(event.response_id)
    call.floor.owed = False
    call.later("answer", call.profile.limits.answer_s)
    if dry:
        speaking.put_off(call)
        return
    call.tell(call.turns.response_started(call.now_s))
    if call.profile.asks and call.state is State.CALLER_SPEAKING:
        speaking.hush(call)  # asked for before the caller went on


def words(call: Course, event: p.AssistantTranscript) -> None:
    call.floor.spoke = True
    money.answer_words(call, event)
    call.transcript.add("reception", event.item_id, event.text, event.final, call.at_ms)
    call.tell(m.TellTranscript(m.Who.RECEPTION, event.text, event.final, event.item_id))


def done(call: Course, event: p.ResponseDone) -> None:
    money.bill_answer(call, event)
    if event.response_id == call.floor.stopping:
        call.floor.stopping = ""
    if call.unsaid:
        call.unsaid = False
        speaking.respond(call, call.last_words)
        return
    speaking.billed(call)
    if event.response_id != call.floor.response:
        return
    call.floor.response = None
    call.call_off("answer")
    if event.status == "failed":
        call.connection.healable = call.connection.healable and event.healable
        _failed(call)
        return
    call.connection.dials = 1
    if call.tools.ready(None):
        tool_calls.give_results(call)
    if event.status != "cancelled":
        voice.say_anew(call, event.response_id)


def timeout(call: Course) -> None:
    """No answer began, or one takes too long to be made."""
    if call.floor.response is not None and call.floor.playing is not None:
        return
    speaking.hush(call)
    _failed(call)


def _failed(call: Course) -> None:
    """An answer was not made: once more, then the apology. Where no answer will ever be
    made, the fall-back."""
    if call.state is State.ENDING:
        call.floor.owed = False
    elif not call.connection.healable:
        fallback.begin(call)
    elif not call.floor.retried:
        call.floor.retried = True
        speaking.respond(call)
    else:
        ending.say_and_end(call, call.profile.phrases.trouble, "provider_unavailable")


# ------------------------------------------------------------------ played


def playout_started(call: Course, event: m.PlayoutStarted) -> None:
    if call.floor.unheard not in ("", event.item_id):
        return  # of before it
    call.floor.playing = Playing(event.item_id, call.now_s, heard=True)
    call.call_off("silence")
    if call.state in (State.LISTENING, State.THINKING, State.TOOL_RUNNING):
        call.go(State.SPEAKING)
    call.tell(call.turns.first_audio(call.now_s))


def playout_drained(call: Course, _: m.PlayoutDrained) -> None:
    if not call.floor.unheard:
        call.floor.playing = None


def interrupted(call: Course, event: m.PlayoutInterrupted) -> None:
    if call.floor.unheard in ("", event.item_id):
        call.floor.playing = None
    if call.profile.asks:
        speaking.hush(call)
    money.cut(call, event)
    call.turns.interruptions += 1
    call.transcript.cut(event.item_id, event.heard_ms, event.heard)
    call.tell(call.turns.done(call.now_s, interrupted=True))
    if isinstance(call.effect, EndCall):  # the caller has more to say
        call.effect = None


def gateway_measured(call: Course, event: m.GatewayMeasured) -> None:
    call.turns.gateway(event.gateway_us, event.up_us)
