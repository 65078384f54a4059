"""A receptionist's dialogue without a language model.

`decide` looks at the whole conversation each time and keeps no state, so that a
conversation that is replayed into a new session goes on where it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, ClassVar

from voice.brain.words import best_match, day_in, intent_of, person_name, phone_number
from voice.interfaces import CallTool, Question, Say, Turn

Piece = Say | CallTool

_COMPANY = re.compile(r"receptionist of ([^,.\n]+)")
ANYTHING_ELSE = "Is there anything else I can help you with?"
ASK_NAME = "May I have your name, please?"
ASK_NUMBER = "And what telephone number can we reach you on?"
ASK_TEXT = "What would you like me to pass on?"
UNCLEAR = (
    "I'm sorry, I didn't quite catch that. Could you say it again, please?",
    "I'm sorry, the line isn't very good. Would you like a department, our opening hours, "
    "or to leave a message?",
    "I still can't understand you, I'm afraid. Would you like to leave a message for a colleague?",
)


class ReceptionBrain:
    """`Brain` by rules."""

    async def answer(self, question: Question) -> AsyncIterator[Piece]:
        for piece in decide(question):
            yield piece


def decide(question: Question) -> list[Piece]:
    """The answer to a conversation. Never raises; calls only tools on offer."""
    if question.exactly:
        return [Say(question.exactly)]
    turns = [turn for turn in question.turns if turn.kind != "system"]
    last = turns[-1] if turns else Turn("user")
    if last.kind == "tool_result":
        return _after_tool(last, turns)
    heard = _heard(turns)
    if not heard:
        return [Say(UNCLEAR[min(_misses(turns), len(UNCLEAR) - 1)])]
    desk = _Desk(question, turns, heard)
    return desk.message() if desk.taking_message() else desk.by_intent()


def _heard(turns: Sequence[Turn]) -> str:
    """The caller's words since the receptionist last spoke."""
    said: list[str] = []
    for turn in reversed(turns):
        if turn.kind == "user":
            said.append(turn.text.strip())
        elif turn.kind == "assistant":
            break
    return " ".join(reversed(said)).strip()


def _misses(turns: Sequence[Turn]) -> int:
    """How often in a row the caller was not understood."""
    misses = 0
    for turn in reversed(turns):
        if turn.kind == "assistant":
            if turn.text.strip() not in UNCLEAR:
                break
            misses += 1
    return misses


def _after_tool(result: Turn, turns: Sequence[Turn]) -> list[Piece]:
    """Says what a tool gave, and goes on."""
    try:
        output: Any = json.loads(result.text)
    except ValueError:
        output = {}
    if not isinstance(output, dict):
        output = {}
    spoken = str(output.get("spoken") or "I'm sorry, that didn't work.")
    name = next(
        (
            turn.name
            for turn in reversed(turns)
            if turn.kind == "tool_call" and turn.call_id == result.call_id
        ),
        "",
    )
    if name in ("transfer_call", "end_call") and output.get("ok"):
        return [Say(spoken)]
    if name == "take_message" and not output.get("ok"):
        return [Say(spoken)]
    return [Say(spoken), Say(ANYTHING_ELSE)]


class _Desk:
    """The question, looked at from a receptionist's desk."""

    def __init__(self, question: Question, turns: list[Turn], heard: str) -> None:
        self._turns, self._heard = turns, heard
        self._tools = {str(tool.get("name")): tool for tool in question.tools}
        company = _COMPANY.search(question.instructions)
        self._company = company.group(1).strip() if company else "this company"
        self._instructions = question.instructions

    # ------------------------------------------------------------- one-step wishes

    def by_intent(self) -> list[Piece]:
        intent = intent_of(self._heard)
        name = best_match(self._heard, self._directory())
        if intent in ("", "about", "hello", "thanks", "no", "yes") and name and intent != "about":
            intent = "transfer"
        handler = self._HANDLERS.get(intent)
        return handler(self) if handler else self._unclear()

    def _unclear(self) -> list[Piece]:
        return [Say(UNCLEAR[min(_misses(self._turns), len(UNCLEAR) - 1)])]

    def _hours(self) -> list[Piece]:
        if "get_opening_hours" not in self._tools:
            return [Say("I'm sorry, I don't have our opening hours at hand.")]
        day = day_in(self._heard)
        arguments = {"day": day} if day else {}
        return [CallTool("get_opening_hours", json.dumps(arguments))]

    def _transfer(self) -> list[Piece]:
        names = self._directory()
        name = best_match(self._heard, names)
        if not name or "transfer_call" not in self._tools:
            known = ", ".join(names[:-1]) + (f" or {names[-1]}" if names else "")
            return [Say(f"Whom may I put you through to? {known}?" if names else UNCLEAR[2])]
        arguments = {"destination": name, "reason": self._heard[:200]}
        return [
            Say(f"One moment please, I'll put you through to {name}."),
            CallTool("transfer_call", json.dumps(arguments)),
        ]

    def _goodbye(self) -> list[Piece]:
        goodbye = Say(f"Thank you for calling {self._company}. Goodbye.")
        if "end_call" not in self._tools:
            return [goodbye]
        return [goodbye, CallTool("end_call", json.dumps({"reason": "the caller is done"}))]

    def _thanks(self) -> list[Piece]:
        return [Say("You're welcome."), Say(ANYTHING_ELSE)]

    def _no(self) -> list[Piece]:
        return self._goodbye() if self._asked(ANYTHING_ELSE) else self._unclear()

    def _yes(self) -> list[Piece]:
        return [Say("How can I help you?")]

    def _hello(self) -> list[Piece]:
        return [Say("Hello. How can I help you?")]

    def _robot(self) -> list[Piece]:
        return [
            Say(f"I'm the automated receptionist of {self._company}."),
            Say("I can put you through, tell you our opening hours, or take a message."),
        ]

    def _repeat(self) -> list[Piece]:
        for turn in reversed(self._turns):
            if turn.kind == "assistant" and turn.text.strip():
                return [Say(turn.text.strip())]
        return self._hello()

    def _about(self) -> list[Piece]:
        """What the profile's own instructions tell of the company."""
        _, _, told = self._instructions.strip().rpartition("\n\n")
        told = " ".join(told.split())
        if not told or told.startswith("Directory"):
            return self._robot()
        sentences = [part for part in re.split(r"(?<=[.!?])\s+", told) if part]
        return [*(Say(sentence) for sentence in sentences), Say(ANYTHING_ELSE)]

    def _message_wish(self) -> list[Piece]:
        return self.message()

    _HANDLERS: ClassVar[dict[str, Callable[[_Desk], list[Piece]]]] = {
        "goodbye": _goodbye,
        "message": _message_wish,
        "hours": _hours,
        "transfer": _transfer,
        "robot": _robot,
        "repeat": _repeat,
        "about": _about,
        "yes": _yes,
        "no": _no,
        "thanks": _thanks,
        "hello": _hello,
    }

    # ------------------------------------------------------------- taking a message

    def taking_message(self) -> bool:
        """A message was begun and not yet taken."""
        if "take_message" not in self._tools:
            return False
        for turn in reversed(self._turns):
            if turn.kind == "tool_call" and turn.name == "take_message":
                return False
            if turn.kind == "user" and intent_of(turn.text) == "message":
                return True
        return False

    def message(self) -> list[Piece]:
        """Asks for what is missing; takes the message when all is there."""
        if "take_message" not in self._tools:
            return [Say("I'm sorry, I can't take messages.")]
        slots = self._slots()
        if slots["abandoned"]:
            return self._goodbye()
        for slot, ask in (
            ("caller_name", ASK_NAME), ("phone_number", ASK_NUMBER), ("message", ASK_TEXT),
        ):  # fmt: skip
            if not slots[slot]:
                again = self._asked(ask)
                return [Say(f"I'm sorry, I didn't catch that. {ask}" if again else ask)]
        spaced = " ".join(slots["phone_number"])
        arguments = {name: slots[name] for name in ("caller_name", "phone_number", "message")}
        return [
            Say(f"So that is {slots['caller_name']}, on {spaced}."),
            CallTool("take_message", json.dumps(arguments | {"for_whom": slots["for_whom"]})),
        ]

    def _slots(self) -> dict[str, str]:
        """What was given so far, each turn of the caller read as an answer to
        what was asked before it."""
        slots = dict.fromkeys(
            ("caller_name", "phone_number", "message", "for_whom", "abandoned"), ""
        )
        asked, begun = "", False
        for turn in self._turns:
            if turn.kind == "assistant":
                asked = turn.text
            if turn.kind == "tool_call" and turn.name == "take_message":
                slots, begun = dict.fromkeys(slots, ""), False
            if turn.kind != "user":
                continue
            wish = intent_of(turn.text) == "message"
            if wish and not begun:
                begun = True
                slots["for_whom"] = best_match(turn.text, self._directory())
            if begun:
                self._fill(slots, turn.text, asked, wish)
        return slots

    @staticmethod
    def _fill(slots: dict[str, str], text: str, asked: str, wish: bool) -> None:
        number = phone_number(text)
        name = person_name(text, asked=ASK_NAME in asked)
        if number and not slots["phone_number"]:
            slots["phone_number"] = number
        if name and not slots["caller_name"]:
            slots["caller_name"] = name
        elif ASK_TEXT in asked and not slots["message"] and not (wish and len(text) < 15):
            slots["message"] = text.strip()
        if intent_of(text) == "goodbye" and not slots["message"] and ASK_TEXT not in asked:
            slots["abandoned"] = "yes"

    # ------------------------------------------------------------- looking around

    def _directory(self) -> tuple[str, ...]:
        parameters = self._tools.get("transfer_call", {}).get("parameters") or {}
        destination = (parameters.get("properties") or {}).get("destination") or {}
        return tuple(str(name) for name in destination.get("enum") or ())

    def _asked(self, question: str) -> bool:
        """The receptionist's last words held this question."""
        for turn in reversed(self._turns):
            if turn.kind == "assistant":
                return question in turn.text
        return False
