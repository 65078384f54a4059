"""How long a call's next answer may be, so that it and those not billed yet cost no more
than is held for them.

The ledger says what a call may spend as it bills an answer. An answer that is asked for
before that has come must leave what the others may cost: until it ends its bound and what
it reads, then what it used, until that is billed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from reception.money.bounds import CALLER_TOKENS, LEAST_TOKENS, MOST_TOKENS
from reception.money.prices import PICOS_PER_MICRO, TokenPrice
from reception.provider.base import Usage

NONE = 1
"""Token: an answer that begins now is none, since there is no money for it."""

_MOST_OWED = 100


@dataclass(frozen=True, slots=True)
class Means:
    """What a call may spend, as the ledger said.

    Attributes:
        spendable_micros: what is held for it without its closing tail.
        text, audio, image: prices of the model that answers next; what is made costs something.
        number: rises from one to the next.
        binding: False where calls go on although nothing can be billed.
    """

    spendable_micros: int
    text: TokenPrice
    audio: TokenPrice
    number: int = 0
    binding: bool = True
    image: TokenPrice = field(default_factory=TokenPrice)

    def reading(self, reads: Usage) -> int:
        """Pico-dollars of an answer's input."""
        return (
            (reads.input_text - reads.cached_text) * self.text.input
            + reads.cached_text * self.text.cached
            + (reads.input_audio - reads.cached_audio) * self.audio.input
            + reads.cached_audio * self.audio.cached
            + (reads.input_image - reads.cached_image) * self.image.input
            + reads.cached_image * self.image.cached
        )

    @property
    def each(self) -> int:
        """Pico-dollars of a token that is made, at most."""
        return max(self.text.output, self.audio.output)

    def cost(self, usage: Usage) -> int:
        """Pico-dollars of an answer."""
        made = usage.output_text * self.text.output + usage.output_audio * self.audio.output
        return self.reading(usage) + made

    def once_more(self, reads: Usage) -> int:
        """Pico-dollars of the input of the answer after one that read so much, where nothing
        comes in addition but half a minute of the caller."""
        cached = replace(
            reads,
            cached_text=reads.input_text,
            cached_audio=reads.input_audio,
            cached_image=reads.input_image,
        )
        return self.reading(cached) + CALLER_TOKENS * self.audio.input

    def least(self, last: Usage) -> int:
        """Micro-dollars of the shortest answer after the `last` one, and of the beginning of
        one more."""
        new = last.output_text * self.text.input
        new += (last.output_audio + CALLER_TOKENS) * self.audio.input
        picos = self.reading(last) + new + LEAST_TOKENS * self.each + self.once_more(last)
        return -(-picos // PICOS_PER_MICRO)


class Allowance:
    """Plain values only: a part of the call's checkpoint."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._making: dict[str, tuple[Usage, int]] = {}  # what it reads, and its bound
        self._owed: dict[str, Usage] = {}

    def told(self, means: Means, response_id: str) -> None:
        """An answer was billed; what the ledger said comes in any order."""
        self._owed.pop(response_id, None)
        if means.number >= self._means.number:
            self._means = means

    def began(self, response_id: str, reads: Usage, most: int) -> None:
        """An answer is being made, of so many tokens at most."""
        self._making[response_id] = reads, most

    def ended(self, response_id: str, usage: Usage | None) -> None:
        """Nothing more of it is made; `usage` is to be billed, None for nothing."""
        self._making.pop(response_id, None)
        if usage is not None:
            self._owed[response_id] = usage
            if len(self._owed) > _MOST_OWED:
                del self._owed[next(iter(self._owed))]

    def lost(self) -> None:
        """The provider's session is gone with all that was being made."""
        self._making.clear()

    @property
    def owing(self) -> bool:
        """Something is being made, or not billed yet: there may be more once it is."""
        return bool(self._making or self._owed)

    def tokens(self, reads: Usage) -> int:
        """The bound of an answer that begins now: a power of two, so that it seldom
        changes; 0 when there is no need for one, NONE where LEAST_TOKENS are too many.

        Beside it there is room for another that is cut off as it begins.

        Args:
            reads: the conversation as it is; half a minute of the caller, and what is
                being made, comes in addition.
        """
        means = self._means
        new = CALLER_TOKENS + sum(most for _, most in self._making.values())
        read = means.reading(replace(reads, input_audio=reads.input_audio + new))
        left = means.spendable_micros * PICOS_PER_MICRO - read - means.once_more(reads)
        left -= sum(means.reading(of) + most * means.each for of, most in self._making.values())
        left -= sum(map(means.cost, self._owed.values()))
        return _in_steps(left // means.each, means.binding)


def _in_steps(tokens: int, binding: bool) -> int:
    if tokens < LEAST_TOKENS:
        return NONE if binding else LEAST_TOKENS
    bound = LEAST_TOKENS
    while 2 * bound <= tokens and bound < MOST_TOKENS:
        bound *= 2
    return bound if bound < MOST_TOKENS else 0
