"""The states of a conversation and the steps between them."""

from __future__ import annotations

from enum import StrEnum

from reception.errors import IllegalTransition


class State(StrEnum):
    """What a conversation is doing."""

    CONNECTING = "connecting"  # the provider is being dialled
    GREETING = "greeting"  # the greeting is made or played
    LISTENING = "listening"  # nobody speaks
    CALLER_SPEAKING = "caller_speaking"
    THINKING = "thinking"  # an answer is awaited
    SPEAKING = "speaking"  # an answer is played
    TOOL_RUNNING = "tool_running"
    TRANSFERRING = "transferring"  # the leg connects the caller elsewhere
    ON_HOLD = "on_hold"
    ENDING = "ending"  # the last words
    ENDED = "ended"


TALKING = frozenset(
    {
        State.GREETING,
        State.LISTENING,
        State.CALLER_SPEAKING,
        State.THINKING,
        State.SPEAKING,
        State.TOOL_RUNNING,
    }
)
"""Caller and receptionist speak with each other."""

_TALK = frozenset(
    {
        State.LISTENING,
        State.CALLER_SPEAKING,
        State.THINKING,
        State.SPEAKING,
        State.TOOL_RUNNING,
        State.TRANSFERRING,
    }
)
_ALWAYS = frozenset({State.CONNECTING, State.ON_HOLD, State.ENDING, State.ENDED})

TRANSITIONS: dict[State, frozenset[State]] = {
    State.CONNECTING: _TALK - {State.SPEAKING} | _ALWAYS | {State.GREETING},
    State.GREETING: _TALK | _ALWAYS,
    State.LISTENING: _TALK | _ALWAYS,
    State.CALLER_SPEAKING: _TALK | _ALWAYS,
    State.THINKING: _TALK | _ALWAYS,
    State.SPEAKING: _TALK | _ALWAYS,
    State.TOOL_RUNNING: _TALK | _ALWAYS,
    State.TRANSFERRING: frozenset(
        {State.THINKING, State.CONNECTING, State.ON_HOLD, State.ENDING, State.ENDED}
    ),
    State.ON_HOLD: frozenset(
        {State.LISTENING, State.CONNECTING, State.TRANSFERRING, State.ENDING, State.ENDED}
    ),
    State.ENDING: frozenset({State.ENDED}),
    State.ENDED: frozenset(),
}


def check(start: State, finish: State, story: list[str]) -> None:
    """Raises IllegalTransition, with the story so far, for a forbidden step."""
    if finish is not start and finish not in TRANSITIONS[start]:
        told = ", ".join(story)
        raise IllegalTransition(f"{start} cannot become {finish}; so far: {told}")


def public_state(state: State) -> str:
    """The state of the call that others see: connecting, active, ending. It is
    "ended" only once its record is complete, which is the shell's to say."""
    if state in (State.ENDING, State.ENDED):
        return "ending"
    return "connecting" if state is State.CONNECTING else "active"
