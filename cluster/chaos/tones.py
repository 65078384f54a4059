"""Voices that can be told apart: each call has a tone of its own, which the provider
answers in (`voice.scripted`, echo). 8 kHz mu-law, frames of 20 ms."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from actors.audio import from_linear, to_linear
from cluster.playback import FRAME_BYTES

RATE_HZ = 8_000
STEP_HZ = RATE_HZ // FRAME_BYTES  # 50: a whole number of periods in a frame
LOWEST_HZ = 900  # below, WebRTC's voice activity takes a tone for noise, once it was heard
VOICES = 40
_CLEAR = 0.8  # of a frame's power
_LOUDNESS = 10_000
_QUIET = 100.0


def voice_hz(number: int) -> int:
    """The tone of the n-th of VOICES callers."""
    return LOWEST_HZ + STEP_HZ * (number % VOICES)


@lru_cache(VOICES)
def words(hz: int, ms: int) -> bytes:
    """A tone of so many ms, mu-law."""
    at = np.arange(RATE_HZ * ms // 1000)
    wave = _LOUDNESS * np.sin(2 * np.pi * hz * at / RATE_HZ)
    return from_linear(wave.astype(np.int16), "pcmu")


@lru_cache(4096)
def tone_of(frame: bytes) -> int:
    """The tone that a frame of FRAME_BYTES is; 0 where none is clear."""
    samples = to_linear(frame, "pcmu").astype(np.float64)
    power = np.abs(np.fft.rfft(samples)) ** 2
    power[0] = 0.0
    loudest, whole = int(np.argmax(power)), float(power.sum())
    if whole < _QUIET * len(samples) or power[loudest] < _CLEAR * whole:
        return 0
    return loudest * STEP_HZ
