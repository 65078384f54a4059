"""Recognition: whisper in a process of its own, and its client."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from reception.speech_frames import Head
from voice.speech import models, wire

_RATE_HZ = 16_000
_QUIET = 0.003  # of full scale: below it there are no words, whatever whisper imagines
_IMAGINED = re.compile(
    r"^(?:\W*|thank you(?: for watching| very much)?[.!]?|you[.]?|bye[.]?|\(.*\)|\[.*\])$", re.I
)
_SHORT_S = 0.5
PROMPT = "A telephone call to a company's reception."


class WhisperEngine:
    """faster-whisper on one thread or two; not thread-safe, one call at a time."""

    def __init__(self, model: str = models.PACKAGED, threads: int = 2) -> None:
        from faster_whisper import WhisperModel  # noqa: PLC0415 - heavy, in this process only

        self._model: Any = WhisperModel(
            models.locate(model), device="cpu", compute_type="int8", cpu_threads=threads
        )

    def transcribe(self, pcm16: bytes, rate_hz: int, language: str, prompt: str) -> str:
        """The words in 16-bit samples; "" when there are none."""
        samples: NDArray[np.float32] = np.frombuffer(pcm16, dtype="<i2").astype(np.float32)
        samples /= np.float32(32768)
        if len(samples) == 0 or float(np.sqrt(np.mean(samples**2))) < _QUIET:
            return ""
        if rate_hz != _RATE_HZ:
            samples = soxr.resample(samples, rate_hz, _RATE_HZ)
        segments, _ = self._model.transcribe(
            samples,
            language=language,
            beam_size=1,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
            initial_prompt=prompt or PROMPT,
            vad_filter=False,
        )
        text = " ".join(segment.text.strip() for segment in segments).strip()
        short = len(samples) < _SHORT_S * _RATE_HZ
        return "" if short and _IMAGINED.match(text) else text


class RecognizerActor:
    """Serves recognition at a Unix socket; one utterance at a time."""

    def __init__(self, path: str, model: str = models.PACKAGED, threads: int = 2) -> None:
        self._path, self._settings = path, (model, threads)
        # Half a second of computing can wait for the frames of live calls.
        self._pool = ThreadPoolExecutor(1, initializer=os.nice, initargs=(10,))
        self._engine: WhisperEngine | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Loads the model, warms it up and serves; returns the process id."""
        loop = asyncio.get_running_loop()
        self._engine = await loop.run_in_executor(self._pool, WhisperEngine, *self._settings)
        noise = (np.random.default_rng(1).normal(0, 2000, 16_000)).astype("<i2").tobytes()
        await loop.run_in_executor(self._pool, self._engine.transcribe, noise, _RATE_HZ, "en", "")
        self._server = await wire.serve(self._path, self._handle)
        return os.getpid()

    async def stop(self) -> None:
        """Serves no more; what is being worked on is finished."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        await asyncio.to_thread(self._pool.shutdown)

    async def _handle(self, head: Head, sound: bytes) -> AsyncIterator[tuple[Head, bytes]]:
        assert self._engine is not None
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(
            self._pool,
            self._engine.transcribe,
            sound,
            head["rate_hz"],
            head["language"],
            head["prompt"],
        )
        yield {"text": text}, b""


class RemoteRecognizer:
    """`Recognizer` over the sockets of recognition processes, taken in turn."""

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths
        self._next = 0

    async def transcribe(self, pcm16: bytes, rate_hz: int, language: str, prompt: str) -> str:
        """Raises Unavailable or LimitReached (`wire.request`)."""
        path = self._paths[self._next % len(self._paths)]
        self._next += 1
        head = {"rate_hz": rate_hz, "language": language, "prompt": prompt}
        # it is an async generator
        async with aclosing(wire.request(path, head, pcm16)) as answers:  # type: ignore[type-var]
            async for answer, _ in answers:
                return str(answer["text"])
        return ""
