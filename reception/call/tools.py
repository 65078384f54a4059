"""What the model may do: its functions, checked and carried out.

Handlers are pure: they answer with JSON for the model (always with a sentence
in "spoken") and, where something is to happen, an effect.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from reception.call.hours import DAYS
from reception.call.profile import FULL_MODEL_TOOL, Entry, Profile
from reception.call.record import CallSpec, TakenMessage
from reception.provider.base import JsonObject, ToolSpec

MAX_ARGUMENT_CHARS = 2_000
MIN_PHONE_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Transfer:
    """Connect the caller."""

    destination: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Message:
    """Keep this message."""

    message: TakenMessage


@dataclass(frozen=True, slots=True)
class EndCall:
    """The conversation is over."""

    reason: str


@dataclass(frozen=True, slots=True)
class FullModel:
    """The full model is to go on."""


Effect = Transfer | Message | EndCall | FullModel | None


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    output: str
    effect: Effect = None


def _text(description: str, **more: Any) -> JsonObject:
    return {"type": "string", "description": description} | more


def specs(profile: Profile) -> tuple[ToolSpec, ...]:
    """The functions that this profile's models may call."""
    names = [entry.name for entry in profile.directory]
    declared = {
        "transfer_call": (
            "Put the caller through to a person or department of the directory.",
            {
                "destination": _text("Name in the directory", enum=names),
                "reason": _text("Why, in a few words for whoever picks up"),
            },
            ["destination"],
        ),
        "take_message": (
            "Keep a message for somebody. Ask for name, number and message first.",
            {
                "for_whom": _text("Person or department the message is for"),
                "caller_name": _text("The caller's name"),
                "phone_number": _text("Number to call back, digits"),
                "message": _text("The message"),
            },
            ["caller_name", "phone_number", "message"],
        ),
        "get_opening_hours": (
            "When the company is open.",
            {"day": _text("A weekday, 'today' or 'tomorrow'; leave out for the whole week")},
            [],
        ),
        "find_person": (
            "Look somebody up in the directory by name or role.",
            {"name": _text("Name or role")},
            ["name"],
        ),
        "end_call": (
            "Hang up, after goodbye was said.",
            {"reason": _text("Why, in a few words")},
            [],
        ),
        FULL_MODEL_TOOL: (
            "Have a more capable assistant go on with this call. Call it when a question is too "
            "hard for you, or the caller is not content with your answers; never for what "
            "another function does.",
            {},
            [],
        ),
    }
    return tuple(
        ToolSpec(
            name,
            description,
            {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            },
        )
        for name, (description, properties, required) in declared.items()
        if name in profile.tools
    )


def run(name: str, arguments: str, profile: Profile, now_s: float, call: CallSpec) -> ToolOutcome:
    """Carries a function call out.

    Args:
        arguments: JSON text from the model, not trusted.
        now_s: UNIX time.

    Returns:
        The output for the model; a wrong call gives {"ok": false, "error": …}.
    """
    spec = next((each for each in specs(profile) if each.name == name), None)
    if spec is None:
        return _refused(f"there is no function {name!r}")
    try:
        given = json.loads(arguments or "{}")
    except ValueError:
        return _refused("arguments are no valid JSON")
    fault = _fault(given, spec)
    if fault:
        return _refused(fault)
    return _HANDLERS[name](given, profile, now_s, call)


def failed(what: str) -> ToolOutcome:
    """The outcome of a tool that could not do its work."""
    return _outcome(
        ok=False, error=what, spoken="I'm sorry, something went wrong on our side just now."
    )


def not_now() -> ToolOutcome:
    """The outcome where the full model can't go on: it does already, or costs too much."""
    return _outcome(
        ok=False,
        error="no more capable assistant is free: answer as well as you can",
        spoken="I'm not sure about that. Would you like to leave a message?",
    )


def _fault(given: Any, spec: ToolSpec) -> str:
    """What is wrong with the arguments, or ""."""
    if not isinstance(given, dict):
        return "arguments must be a JSON object"
    properties = spec.parameters["properties"]
    for name, value in given.items():
        if name not in properties:
            return f"unknown argument {name!r}"
        if not isinstance(value, str):
            return f"argument {name!r} must be a string"
        if len(value) > MAX_ARGUMENT_CHARS:
            return f"argument {name!r} has {len(value)} characters, over {MAX_ARGUMENT_CHARS}"
    return ""


def _outcome(effect: Effect = None, /, **fields: Any) -> ToolOutcome:
    return ToolOutcome(json.dumps(fields, ensure_ascii=False), effect)


def _refused(error: str) -> ToolOutcome:
    return _outcome(ok=False, error=error, spoken="I'm sorry, I didn't get that right.")


# ------------------------------------------------------------------ handlers


def _transfer_call(
    given: dict[str, str], profile: Profile, now_s: float, call: CallSpec
) -> ToolOutcome:
    del now_s, call
    wanted = given.get("destination", "")
    entry = profile.entry(wanted)
    if entry is None:
        known = ", ".join(each.name for each in profile.directory)
        return _outcome(
            ok=False,
            error=f"{wanted!r} is not in the directory: {known}",
            spoken=f"I'm sorry, I can't find {wanted or 'that'} in our directory.",
        )
    effect = Transfer(entry.destination, entry.name, given.get("reason", ""))
    spoken = f"One moment please, I'll put you through to {_to(entry)}."
    return _outcome(effect, ok=True, name=entry.name, spoken=spoken)


def _to(entry: Entry) -> str:
    return entry.name if entry.is_person else f"the {entry.name} department"


def _take_message(
    given: dict[str, str], profile: Profile, now_s: float, call: CallSpec
) -> ToolOutcome:
    del profile
    number = "".join(char for char in given.get("phone_number", "") if char in "0123456789+")
    missing = [name for name in ("caller_name", "message") if not given.get(name, "").strip()]
    if len(number.lstrip("+")) < MIN_PHONE_DIGITS:
        missing.append("phone_number")
    if missing:
        asked = {
            "caller_name": "your name",
            "phone_number": "your telephone number",
            "message": "your message",
        }
        spoken = f"Could you tell me {' and '.join(asked[name] for name in missing)}, please?"
        return _outcome(ok=False, missing=missing, spoken=spoken)
    message = TakenMessage(
        call_id=call.call_id,
        for_whom=given.get("for_whom", "").strip(),
        caller_name=given["caller_name"].strip(),
        phone_number=number,
        text=given["message"].strip(),
        at_s=now_s,
    )
    spoken = "Thank you. I have taken your message and will pass it on."
    return _outcome(Message(message), ok=True, spoken=spoken)


def _get_opening_hours(
    given: dict[str, str], profile: Profile, now_s: float, call: CallSpec
) -> ToolOutcome:
    del call
    hours = profile.hours
    today = hours.local(now_s).date()
    wanted = given.get("day", "").strip()
    day = _day(wanted, today)
    if wanted and day is None:
        return _refused(f"day {wanted!r} is no weekday, 'today' or 'tomorrow'")
    spoken = hours.spoken_week() if day is None else hours.spoken_day(day, today)
    week = [
        {
            "day": DAYS[number],
            "open": [f"{span.opens:%H:%M}-{span.closes:%H:%M}" for span in spans],
        }
        for number, spans in enumerate(hours.week)
    ]
    return _outcome(ok=True, open_now=hours.is_open(now_s), hours=week, spoken=spoken)


def _day(wanted: str, today: date) -> date | None:
    """The next date that is called so; None for no such day."""
    name = wanted.casefold()
    if name == "today":
        return today
    if name == "tomorrow":
        return today + timedelta(days=1)
    for ahead in range(7):
        day = today + timedelta(days=ahead)
        if name == DAYS[day.weekday()].casefold():
            return day
    return None


def _find_person(
    given: dict[str, str], profile: Profile, now_s: float, call: CallSpec
) -> ToolOutcome:
    del now_s, call
    wanted = given.get("name", "").strip().casefold()
    found = [
        entry
        for entry in profile.directory
        if wanted
        and any(wanted in known.casefold() for known in (entry.name, entry.role, *entry.aliases))
    ]
    matches = [{"name": entry.name, "role": entry.role} for entry in found]
    if not found:
        spoken = f"I'm sorry, I can't find {given.get('name') or 'that name'} in our directory."
    else:
        spoken = "I have found " + " and ".join(_described(entry) for entry in found) + "."
    return _outcome(ok=True, found=bool(found), matches=matches, spoken=spoken)


def _described(entry: Entry) -> str:
    return f"{entry.name}, {entry.role}" if entry.role else entry.name


def _end_call(given: dict[str, str], profile: Profile, now_s: float, call: CallSpec) -> ToolOutcome:
    del now_s, call
    effect = EndCall(given.get("reason", ""))
    return _outcome(effect, ok=True, spoken=profile.phrases.goodbye)


def _use_full_model(
    given: dict[str, str], profile: Profile, now_s: float, call: CallSpec
) -> ToolOutcome:
    del given, profile, now_s, call
    return _outcome(FullModel(), ok=True, spoken="One moment please, let me think about that.")


_HANDLERS: dict[str, Callable[[dict[str, str], Profile, float, CallSpec], ToolOutcome]] = {
    "transfer_call": _transfer_call,
    "take_message": _take_message,
    "get_opening_hours": _get_opening_hours,
    "find_person": _find_person,
    "end_call": _end_call,
    FULL_MODEL_TOOL: _use_full_model,
}
