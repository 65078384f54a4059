"""What a call would have cost: from what was billed, and what was left out.

Works on real calls as on simulated ones. What can't be known is not claimed: how
long an answer would have been without being asked for a shorter one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from reception.money.prices import PriceTable
from reception.money.savings.billing import (
    answer_tokens,
    caller_tokens,
    in_steps,
    text_tokens,
)
from reception.provider.base import Usage

_NOTHING = Usage()


class Measure(StrEnum):
    """What was done to save, in the order in which it is credited."""

    STABLE_PROMPT = "stable prompt"
    PHRASES = "phrases from files"
    SILENCE = "silence not sent"
    TEXT = "answers as text"
    ROUTING = "smaller model"


@dataclass(frozen=True, slots=True)
class Answered:
    """One response, or one that was not needed.

    Attributes:
        model: that answered. asked_model: that would have.
        usage: as billed; empty where a file was played instead.
        silence_ms: of the caller's turn before it, which the provider's turn
            detection would have kept, and was not sent.
        phrase_ms, phrase_chars: a file that was played instead of the model's
            voice.
        spoken_ms: of an answer in text, spoken here (as if to its end).
        heard_ms: as much of it as was heard, if the caller spoke into it.
    """

    model: str
    asked_model: str
    usage: Usage = _NOTHING
    silence_ms: int = 0
    phrase_ms: int = 0
    phrase_chars: int = 0
    spoken_ms: int = 0
    heard_ms: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Micro-dollars of a call's responses; transcription is not in it, nor does
    any measure change much of it. `saved` says what each measure saved, the
    others that come before it undone."""

    actual_micros: int
    would_be_micros: int
    saved: dict[Measure, int]


def compare(
    answered: Sequence[Answered], head_tokens: int, prices: PriceTable, at_s: float
) -> Comparison:
    """What `answered` cost, and would have cost with nothing saved.

    Args:
        head_tokens: of instructions and tools.
        at_s: UNIX time at which prices are taken.

    Raises:
        InvalidRequest: a model has no price.
    """
    actual = total = _cost(answered, head_tokens, frozenset(), prices, at_s)
    undone: frozenset[Measure] = frozenset()
    saved = {}
    for measure in Measure:
        undone |= {measure}
        without = _cost(answered, head_tokens, undone, prices, at_s)
        saved[measure] = without - total
        total = without
    return Comparison(actual, total, saved)


def _cost(
    answered: Sequence[Answered],
    head_tokens: int,
    undone: frozenset[Measure],
    prices: PriceTable,
    at_s: float,
) -> int:
    """The whole call with some measures undone."""
    real = [each.usage for each in answered if each.usage != _NOTHING]
    # without a sign of the contrary, which claims less
    works = all(usage.cached for usage in real[1:])
    micros = 0
    old = recent = 0  # audio tokens that would be in the conversation: read before, and new
    first, greeted = True, False
    for each in answered:
        usage = each.usage
        phrase_ms = each.phrase_ms if Measure.PHRASES in undone else 0
        if usage == _NOTHING:
            if not phrase_ms:
                continue
            cold = Measure.STABLE_PROMPT in undone or not works
            usage = Usage(input_text=head_tokens)
            usage = usage if cold else replace(usage, cached_text=in_steps(head_tokens))
            greeted = True
        elif greeted and works:
            # the greeting would have put instructions and tools into the cache
            usage = replace(usage, cached_text=max(usage.cached_text, in_steps(head_tokens)))
            greeted = False
        elif first and Measure.STABLE_PROMPT in undone:
            usage = replace(usage, cached_text=0, cached_audio=0, cached_image=0)
        first = False
        recent += caller_tokens(each.silence_ms) if Measure.SILENCE in undone else 0
        spoken_ms = each.spoken_ms if Measure.TEXT in undone else 0
        usage = replace(
            usage,
            input_audio=usage.input_audio + old + recent,
            cached_audio=usage.cached_audio + (old if works and usage.cached_text else 0),
            output_audio=usage.output_audio + answer_tokens(spoken_ms + phrase_ms),
            output_text=usage.output_text + (text_tokens(each.phrase_chars) if phrase_ms else 0),
        )
        old += recent
        recent = answer_tokens((each.heard_ms if spoken_ms else 0) or spoken_ms + phrase_ms)
        model = each.asked_model if Measure.ROUTING in undone else each.model
        micros += prices.cost(usage, model, at_s)
    return micros
