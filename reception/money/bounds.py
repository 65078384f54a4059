"""How long an answer may be, by the time that it takes to speak."""

from __future__ import annotations

import math

from reception.money.savings import billing

LEAST_TOKENS = 256
"""Ten seconds: with less an answer is none."""

MOST_TOKENS = 4_096
"""The provider's own bound."""

CALLER_TOKENS = 300
"""Half a minute of the caller's speech before the next answer."""

WORDS_PER_S = 2.5
"""Of speech: 150 words a minute, the middle of what is usual in English conversation."""

TOKENS_PER_WORD = 1.3
"""Of English text: OpenAI, "What are tokens and how to count them?", 100 tokens are about
75 words."""

FUNCTION_TOKENS = 200
"""Of a function call: a message of a hundred words, with name and number. It is text
whatever answers are, and is lost if it is cut."""


def tokens_to_say(seconds: int, *, text: bool) -> int:
    """The bound of an answer that takes so long to speak; 0 for 0, any length.

    Args:
        text: it comes as text, else as sound with its words beside it. A function call
            fits in any case, so that text has a minute at least.
    """
    if not seconds:
        return 0
    words = math.ceil(seconds * WORDS_PER_S * TOKENS_PER_WORD)
    sound = 0 if text else billing.answer_tokens(1_000 * seconds)
    return min(max(sound + words, FUNCTION_TOKENS), MOST_TOKENS)
