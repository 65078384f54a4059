"""The provider is given up for the rest of a call: a person takes the call, or it ends."""

from __future__ import annotations

from reception.call import messages as m
from reception.call.states import State
from reception.call.talk import effects, ending, speaking
from reception.call.talk.course import Course

REASON = "provider_unavailable"


def begin(call: Course) -> None:
    """Only recordings can be played from now on, where an audio worker is there for that.
    What the call was to end with is still done, and a transfer that is under way goes on."""
    connection = call.connection
    if not connection.media:
        ending.end(call, REASON, hangup=True)
        return
    if connection.given_up:
        return
    connection.given_up, connection.up = True, False
    call.answered(m.DIAL)
    call.call_off("dial")
    if call.state is State.TRANSFERRING:
        return
    call.floor.owed = False
    call.tools.clear()
    call.deadlines.clear()
    call.later("fallback", ending.LAST_WORDS_S)
    call.go(State.CONNECTING)
    call.tell(m.Listen(False))
    if call.effect is None:
        speaking.hush(call)
        call.floor.stopping = ""
        _find_a_person(call)


def _find_a_person(call: Course) -> None:
    entry = None if call.taken_over else call.profile.person()
    if entry is not None:
        call.taken_over = True
        effects.plan_transfer(call, entry, "the receptionist is not available")


def go_on(call: Course) -> None:
    """After each event: the next step, once nothing is played."""
    if call.state in (State.TRANSFERRING, State.ENDED):
        return
    if not speaking.is_quiet(call):
        if not call.deadlines:
            call.later("fallback", ending.LAST_WORDS_S)
        return
    if call.effect is not None:
        call.call_off("fallback")
        effects.carry_out(call, call.effect)
        return
    if call.state is not State.ENDING:
        ending.say_and_end(call, call.profile.phrases.trouble, REASON)
    if speaking.is_quiet(call):
        ending.words_are_over(call)


def timeout(call: Course) -> None:
    """What is said, or still came of the provider, is not waited for any more."""
    call.floor.playing = call.floor.response = None
    call.floor.owed = False
    call.tools.clear()
