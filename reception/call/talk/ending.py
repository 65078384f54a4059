"""How a call ends: in silence, by time, as others ask; last words, and the end itself."""

from __future__ import annotations

from reception.call import messages as m
from reception.call.states import State
from reception.call.talk import speaking
from reception.call.talk.course import Course

LAST_WORDS_S = 10.0
DRAIN_MS = 1_000


def silence(call: Course) -> None:
    phrases = call.profile.phrases
    if call.prompted:
        say_and_end(call, phrases.silent_goodbye, "caller_silent")
    else:
        call.prompted = True
        call.go(State.THINKING)
        speaking.respond(call, phrases.still_there)


def time_is_up(call: Course) -> None:
    say_and_end(call, call.profile.phrases.time_is_up, "max_duration")


def requested(call: Course, event: m.EndRequested) -> None:
    if event.polite:
        say_and_end(call, call.profile.phrases.goodbye, event.reason)
    else:
        end(call, event.reason, hangup=True)


def say_and_end(call: Course, phrase: str, reason: str) -> None:
    """Last words, then the end; at once when nothing can be said."""
    if call.state is State.ENDING:
        return
    if not (call.connection.up or call.connection.given_up):
        end(call, reason, hangup=True)
        return
    speaking.hush(call)
    call.tools.clear()
    call.effect = None
    call.wrapping, call.last_words = False, phrase
    call.end_reason = reason
    call.go(State.ENDING)
    call.deadlines.clear()
    call.later("ending", LAST_WORDS_S)
    call.tell(m.Listen(False))
    speaking.respond(call, phrase)


def words_are_over(call: Course) -> None:
    """The last words were said, or never came."""
    end(call, call.end_reason, hangup=True)


def end(call: Course, reason: str, *, hangup: bool) -> None:
    call.tell(call.turns.done(call.now_s, interrupted=False))
    call.go(State.ENDED)
    call.deadlines.clear()
    call.answered(m.DIAL)
    call.end_reason = reason
    call.finish = m.FinishCall(reason, hangup, DRAIN_MS if hangup else 0)
    call.tell(call.finish)
