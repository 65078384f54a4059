"""Whose voice speaks answers that come as text: the node's, or while that is away the
provider's, whose answers are sound until the node's is tried again."""

from __future__ import annotations

from reception.call import messages as m
from reception.call.states import State
from reception.call.talk import speaking
from reception.call.talk.course import Course

AGAIN_S = 30.0


def unspoken(call: Course, event: m.Unspoken) -> None:
    """The provider says it, in its own voice. What the provider itself wrote instead of
    saying it is left out."""
    floor = call.floor
    playing, words = floor.playing, ""
    if playing is not None and playing.item_id == event.item_id:
        floor.playing, words = None, playing.phrase
    call.bills.count.changed()
    call.transcript.cut(event.item_id, 0, "")
    if not call.thrift.text:
        return
    _answer(call, text=False)
    call.later("voice", AGAIN_S)
    if not words:
        floor.unspoken = floor.response or ""
    elif call.connection.up and call.state is not State.CALLER_SPEAKING:
        speaking.respond(call, words)


def say_anew(call: Course, response_id: str) -> None:
    """An answer is made: if nothing of it was heard, and nothing else follows, it is made
    once more."""
    if call.floor.unspoken == response_id and not speaking.is_busy(call):
        speaking.respond(call, call.last_words)


def again(call: Course) -> None:
    """The node's voice is tried again."""
    _answer(call, text=call.given.configuration.text)


def _answer(call: Course, *, text: bool) -> None:
    call.thrift.text = text
    if call.connection.up:
        call.tell_provider(call.thrift.configured(call.given.configuration))
