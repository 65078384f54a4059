"""Synthesis: SVOX Pico in a process of its own, and its client."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
import soxr

from reception.speech_frames import Head
from voice.interfaces import ENGINE_RATE_HZ
from voice.speech import wire
from voice.speech.text import sentences, speakable

PICO_RATE_HZ = 16_000
CACHE_BYTES = 32 * 1024 * 1024
_CHUNK_BYTES = ENGINE_RATE_HZ * 2 // 2  # half a second


@dataclass(frozen=True, slots=True)
class PicoVoice:
    """A Pico language and how it is bent; pitch and speed 1.0 are its own."""

    language: str
    pitch: float = 1.0
    speed: float = 1.0


VOICES = {
    "marin": PicoVoice("en-GB", 1.0, 1.0),
    "cedar": PicoVoice("en-US", 0.8, 1.0),
    "alloy": PicoVoice("en-US", 1.0, 1.0),
    "ash": PicoVoice("en-GB", 0.75, 1.0),
    "ballad": PicoVoice("en-GB", 0.85, 0.95),
    "coral": PicoVoice("en-US", 1.15, 1.0),
    "echo": PicoVoice("en-US", 0.7, 1.0),
    "sage": PicoVoice("en-GB", 1.15, 1.0),
    "shimmer": PicoVoice("en-GB", 1.3, 1.0),
    "verse": PicoVoice("en-US", 0.9, 1.05),
}
_LANGUAGES = {"de": "de-DE", "fr": "fr-FR", "es": "es-ES", "it": "it-IT"}
LANGUAGES = frozenset({"en", *_LANGUAGES})


def pico(text: str, voice: PicoVoice, speed: float = 1.0) -> bytes:
    """Sound of a text, 16-bit samples at PICO_RATE_HZ. Blocks."""
    from py_nanotts import NanoTTS  # noqa: PLC0415 - the extra `embedded`

    sound: bytes = NanoTTS().speak(
        speakable(text),
        voice=voice.language,
        speed=voice.speed * speed,
        pitch=voice.pitch,
    )
    return sound


def voice_for(name: str, language: str) -> PicoVoice:
    """The Pico voice that stands for a name; unknown names get the first one."""
    voice = VOICES.get(name, VOICES["marin"])
    if language in _LANGUAGES:
        return PicoVoice(_LANGUAGES[language], voice.pitch, voice.speed)
    return voice


class SynthesizerActor:
    """Serves synthesis at a Unix socket, sentence by sentence, with a cache."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(1)
        self._server: asyncio.Server | None = None
        self._stopped = asyncio.Event()
        self._cache: OrderedDict[tuple[str, PicoVoice, float], bytes] = OrderedDict()
        self._cached_bytes = 0

    async def start(self) -> int:
        """Warms up and serves; returns the process id."""
        await asyncio.get_running_loop().run_in_executor(
            self._pool, self._speak, "Good day.", VOICES["marin"], 1.0
        )
        self._server = await wire.serve(self._path, self._handle)
        return os.getpid()

    async def until_stopped(self) -> None:
        """Comes back once it serves no more."""
        await self._stopped.wait()

    async def stop(self) -> None:
        """Serves no more; what is being worked on is finished."""
        self._stopped.set()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        await asyncio.to_thread(self._pool.shutdown)

    async def _handle(self, head: Head, sound: bytes) -> AsyncIterator[tuple[Head, bytes]]:
        del sound
        loop = asyncio.get_running_loop()
        voice = voice_for(head["voice"], head["language"])
        for sentence in sentences(head["text"]):
            spoken = await loop.run_in_executor(
                self._pool, self._speak, sentence, voice, head["speed"]
            )
            for at in range(0, len(spoken), _CHUNK_BYTES):
                yield {}, spoken[at : at + _CHUNK_BYTES]

    def _speak(self, sentence: str, voice: PicoVoice, speed: float) -> bytes:
        key = (sentence, voice, speed)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        raw = np.frombuffer(pico(sentence, voice, speed), dtype="<i2")
        samples = soxr.resample(raw, PICO_RATE_HZ, ENGINE_RATE_HZ)
        spoken: bytes = samples.astype("<i2").tobytes()
        self._cache[key] = spoken
        self._cached_bytes += len(spoken)
        while self._cached_bytes > CACHE_BYTES:
            self._cached_bytes -= len(self._cache.popitem(last=False)[1])
        return spoken


class RemoteSynthesizer:
    """`Synthesizer` over the socket of a synthesis process."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def stream(
        self, text: str, voice: str, speed: float, language: str
    ) -> AsyncIterator[bytes]:
        """Raises Unavailable or LimitReached (`wire.request`)."""
        head = {"text": text, "voice": voice, "speed": speed, "language": language}
        # it is an async generator
        async with aclosing(wire.request(self._path, head)) as answers:  # type: ignore[type-var]
            async for _, sound in answers:
                yield sound
