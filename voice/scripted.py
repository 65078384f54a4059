"""Fixed answers, set latencies, faults on demand: the engine for tests and load.

Chosen by the model name "scripted"; the query's `script` is JSON of `Script`.
It costs almost no CPU: no recognition, no synthesis, tones made once.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np

from voice.interfaces import ENGINE_RATE_HZ, CallTool, Question, Say, Turn

SCRIPTED_MODEL = "scripted"
PLAIN_HZ = 300
TONE_STEP_HZ = 50  # what the spectrum of 20 ms tells apart
_CHUNK = ENGINE_RATE_HZ * 2 // 5  # 200 ms
_TONE = re.compile(r"tone (\d+)")


@dataclass(frozen=True, slots=True)
class Fault:
    """kind: close (with code), slow (delay_s), silence, malformed or error (with
    its code), at response number `at` (1 is the first); or close `after_s`."""

    kind: str
    at: int = 0
    after_s: float = 0.0
    code: int = 1011
    delay_s: float = 0.0
    error: str = "server_error"


@dataclass(frozen=True, slots=True)
class Script:
    """answers are said in turn, for ever; answer_ms of sound each, begun
    latency_ms after the question; tool, where given, is called by every answer
    to a caller's words. With echo, the words of a caller whose voice is a tone are
    heard as "tone HZ", and answered in these words and that tone: whose answer it
    is can be told from its sound."""

    answers: tuple[str, ...] = ("Certainly.",)
    heard: str = "hello"
    answer_ms: int = 2_000
    latency_ms: int = 0
    tool: str = ""
    tool_arguments: str = "{}"
    echo: bool = False
    faults: tuple[Fault, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Script:
        """From JSON. Raises ValueError for unknown names."""
        raw: dict[str, Any] = json.loads(text)
        unknown = set(raw) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown in script: {', '.join(sorted(unknown))}")
        faults = tuple(Fault(**fault) for fault in raw.pop("faults", ()))
        if "answers" in raw:
            raw["answers"] = tuple(raw["answers"])
        return cls(faults=faults, **raw)

    def timed(self) -> tuple[Fault, ...]:
        return tuple(fault for fault in self.faults if fault.after_s > 0)


def fault_at(script: Script, response: int) -> Fault | None:
    """The fault of the n-th response."""
    return next((fault for fault in script.faults if fault.at == response), None)


@cache
def _tone(ms: int, hz: int) -> bytes:
    at = np.arange(ENGINE_RATE_HZ * ms // 1000)
    wave = 6000 * np.sin(2 * np.pi * hz * at / ENGINE_RATE_HZ)
    return wave.astype("<i2").tobytes()


def pitch_hz(pcm16: bytes, rate_hz: int) -> int:
    """The loudest tone in 16-bit samples, to TONE_STEP_HZ; 0 for no sound."""
    samples = np.frombuffer(pcm16, dtype="<i2").astype(np.float64)
    power = np.abs(np.fft.rfft(samples))
    if len(samples) < rate_hz // TONE_STEP_HZ or not power[1:].any():
        return 0
    found_hz = (1 + int(np.argmax(power[1:]))) * rate_hz / len(samples)
    return round(found_hz / TONE_STEP_HZ) * TONE_STEP_HZ


class Scripted:
    """Recognizer, synthesizer and brain of a script."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._said = 0

    async def transcribe(self, pcm16: bytes, rate_hz: int, language: str, prompt: str) -> str:
        del language, prompt
        if self._script.echo:
            return f"tone {pitch_hz(pcm16, rate_hz)}"
        return self._script.heard

    async def stream(
        self, text: str, voice: str, speed: float, language: str
    ) -> AsyncIterator[bytes]:
        del voice, speed, language
        told = _TONE.fullmatch(text) if self._script.echo else None
        sound = _tone(self._script.answer_ms, int(told[1]) if told else PLAIN_HZ)
        for at in range(0, len(sound), _CHUNK):
            yield sound[at : at + _CHUNK]

    async def answer(self, question: Question) -> AsyncIterator[Say | CallTool]:
        script = self._script
        await asyncio.sleep(script.latency_ms / 1000)
        turns = question.turns
        if script.tool and turns and turns[-1].kind == "user":
            yield CallTool(script.tool, script.tool_arguments)
            return
        told = _last_tone(turns) if script.echo else ""
        self._said += 1
        yield Say(told or script.answers[(self._said - 1) % len(script.answers)])


def _last_tone(turns: Sequence[Turn]) -> str:
    """The caller's last words, where they are a tone."""
    words = (turn.text for turn in reversed(turns) if turn.kind == "user")
    return next((text for text in words if _TONE.fullmatch(text)), "")
