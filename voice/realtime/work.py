"""What a session asks the shell around it to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from voice.interfaces import Question
from voice.realtime.response import Response


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Recognise this item's sound, 16-bit samples at 8 kHz."""

    item_id: str
    pcm16: bytes
    language: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Make this response. `question()` gives what to answer, once the words of
    the caller are known."""

    response: Response
    question: Callable[[], Question]
    voice: str
    speed: float
    language: str


@dataclass(frozen=True, slots=True)
class StopAnswer:
    """The response that is being made is not wanted any more."""


Work = Transcribe | Answer | StopAnswer
