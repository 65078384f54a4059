"""What is done once all is said: the caller is put through, or the call ends."""

from __future__ import annotations

from reception.call import messages as m
from reception.call.profile import Entry
from reception.call.states import State
from reception.call.talk import ending, speaking
from reception.call.talk.course import Course
from reception.call.tools import EndCall, Transfer
from reception.provider import base as p


def plan_transfer(call: Course, entry: Entry, reason: str) -> None:
    """The caller is to be put through."""
    call.effect = Transfer(entry.destination, entry.name, reason)
    announce(call, call.effect)


def announce(call: Course, effect: Transfer | EndCall) -> None:
    phrases = call.profile.phrases
    if isinstance(effect, EndCall):
        speaking.respond(call, phrases.goodbye)
    else:
        speaking.respond(call, phrases.transferring.format(name=effect.name))


def carry_out(call: Course, effect: Transfer | EndCall) -> None:
    call.effect = None
    call.call_off("silence", "answer")
    if isinstance(effect, EndCall):
        ending.end(call, "completed", hangup=True)
        return
    call.transfer = effect
    call.go(State.TRANSFERRING)
    call.later("transfer", call.profile.limits.transfer_wait_s)
    call.tell(m.Listen(False))
    call.tell(m.TellTransfer(effect.destination, effect.name, effect.reason))


def transfer_result(call: Course, event: m.TransferResult) -> None:
    if call.transfer is None or call.state is not State.TRANSFERRING:
        return
    tried, call.transfer = call.transfer, None
    if event.ok:
        call.transferred_to = tried.destination
        ending.end(call, "transferred", hangup=False)
        return
    call.call_off("transfer")
    call.go(State.THINKING)
    if call.wrapping or call.connection.given_up:
        return
    call.tell(m.Listen(True))
    told = f"The transfer to {tried.name} failed. {event.detail}".strip()
    call.tell_provider(p.AddText("system", told))
    speaking.respond(call, call.profile.phrases.transfer_failed)


def transfer_timeout(call: Course) -> None:
    transfer_result(call, m.TransferResult(False, "Nobody answered."))
