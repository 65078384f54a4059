"""The functions that the model calls, and their results."""

from __future__ import annotations

from reception.call import messages as m
from reception.call.states import TALKING, State
from reception.call.talk import effects, money, speaking
from reception.call.talk.course import Course
from reception.call.tools import EndCall, FullModel, Message, Transfer, failed, not_now
from reception.provider import base as p


def made(call: Course, event: p.ToolCall) -> None:
    money.called(call, event)
    if call.state not in TALKING or not call.tools.add(event):
        return
    if call.state is State.THINKING:
        call.go(State.TOOL_RUNNING)
    call.later("tools", call.profile.limits.tool_s)
    call.tell(m.RunTool(event.call_id, event.name, event.arguments, call.at_ms))


def finished(call: Course, event: m.ToolFinished) -> None:
    call.answered(event.key)
    _take(call, event)


def _take(call: Course, event: m.ToolFinished) -> None:
    if event.call_id not in call.tools.running():
        return
    output = event.output
    match event.effect:
        case Message(message):
            call.taken.append(message)
        case Transfer() | EndCall() as effect:
            call.effect = effect
        case FullModel() if call.thrift.go_fuller():
            call.unanswered = True
        case FullModel():
            output = not_now().output
    call.tools.finish(event.call_id, output)
    if call.tools.ready(call.floor.response) and call.connection.up:
        give_results(call)


def timeout(call: Course) -> None:
    for call_id in call.tools.running():
        output = failed("the function took too long").output
        _take(call, m.ToolFinished(call_id, output))


def give_results(call: Course) -> None:
    """All functions have run: their results, and what comes of them."""
    call.call_off("tools")
    for use in call.tools.take():
        called = use.call
        call.transcript.tool(called.call_id, called.name, called.arguments, use.output or "")
        for command in use.commands():
            call.tell_provider(command)
    if call.state in (State.TOOL_RUNNING, State.SPEAKING) and call.floor.playing is None:
        call.go(State.THINKING)
    if call.effect is None:
        speaking.respond(call)
    elif not call.floor.spoke:
        effects.announce(call, call.effect)
