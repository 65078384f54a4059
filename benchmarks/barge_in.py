"""How soon the receptionist stops when a caller talks over her.

Ten calls at once at one audio worker. Times are those of the last frame of the answer
that reaches the front door: from the caller's first frame of speech where the worker
decides (`barge_in: local`), from the provider's event where the provider does. The
baseline is how long a frame of the answer takes through the worker.
"""

from __future__ import annotations

import asyncio
import random
import time

import numpy as np
import uvloop

from actors.audio import from_linear
from benchmarks.figures import quantile, row
from benchmarks.process import Process
from benchmarks.worker_calls import WorkerCall, worker
from reception.media.hearing import BargeInBy, Hearing
from reception.media.leg import LegConfig
from voice.speech.callers import caller_speech

CALLS, ROUNDS = 10, 10
FRAME = 160
SILENCE = b"\xff" * FRAME
QUIET_S = 1.0  # between two interruptions
PATIENCE_S = 1.5
_ANSWER = "Our opening hours are from nine to six on weekdays, and from ten to two on Saturdays."
_INTERRUPTIONS = ("No, wait a moment please.", "Hold on, I meant something else.", "Excuse me!")


def run() -> None:
    answer = b"".join(_spoken(_ANSWER, 0))
    words = [_spoken(text, voice) for voice, text in enumerate(_INTERRUPTIONS, start=1)]
    with Process(worker) as process:
        by: BargeInBy
        for by in ("provider", "local"):
            calls = [_Interrupted(by, answer, words[n % len(words)]) for n in range(CALLS)]
            uvloop.run(_measure(process.address, calls))
            took = [value for call in calls for value in call.took_ms]
            down = [value for call in calls for value in call.down_ms]
            if by == "provider":
                row("baseline: a frame of the answer", down, "ms")
            row(f"until the last frame, {by} decides", took, "ms", quantile(down, 0.5))
            print(f"  {sum(call.missed for call in calls)} of {CALLS * ROUNDS} were not cut")


def _spoken(text: str, voice: int) -> list[bytes]:
    """Mu-law frames from the first sound on."""
    sound = np.frombuffer(caller_speech(text, voice), dtype="<i2")
    begin = int(np.argmax(np.abs(sound.astype(np.int32)) > 1_000))
    audio = from_linear(sound[begin:], "pcmu")
    return [audio[at : at + FRAME] for at in range(0, len(audio) - FRAME, FRAME)]


async def _measure(socket: str, calls: list[_Interrupted]) -> None:
    await asyncio.gather(*(call.run(socket, str(number)) for number, call in enumerate(calls)))


class _Interrupted:
    """A call whose caller interrupts ROUNDS times."""

    def __init__(self, by: BargeInBy, answer: bytes, words: list[bytes]) -> None:
        self.took_ms: list[float] = []
        self.down_ms: list[float] = []
        self.missed = 0
        self._by, self._answer, self._words = by, answer, words
        self._speaks: list[bytes] = []
        self._began_s = self._last_s = 0.0
        self._cleared, self._heard = asyncio.Event(), asyncio.Event()

    async def run(self, socket: str, name: str) -> None:
        call = WorkerCall(LegConfig("pcmu", 8_000, 20, False, hearing=Hearing(barge_in=self._by)))
        call.frame, call.on_answer, call.on_clear = self._frame, self._on_answer, self._cleared.set
        async with call.at(socket, f"{self._by}{name}"):
            for number in range(ROUNDS):
                self._heard.clear()
                self._cleared.clear()
                await call.say(f"item{number}", self._answer)
                await self._heard.wait()
                await asyncio.sleep(random.uniform(0.5, 1.5))
                await self._interrupt(call)
                self._speaks = []
                await asyncio.sleep(QUIET_S)

    async def _interrupt(self, call: WorkerCall) -> None:
        if self._by == "local":
            self._speaks = list(self._words)
        else:
            self._began_s = time.monotonic()
            await call.send("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._cleared.wait()
        except TimeoutError:
            self.missed += 1
        else:
            self.took_ms.append(max(0.0, self._last_s - self._began_s) * 1000)

    def _frame(self) -> bytes:
        if not self._speaks:
            return SILENCE
        if len(self._speaks) == len(self._words):
            self._began_s = time.monotonic()
        return self._speaks.pop(0)

    def _on_answer(self, stamp_ns: int) -> None:
        self._last_s = time.monotonic()
        self._heard.set()
        if stamp_ns:
            self.down_ms.append((time.monotonic_ns() - stamp_ns) / 1e6)
