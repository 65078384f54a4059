"""How long an answer may be, so that it costs no more than is held for it."""

from __future__ import annotations

from reception.money.prices import PICOS_PER_MICRO, ModelPrice
from reception.provider.base import Usage

LEAST_TOKENS = 256
"""Ten seconds: with less an answer is none."""

MOST_TOKENS = 4_096
"""The provider's own bound."""

CALLER_TOKENS = 300
"""Half a minute of the caller's speech before the next answer."""


def output_tokens(spendable_micros: int, last: Usage, price: ModelPrice) -> int:
    """The bound of the next answer's tokens: a power of two, so that it seldom changes;
    MOST_TOKENS when there is no need for one.

    Its input is taken for that of the last answer, cached as that was, with the last
    answer and the caller's words in addition.

    Args:
        spendable_micros: what is held for the call without its closing tail.
        last: the last answer.
        price: of its model.
    """
    each = max(price.audio.output, price.text.output)
    if not each:
        return MOST_TOKENS
    known = (
        (last.input_text - last.cached_text) * price.text.input
        + last.cached_text * price.text.cached
        + (last.input_audio - last.cached_audio) * price.audio.input
        + last.cached_audio * price.audio.cached
    )
    new = last.output_text * price.text.input
    new += (last.output_audio + CALLER_TOKENS) * price.audio.input
    tokens = (spendable_micros * PICOS_PER_MICRO - known - new) // each
    bound = LEAST_TOKENS
    while 2 * bound <= tokens and bound < MOST_TOKENS:
        bound *= 2
    return bound
