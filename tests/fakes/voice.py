"""Ears, voice and brain whose every word the test decides, and a caller's sound."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import numpy as np

from voice.interfaces import ENGINE_RATE_HZ, CallTool, Question, Say

MS_PER_CHARACTER = 50


class FakeRecognizer:
    """Gives the prepared transcripts in turn; then "hello"."""

    def __init__(self) -> None:
        self.transcripts: deque[str] = deque()
        self.heard: list[tuple[int, int, str]] = []  # (bytes, rate_hz, language)
        self.prompts: list[str] = []
        self.failure: Exception | None = None
        self.let_through = asyncio.Event()
        self.let_through.set()
        self.called = asyncio.Event()

    async def transcribe(self, pcm16: bytes, rate_hz: int, language: str, prompt: str) -> str:
        self.heard.append((len(pcm16), rate_hz, language))
        self.prompts.append(prompt)
        self.called.set()
        await self.let_through.wait()
        if self.failure is not None:
            raise self.failure
        return self.transcripts.popleft() if self.transcripts else "hello"


class FakeSynthesizer:
    """A 440 Hz tone of MS_PER_CHARACTER for each character, in two pieces."""

    def __init__(self) -> None:
        self.spoken: list[tuple[str, str, float, str]] = []
        self.second_piece = asyncio.Event()
        self.second_piece.set()
        self.closed = 0
        self.failure: Exception | None = None

    async def stream(
        self, text: str, voice: str, speed: float, language: str
    ) -> AsyncIterator[bytes]:
        self.spoken.append((text, voice, speed, language))
        if self.failure is not None:
            raise self.failure
        samples = round(len(text) * MS_PER_CHARACTER * ENGINE_RATE_HZ / 1000 / speed)
        tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(samples) / ENGINE_RATE_HZ)).astype("<i2")
        try:
            yield tone[: samples // 2].tobytes()
            await self.second_piece.wait()
            yield tone[samples // 2 :].tobytes()
        finally:
            self.closed += 1


class FakeBrain:
    """Gives the prepared answers in turn; then says "ok"."""

    def __init__(self) -> None:
        self.answers: deque[list[Say | CallTool]] = deque()
        self.asked: list[Question] = []
        self.failure: Exception | None = None

    async def answer(self, question: Question) -> AsyncIterator[Say | CallTool]:
        self.asked.append(question)
        if self.failure is not None:
            raise self.failure
        for part in self.answers.popleft() if self.answers else [Say("ok")]:
            yield part


def speech(ms: int, rate_hz: int = 24_000, level: int = 9_000) -> bytes:
    """A voice-like sound (130 Hz, two formants), 16-bit little-endian mono."""
    t = np.arange(rate_hz * ms // 1000) / rate_hz
    phase = 2 * np.pi * np.cumsum(130 * (1 + 0.05 * np.sin(2 * np.pi * 3 * t))) / rate_hz
    sound = np.zeros(len(t))
    for harmonic in range(1, 27):
        hz = 130 * harmonic
        weight = np.exp(-(((hz - 500) / 400) ** 2)) + 0.5 * np.exp(-(((hz - 1500) / 300) ** 2))
        sound += weight * np.sin(harmonic * phase)
    samples: bytes = (sound / np.abs(sound).max() * level).astype("<i2").tobytes()
    return samples


def silence(ms: int, rate_hz: int = 24_000) -> bytes:
    return bytes(rate_hz * ms // 1000 * 2)
