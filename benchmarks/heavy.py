"""What one call with every kind of heavy work costs the frames of the others.

Ten plain G.711 calls at one audio worker, alone (the baseline) and beside one call with
a linear leg at 48 kHz, resampled to the provider's 24 kHz, with full noise suppression,
automatic gain, in-band keys, local barge-in, and an Opus recording. Measured is the way
up of every plain frame, from the front door's link to the provider.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time

import numpy as np
import uvloop

from benchmarks.figures import quantile, row
from benchmarks.process import Process
from benchmarks.worker_calls import WorkerCall, worker
from reception.media.hearing import Hearing
from reception.media.leg import LegConfig
from voice.speech.callers import CALLER_RATE_HZ, caller_speech

CALLS, SECONDS, ROUNDS = 10, 8.0, 2
_STAMP = struct.Struct("!Q")
_REST = b"\xff" * (160 - _STAMP.size)
_HEAVY = LegConfig(
    "l16",
    48_000,
    20,
    False,
    hearing=Hearing("local", 200, "full", True, True),
    recording="opus",
)
_TEXT = "This is a caller who never stops to talk, whatever the receptionist may say to that."


def run() -> None:
    up: dict[bool, list[float]] = {False: [], True: []}
    with Process(worker) as process:
        for _ in range(ROUNDS):
            for heavy in up:
                up[heavy] += uvloop.run(_measure(process.address, heavy))
    row("baseline: a plain call's frame up", up[False], "ms")
    row("beside one call with all heavy work", up[True], "ms", quantile(up[False], 0.5))


async def _measure(socket: str, heavy: bool) -> list[float]:
    up_ms: list[float] = []

    def stamped() -> bytes:
        return _STAMP.pack(time.monotonic_ns()) + _REST

    def arrived(audio: bytes) -> None:
        for at in range(0, len(audio), 160):
            (sent_ns,) = _STAMP.unpack_from(audio, at)
            up_ms.append((time.monotonic_ns() - sent_ns) / 1e6)

    async with contextlib.AsyncExitStack() as stack:
        for number in range(CALLS):
            call = WorkerCall(LegConfig("pcmu", 8_000, 20, False))
            call.frame, call.on_caller = stamped, arrived
            await stack.enter_async_context(call.at(socket, f"plain{number}"))
            await asyncio.sleep(0.002)  # callers are not in step
        if heavy:
            speaker = WorkerCall(_HEAVY, "pcm24k")
            frames = _linear_frames()
            speaker.frame = lambda: frames[int(time.monotonic() / 0.02) % len(frames)]
            await stack.enter_async_context(speaker.at(socket, "heavy"))
            await speaker.say("item", b"\x10\x00" * 24_000 * int(SECONDS))
        await asyncio.sleep(1.0)
        up_ms.clear()
        await asyncio.sleep(SECONDS)
    return up_ms


def _linear_frames() -> list[bytes]:
    sound = np.frombuffer(caller_speech(_TEXT, 1), dtype="<i2")
    wide = np.repeat(sound, 48_000 // CALLER_RATE_HZ).tobytes()
    return [wide[at : at + 1_920] for at in range(0, len(wide) - 1_920, 1_920)]
