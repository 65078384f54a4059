"""The provider's session comes and goes: dialling, dialling again, renewal."""

from __future__ import annotations

from reception.call import messages as m
from reception.call.states import TALKING, State
from reception.call.talk import fallback, money, room, speaking, tool_calls
from reception.call.talk.course import Course
from reception.provider import base as p
from reception.provider.refusal import REFUSED

DIAL_S = 15.0
DIAL_TRIES = 6  # within 3 to 9 s of a provider that refuses at once
RENEW_S = 3_000.0  # the provider ends a session after 3,600 s
RENEW_AGAIN_S = 20.0  # when the new session was not taken up
RENEW_LOOK_S = 1.0  # for a pause
CHANGE_AGAIN_S = 2.0  # when the other model's session was not taken up
AGAIN_S = 2.0  # for words to be heard that are told the next session again
CLOSE_S = 1.0  # for the provider to close a session that it has given up
_BUSY = "conversation_already_has_active_response"


def up(call: Course, event: m.ProviderUp) -> None:
    call.connection.media = True
    if call.connection.given_up:
        return
    call.connection.up = True
    call.answered(m.DIAL)
    call.thrift.up(event.model)
    call.bills.count.is_up()
    money.write_off_words(call)  # of the session before
    call.call_off("dial")
    call.later("renew", RENEW_S)
    if call.state is State.LISTENING and call.unanswered:
        speaking.listen(call)
    if call.state is not State.CONNECTING:
        return
    if not call.greeted:
        call.greeted = True
        call.go(State.GREETING)
        speaking.respond(call, call.profile.phrases.greeting)
    elif call.tools.ready(None):
        call.go(State.THINKING)
        tool_calls.give_results(call)
    elif call.floor.missed:
        speaking.listen(call)
        call.later("missed", AGAIN_S)
    elif call.floor.owed:
        call.go(State.THINKING)
        speaking.respond(call)
    else:
        speaking.listen(call)


def down(call: Course, event: m.ProviderDown) -> None:
    call.connection.media = True
    _lost(call, event.code)


def _lost(call: Course, code: int) -> None:
    floor, connection = call.floor, call.connection
    connection.up, floor.stopping = False, ""
    room.lost(call)
    # An answer that was being made, or awaited, is owed by the next session; but where its
    # question was not understood yet that one has to hear the question first.
    floor.owed = floor.owed or floor.response is not None
    floor.response = None
    if call.state is State.CALLER_SPEAKING or (floor.owed and call.transcript.unread()):
        floor.missed, floor.owed = True, False
    money.write_off_words(call)
    call.call_off("answer", "silence", "renew", "missed")
    if call.state is State.ENDING:
        floor.owed = False
    elif connection.given_up:
        fallback.begin(call)
    elif call.thrift.give_up_change():
        connection.healable = True
        _dial_again(call)
    elif code in REFUSED or not connection.healable or connection.dials >= DIAL_TRIES:
        fallback.begin(call)
    else:
        _dial_again(call)


def media_lost(call: Course, _: m.MediaLost) -> None:
    """What the caller was just told ends in the middle: it is answered anew."""
    heard_ms = 0
    playing, call.floor.playing = call.floor.playing, None
    if playing is not None:
        heard_ms = round((call.now_s - playing.since_s) * 1000)
        call.transcript.cut(playing.item_id, heard_ms)
        call.floor.owed = True
    if call.floor.response is not None:
        money.answer_audio(call, m.AnswerAudio(call.floor.response, heard_ms, lost=True))
    call.connection.media = False
    _lost(call, 0)
    call.floor.lost = call.floor.missed


def _dial_again(call: Course) -> None:
    call.tools.orphan()
    delay_s = call.given.rng.uniform(0.1, 0.3) * 2 ** (call.connection.dials - 1)
    call.connection.dials += 1
    if call.state in TALKING:
        call.go(State.CONNECTING)
    call.later("dial", delay_s + DIAL_S)
    call.tell(m.Redial(delay_s, _reopening(call), call.thrift.dial()))


def _reopening(call: Course) -> tuple[p.ProviderCommand, ...]:
    """What a session is told first that goes on where another was."""
    room.measure(call)
    opening = call.thrift.opening(call.given.configuration, call.transcript.replay())
    call.bills.count.opens(opening)
    return opening


def bills_late(call: Course) -> None:
    """Those that an answer waits for are not there in time. A session that does not even end
    an answer that was cancelled is none any more."""
    if not call.bills.waits:
        return
    if call.floor.stopping:
        _lost(call, 0)
    else:
        speaking.respond(call)


def dial_timeout(call: Course) -> None:
    fallback.begin(call)


def renew(call: Course) -> None:
    """The session's time is nearly over, or another model is to go on: another session
    takes its place in a pause."""
    changes = call.thrift.changes_model
    if call.state in (State.LISTENING, State.ON_HOLD) and speaking.is_quiet(call):
        model = call.thrift.renewal()
        call.tell(m.Renew(_reopening(call), model))
        call.later("renew", CHANGE_AGAIN_S if changes else RENEW_AGAIN_S)
    else:
        call.later("renew", RENEW_LOOK_S)


def fault(call: Course, event: p.ProviderFault) -> None:
    connection = call.connection
    connection.healable = connection.healable and (event.healable or not event.fatal)
    if not connection.healable and connection.up:
        call.later("answer", CLOSE_S)
    if event.code == _BUSY and call.state is State.ENDING:
        speaking.hush(call)  # what was being made comes before the last words
        speaking.await_answer(call)
        call.unsaid = True
