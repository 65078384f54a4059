"""The demo's four callers: what they do, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cluster.caller import HangUp, Interrupt, Listen, Outcome, Say, StayOn, Step
from reception.call.record import TakenMessage

MAX_BARGE_IN_MS = 1_500
SALES = "+15550110"
NUMBER = "5550123"

Speech = Callable[[str, int], bytes]
Check = Callable[[Outcome, Sequence[TakenMessage]], str]


@dataclass(frozen=True, slots=True)
class Scene:
    """One caller. `check` gives what is wrong, or "" when all is as it should be."""

    name: str
    number: str
    steps: tuple[Step, ...]
    check: Check


def scenes(speech: Speech) -> list[Scene]:
    """The four callers, their words spoken by `speech(text, voice)` as mu-law."""

    def say(text: str, voice: int) -> Say:
        return Say(speech(text, voice), text)

    goodbye = "No, thank you. That's all. Goodbye."
    over = "Thank you, that's all I wanted to know. Goodbye."
    return [
        Scene(
            "asks for sales",
            "+15550201",
            (
                Listen(),
                say("Hello, could you put me through to the sales department please?", 0),
                StayOn(),
            ),
            _was_transferred,
        ),
        Scene(
            "asks for the hours",
            "+15550202",
            (
                Listen(),
                say("Good morning, what are your opening hours?", 2),
                Listen(),
                say(goodbye, 2),
                StayOn(),
            ),
            _heard_the_hours,
        ),
        Scene(
            "leaves a message",
            "+15550203",
            (
                Listen(),
                say("I would like to leave a message.", 3),
                Listen(),
                say("My name is John Miller.", 3),
                Listen(),
                say("My number is 5 5 5, 0 1 2 3.", 3),
                Listen(),
                say("Please call me back about my order.", 3),
                Listen(),
                say(goodbye, 3),
                StayOn(),
            ),
            _left_a_message,
        ),
        Scene(
            "talks over the answer",
            "+15550204",
            (
                Listen(),
                say("Can you tell me about your company?", 1),
                Interrupt(speech(over, 1), 2.0, over),
                StayOn(),
                HangUp(),
            ),
            _was_heard_at_once,
        ),
    ]


def _ended(outcome: Outcome, reason: str) -> str:
    if outcome.status != "OK":
        return f"the stream ended with {outcome.status} {outcome.error}"
    if outcome.summary is None:
        return "there was no summary"
    ended = outcome.summary.end_reason
    return "" if ended == reason else f"it ended {ended}, not {reason}"


def _was_transferred(outcome: Outcome, messages: Sequence[TakenMessage]) -> str:
    del messages
    if outcome.transfer is None:
        return "it was not transferred"
    if outcome.transfer.destination != SALES:
        return f"it was transferred to {outcome.transfer.destination}, not {SALES}"
    return _ended(outcome, "transferred")


def _heard_the_hours(outcome: Outcome, messages: Sequence[TakenMessage]) -> str:
    del messages
    if not any("We are open" in text for who, text in outcome.transcript if who == "reception"):
        return "the opening hours were not said"
    return _ended(outcome, "completed")


def _left_a_message(outcome: Outcome, messages: Sequence[TakenMessage]) -> str:
    left = [message for message in messages if message.call_id == outcome.call_id]
    if len(left) != 1:
        return f"{len(left)} messages were kept, not 1"
    if left[0].phone_number != NUMBER or "Miller" not in left[0].caller_name:
        return f"the message is from {left[0].caller_name}, {left[0].phone_number}"
    return _ended(outcome, "completed")


def _was_heard_at_once(outcome: Outcome, messages: Sequence[TakenMessage]) -> str:
    del messages
    if not outcome.barge_in_ms:
        return "the receptionist did not stop"
    if max(outcome.barge_in_ms) > MAX_BARGE_IN_MS:
        return f"the receptionist stopped only after {max(outcome.barge_in_ms):.0f} ms"
    if not any(turn.interrupted for turn in outcome.turns):
        return "no turn was marked as interrupted"
    return _ended(outcome, "completed")
