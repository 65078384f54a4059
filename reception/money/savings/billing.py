"""OpenAI's rules of billing a Realtime conversation: what counts as how many tokens.

Every response is billed for the whole conversation before it. What it has in
common with the input of the response before, from the beginning on, is cached,
in steps of 64 tokens; an answer is new once, when it is first read again.

Source: OpenAI, "Managing costs" (developers.openai.com/api/docs/guides/
realtime-costs): tokens of audio and text, transcripts of answers beside their
audio, transcription, caching, truncation. Steps of 64: usage of `response.done`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

from reception.provider.base import Usage

CALLER_MS = 100
"""Of the caller's audio in a token."""

ANSWER_MS = 50
"""Of an answer's audio in a token."""

TEXT_CHARS = 4
"""Of English text in a token, about."""

ITEM_TOKENS = 2
"""Special tokens around an item: 10 tokens of text may count as 12."""

CACHE_STEP = 64
MEMORY_TOKENS = 28_224
"""A 32k model with 4,096 tokens of output: beyond this the oldest items go."""

VAD_BEFORE_MS, VAD_AFTER_MS = 300, 500
"""Silence that the provider's turn detection keeps around the caller's words:
prefix_padding_ms and silence_duration_ms. All other silence it leaves out."""


def caller_tokens(ms: int) -> int:
    """Of the caller's audio."""
    return -(-ms // CALLER_MS)


def answer_tokens(ms: int) -> int:
    """Of an answer's audio."""
    return -(-ms // ANSWER_MS)


def text_tokens(chars: int) -> int:
    """Of text, and of the words in an answer."""
    return -(-chars // TEXT_CHARS)


def in_steps(tokens: int) -> int:
    """As much of it as is cached."""
    return tokens - tokens % CACHE_STEP


@dataclass(frozen=True, slots=True)
class Item:
    """Part of the input. `number` tells those of equal size apart."""

    number: int
    text: int = 0
    audio: int = 0

    @property
    def tokens(self) -> int:
        return self.text + self.audio


class Context:
    """A conversation at the provider.

    Args:
        head_tokens: of instructions and tools.
        warm: another call has put them into the cache.
        cached: the cache works (it is best effort).
        truncate_at_tokens: as `Decisions`.
    """

    def __init__(
        self,
        head_tokens: int,
        *,
        warm: bool,
        cached: bool = True,
        truncate_at_tokens: int = 0,
        retain_percent: int = 100,
    ) -> None:
        self._head = Item(0, text=head_tokens)
        self._items: list[Item] = []
        self._made = 0
        self._cached = cached
        self._known: tuple[Item, ...] = (self._head,) if warm else ()
        self._limit = truncate_at_tokens or max(0, MEMORY_TOKENS - head_tokens)
        self._retained = self._limit * retain_percent // 100

    def add(self, *, text: int = 0, audio: int = 0) -> None:
        """An item at the end."""
        self._made += 1
        self._items.append(Item(self._made, text + ITEM_TOKENS, audio))

    def respond(self, *, text: int = 0, audio: int = 0) -> Usage:
        """A response to all that is there, with so much output. What it leaves
        in the conversation is to be added."""
        self._truncate()
        given = (self._head, *self._items)
        pairs = zip(given, self._known, strict=False)
        common = [now for now, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
        self._known = given
        cached_text, cached_audio = _cached(common) if self._cached else (0, 0)
        return Usage(
            input_text=sum(item.text for item in given),
            input_audio=sum(item.audio for item in given),
            cached_text=cached_text,
            cached_audio=cached_audio,
            output_text=text,
            output_audio=audio,
        )

    def _truncate(self) -> None:
        tokens = sum(item.tokens for item in self._items)
        if tokens <= self._limit:
            return
        while self._items and tokens > self._retained:
            tokens -= self._items.pop(0).tokens


def _cached(common: list[Item]) -> tuple[int, int]:
    """Text and audio tokens of the longest prefix that is whole steps."""
    left = in_steps(sum(item.tokens for item in common))
    text = audio = 0
    for item in common:
        text += min(left, item.text)
        left -= min(left, item.text)
        audio += min(left, item.audio)
        left -= min(left, item.audio)
    return text, audio
