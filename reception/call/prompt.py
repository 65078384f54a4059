"""The model's instructions, made from a profile.

They are the same, byte for byte, for every call of a profile at a level of saving:
whatever changes (date, caller) comes from tools, and what is to be said at a moment is
an item at the conversation's end, so that the provider's prompt cache hits.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from reception.call.profile import FULL_MODEL_TOOL, Profile
from reception.call.tools import specs
from reception.money.bounds import tokens_to_say
from reception.money.savings.billing import text_tokens
from reception.money.savings.levels import LEVELS, Decisions, Level
from reception.provider.base import AddText, Configure, Truncation

_MANNER = """\
You are the receptionist of {company}, answering the telephone. Speak {language}.
Be warm, brief and competent: one or two short sentences, then listen. Never
invent facts: what you don't know you look up with a tool or you offer to take a
message. Say numbers digit by digit. If asked, say that you are an automated
receptionist. When told to say something exactly, say precisely that.{manner}

To put a caller through, say so in one short sentence and call transfer_call.
To take a message, ask for the caller's name, telephone number and message, one
at a time, read them back, then call take_message. When the caller is done, say
goodbye and call end_call. Tool results have a sentence in "spoken": say it.

Directory:
{directory}
"""
_LANGUAGES = {"en": "English", "de": "German", "fr": "French", "es": "Spanish", "ja": "Japanese"}


def instructions(profile: Profile, manner: str = "") -> str:
    """The session's instructions.

    Args:
        manner: of answering, besides what all receptionists are told.
    """
    lines = [
        f"- {entry.name}" + (f" ({entry.role})" if entry.role else "")
        for entry in profile.directory
    ]
    language = _LANGUAGES.get(profile.language, profile.language)
    text = _MANNER.format(
        company=profile.company,
        language=language,
        manner=f"\n{manner}" if manner else "",
        directory="\n".join(lines) or "- nobody",
    )
    return f"{text}\n{profile.instructions}\n" if profile.instructions else text


def expected_words(profile: Profile) -> str:
    """What callers are likely to say, for the recogniser of their speech: on a
    telephone line it guesses between words that sound alike.

    Measured with whisper tiny.en on G.711: without it one caller in four who
    asked for the hours, and every one who wished to leave a message, was misread.
    """
    people = [entry.name for entry in profile.directory if entry.is_person]
    departments = [entry.name for entry in profile.directory if not entry.is_person]
    names = ", ".join([profile.company, *people, *departments])
    if profile.language != "en":
        return names
    said = [f"Callers of {profile.company} say: What are your opening hours?"]
    said += [f"Is {name} there?" for name in people]
    said += [f"Could you put me through to {' or '.join(departments)}?"] if departments else []
    said += ["I would like to leave a message. My name is Robert Jones, my number is 555."]
    said += ["Please call me back. No, thank you, that's all. Goodbye."]
    return " ".join(said)


def say_exactly(text: str) -> AddText:
    """Before a response that is to be these very words."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return AddText("system", f'Say exactly: "{escaped}"')


def head_tokens(configure: Configure) -> int:
    """About how many tokens a session's instructions and tools are."""
    tools = [{"type": "function"} | asdict(tool) for tool in configure.tools]
    return text_tokens(len(configure.instructions) + len(json.dumps(tools)))


def configuration(
    profile: Profile,
    audio_format: str,
    voice: str,
    decisions: Decisions = LEVELS[Level.OFF],
    *,
    may_ask: bool = False,
) -> Configure:
    """The provider session's configuration for a profile and a level of saving.

    Args:
        may_ask: there is a fuller model, for which this one may ask.
    """
    cut_at = decisions.truncate_at_tokens
    return Configure(
        instructions=instructions(profile, decisions.manner),
        voice=profile.voice or voice,
        audio_format=audio_format,
        tools=tuple(each for each in specs(profile) if may_ask or each.name != FULL_MODEL_TOOL),
        # What the worker may not let count must neither stop a response nor cause one.
        turn_detection=replace(profile.turn_detection, automatic=not profile.asks),
        transcription_model=profile.transcription_model,
        transcription_prompt=expected_words(profile),
        language=profile.language,
        max_output_tokens=tokens_to_say(decisions.answer_s, text=decisions.text_answers) or None,
        truncation=Truncation(cut_at, decisions.retain_percent) if cut_at else None,
        text=decisions.text_answers,
    )
