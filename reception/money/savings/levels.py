"""What a level of saving does: a table of decisions, for calls and for bills.

Each level does what the one before it does, and something more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class Level(StrEnum):
    """From nothing saved to the cheapest."""

    OFF = "off"
    QUALITY = "quality"
    BALANCED = "balanced"
    THRIFTY = "thrifty"
    ECONOMY = "economy"


@dataclass(frozen=True, slots=True)
class Decisions:
    """What is done for a call.

    Attributes:
        local_activity: silence, by the local voice activity detection, is not
            sent; the provider's own still says where turns end.
        pre_roll_ms: sent from before the speech was noticed, so that no word is
            clipped. hangover_ms: sent after it, besides the silence that the
            provider needs to find its end.
        stable_prompt: instructions and tools are the same bytes for every call
            of a profile, so that the provider has them in its cache.
        premade_phrases: greeting and goodbye are files, made once in the
            model's voice; the model is told what was said as text.
        answer_percent: how long answers are, of what the model would say. What
            `manner` in the instructions brings is an assumption until it is
            measured on live calls.
        answer_s: an answer that takes longer to speak ends there, by its tokens
            (`bounds.tokens_to_say`); 0 for any length. It stops what runs away, and
            is no measure of how long answers are.
        truncate_at_tokens: the conversation (without instructions) is cut back
            to `retain_percent` of this by the provider when it is longer: an
            insurance against long calls and a cache that fails. 0: only at the
            end of the model's memory.
        mini_first: see `route`.
        text_answers: the model answers in text, which is spoken here.
    """

    local_activity: bool = False
    pre_roll_ms: int = 300
    hangover_ms: int = 300
    stable_prompt: bool = False
    premade_phrases: bool = False
    answer_percent: int = 100
    manner: str = ""
    answer_s: int = 0
    truncate_at_tokens: int = 0
    retain_percent: int = 100
    mini_first: bool = False
    text_answers: bool = False


_QUALITY = Decisions(
    local_activity=True,
    stable_prompt=True,
    premade_phrases=True,
    truncate_at_tokens=8_000,  # about ten minutes of talk
    retain_percent=50,
)
_BALANCED = replace(
    _QUALITY,
    answer_percent=75,
    manner="Answer in one short sentence unless asked for more.",
    answer_s=30,
    truncate_at_tokens=4_000,  # about six
)
_THRIFTY = replace(_BALANCED, mini_first=True)
_ECONOMY = replace(
    _THRIFTY,
    text_answers=True,
    manner=f"{_BALANCED.manner} Your words are read aloud: plain sentences, no lists, no markup.",
    truncate_at_tokens=3_000,  # about ten
)

LEVELS: Mapping[Level, Decisions] = {
    Level.OFF: Decisions(),
    Level.QUALITY: _QUALITY,
    Level.BALANCED: _BALANCED,
    Level.THRIFTY: _THRIFTY,
    Level.ECONOMY: _ECONOMY,
}

NOTICED: Mapping[Level, str] = {
    Level.OFF: "nothing",
    Level.QUALITY: "after ten minutes, that the beginning is forgotten",
    Level.BALANCED: "shorter answers; the beginning is forgotten after six minutes",
    Level.THRIFTY: "a smaller model, which misses more, until the full one is asked for",
    Level.ECONOMY: "another voice, made here, a little later",
}
"""What callers notice of a level, besides that of those before it."""

MINI: Mapping[str, str] = {
    "gpt-realtime": "gpt-realtime-mini",
    "gpt-realtime-1.5": "gpt-realtime-mini",
    "gpt-realtime-2": "gpt-realtime-2.1-mini",
    "gpt-realtime-2.1": "gpt-realtime-2.1-mini",
}
"""The small model of each full one."""


def route(model: str, decisions: Decisions, *, full_asked: bool) -> str:
    """The model that answers.

    Args:
        model: the profile's or the deployment's.
        full_asked: the profile insists on its model, or the call has shown that
            it needs it.
    """
    return MINI.get(model, model) if decisions.mini_first and not full_asked else model
