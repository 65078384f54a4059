"""The three parts behind the embedded engine: ears, voice and brain."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

ENGINE_RATE_HZ = 24_000
_EXACTLY = re.compile(r'Say exactly: "((?:[^"\\]|\\.)*)"')


class Recognizer(Protocol):
    """Speech to text."""

    async def transcribe(self, pcm16: bytes, rate_hz: int, language: str, prompt: str) -> str:
        """The words in `pcm16` (16-bit little-endian mono); "" when there are none.

        prompt: words to expect, "" for none.
        """
        ...


class Synthesizer(Protocol):
    """Text to speech."""

    def stream(self, text: str, voice: str, speed: float, language: str) -> AsyncIterator[bytes]:
        """Sound of `text`, 16-bit little-endian mono at ENGINE_RATE_HZ, sentence
        by sentence. Closing the iterator stops the work."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """One item of the conversation as the brain sees it.

    kind: "user", "assistant", "system" (then `text`), "tool_call" (then `name`,
    `arguments` JSON text, `call_id`) or "tool_result" (then `call_id`, `text`
    the tool's JSON output).
    """

    kind: str
    text: str = ""
    name: str = ""
    arguments: str = ""
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Say:
    """The answer's next words."""

    text: str


@dataclass(frozen=True, slots=True)
class CallTool:
    """The answer calls a function; `arguments` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Question:
    """What the brain is asked: answer this conversation.

    `instructions` are the session's; `override` those of this one response
    (response.create), "" when it has none. `tools` are the session's tool
    objects as the client sent them.
    """

    instructions: str
    override: str
    turns: Sequence[Turn]
    tools: Sequence[dict[str, Any]] = field(default_factory=tuple)
    language: str = "en"

    @property
    def exactly(self) -> str:
        """The very words that are asked for, by Say exactly: "..." in `override` or in a
        system item at the end; "" when the brain is to find its own."""
        last = self.turns[-1] if self.turns else Turn("user")
        asked = _EXACTLY.search(self.override or (last.text if last.kind == "system" else ""))
        return re.sub(r"\\(.)", r"\1", asked.group(1)) if asked else ""


class Brain(Protocol):
    """Decides what the receptionist says and does."""

    def answer(self, question: Question) -> AsyncIterator[Say | CallTool]:
        """The answer, piece by piece."""
        ...
