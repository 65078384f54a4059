"""What an answer's input is by our own count: the provider's conversation as it stands.

It is followed item by item and set right by each answer that the provider reports, so that
an estimate is off by no more than what came since.

- A session begins with instructions, tools and the conversation so far as text; what its
  first answer reads is not taken for cached.
- Each later one finds in the cache what the answer before it read; unless the provider
  said of the last such answer that it found nothing there.
- Images are as many as the provider said last: none are sent from here.
- An answer's words and audio are in the conversation afterwards; of one that was cut, what
  the provider says that it kept. Text is taken to be too much rather than too little.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from reception.money.savings.billing import (
    ITEM_TOKENS,
    answer_tokens,
    caller_tokens,
    in_steps,
    text_tokens,
)
from reception.provider.base import AddText, AddToolCall, ProviderCommand, ToolResult, Usage

_MOST = 16  # answers, and items, that are known at a time


@dataclass(frozen=True, slots=True)
class Tokens:
    """Of a conversation, or by how much it changes."""

    text: int = 0
    audio: int = 0
    image: int = 0

    def __add__(self, more: Tokens) -> Tokens:
        return Tokens(self.text + more.text, self.audio + more.audio, self.image + more.image)

    def __sub__(self, less: Tokens) -> Tokens:
        return Tokens(self.text - less.text, self.audio - less.audio, self.image - less.image)

    @property
    def all(self) -> int:
        return self.text + self.audio + self.image

    @property
    def at_least_none(self) -> Tokens:
        return Tokens(max(0, self.text), max(0, self.audio), max(0, self.image))


@dataclass(frozen=True, slots=True)
class _Answer:
    """read: its input. known: what the answer before it read, None for a session's first.
    made: its output, once it was billed. heard: tokens of its audio at most, None for all.
    unsaid: tokens of its text that are gone."""

    session: int
    read: Tokens
    known: Tokens | None
    made: Tokens | None = None
    heard: int | None = None
    unsaid: int = 0

    @property
    def left(self) -> Tokens:
        """In the conversation."""
        if self.made is None:
            return Tokens()
        audio = self.made.audio if self.heard is None else min(self.heard, self.made.audio)
        return Tokens(max(0, self.made.text - self.unsaid) + ITEM_TOKENS, audio)

    @property
    def cached(self) -> int:
        """Tokens of its input that the cache should have."""
        return in_steps(max(0, self.known.all)) if self.known else 0


@dataclass(frozen=True, slots=True)
class _Words:
    """So much text of an answer is in one item."""

    response_id: str
    chars: int


class OwnInput:
    """Plain values only: a part of the call's checkpoint.

    Args:
        head_tokens: of instructions and tools, about.
    """

    def __init__(self, head_tokens: int) -> None:
        self._head = Tokens(head_tokens)
        self._opening = Tokens()  # of the next session, after the head
        self._session = 0
        self._now = self._head
        self._last: Tokens | None = None  # what the answer read that began last
        self._cold = False
        self._answers: dict[str, _Answer] = {}
        self._items: dict[str, _Words] = {}  # of this session's answers, in order

    # ------------------------------------------------------------- what comes

    def opens(self, opening: tuple[ProviderCommand, ...]) -> None:
        """So the next session begins, if there comes to be one."""
        self._opening = Tokens(sum(map(_tokens, opening)))

    def is_up(self) -> None:
        """The next session is there."""
        self._session += 1
        self._now, self._last = self._head + self._opening, None
        self._items.clear()

    def told(self, command: ProviderCommand) -> None:
        """The session was told something."""
        self._now += Tokens(_tokens(command))

    def caller(self, audio_ms: int) -> None:
        """The provider took so much of the caller's speech as one item."""
        self._now += Tokens(ITEM_TOKENS, caller_tokens(audio_ms))

    def began(self, response_id: str) -> None:
        """An answer began: it reads the conversation up to now."""
        self._answers[response_id] = _Answer(self._session, self._now, self._last)
        self._last = self._now
        _bound(self._answers)

    def forget(self, response_id: str) -> None:
        """An answer came to nothing."""
        if response_id in self._answers:
            answer = self._answers.pop(response_id)
            if self._last == answer.read:
                self._last = answer.known

    def words(self, response_id: str, item_id: str, chars: int) -> None:
        """An item of an answer has so many characters more."""
        so_far = self._items[item_id].chars if item_id in self._items else 0
        self._items[item_id] = _Words(response_id, so_far + chars)
        _bound(self._items)

    def cut(self, item_id: str, audio_ms: int) -> None:
        """The provider has no more of an item's audio than this; without any, the item
        is gone."""
        words = self._items.get(item_id)
        answer = self._answers.get(words.response_id) if words else None
        if words is None or answer is None or answer.session != self._session:
            return
        # Of a later answer's input the cache has the item as it was, and nothing after it.
        self._last = min(self._last or answer.read, answer.read, key=lambda read: read.all)
        whose = [each.response_id for each in self._items.values()]
        heard = answer_tokens(audio_ms) if whose.count(words.response_id) == 1 else answer.heard
        unsaid = answer.unsaid + (0 if audio_ms else text_tokens(words.chars))
        self._answers[words.response_id] = cut = replace(answer, heard=heard, unsaid=unsaid)
        self._now += cut.left - answer.left

    # ------------------------------------------------------------- bills

    def expected(self, response_id: str) -> Usage:
        """What an answer should have read."""
        return self._reads(self._find(response_id))

    def next(self) -> Usage:
        """What an answer should read that began now."""
        return self._reads(_Answer(self._session, self._now, self._last))

    def _reads(self, answer: _Answer) -> Usage:
        read, known = answer.read.at_least_none, (answer.known or Tokens()).at_least_none
        cached = 0 if self._cold else answer.cached
        text = min(cached, known.text, read.text)
        image = min(cached - text, known.image, read.image)
        return Usage(
            read.text,
            read.audio,
            text,
            min(cached - text - image, read.audio),
            input_image=read.image,
            cached_image=image,
        )

    def billed(self, response_id: str, usage: Usage) -> None:
        """What an answer made is in the conversation, and what it read was so much."""
        answer = self._find(response_id)
        if answer.session != self._session:
            return
        read = Tokens(usage.input_text, usage.input_audio, usage.input_image)
        off = read - answer.read
        if answer.known is None:
            if answer.session <= 1:  # its opening was the head alone
                self._head += Tokens(off.text)
        elif answer.cached:
            self._cold = not usage.cached
        if self._last == answer.read:
            self._last = read
        made = Tokens(usage.output_text, usage.output_audio)
        self._answers[response_id] = done = replace(answer, read=read, made=made)
        self._now += off + done.left

    def _find(self, response_id: str) -> _Answer:
        if response_id not in self._answers:
            self.began(response_id)
        return self._answers[response_id]


def _tokens(command: ProviderCommand) -> int:
    """Of text, as an item of the conversation."""
    match command:
        case AddText(text=text) | ToolResult(output=text):
            return text_tokens(len(text)) + ITEM_TOKENS
        case AddToolCall(name=name, arguments=arguments):
            return text_tokens(len(name) + len(arguments)) + ITEM_TOKENS
        case _:
            return 0


def _bound(known: dict[str, Any]) -> None:
    """Forgets what nobody will ask for any more."""
    while len(known) > _MOST:
        del known[next(iter(known))]
