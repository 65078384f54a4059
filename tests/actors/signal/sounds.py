"""Sounds for the tests: keys, noise, silence, speech."""

from __future__ import annotations

import math

import numpy as np
import pytest

from actors.signal.dtmf import HIGH_HZ, KEYS, LOW_HZ
from actors.signal.levels import Signal

FULL_SCALE_DBM0 = 3.14  # ITU-T G.711: a sine at the end of the coding
ALL_KEYS = "".join(KEYS)

SENTENCES = (
    "Good morning, I would like to move my appointment from Tuesday at ten to Thursday.",
    "Oh no, no, no. Eee, ooh, aah, the machine makes such a noise: beep, beep, wheee, whooo.",
    "My number is zero one seven nine, five five five, two three six eight.",
    "She sells sea shells by the sea shore; Peter Piper picked a peck of pickled peppers.",
)


def dbov(power: float) -> float:
    """Level of a mean square, at least -127: the bottom of RFC 6464's scale."""
    return max(-127.0, 10 * math.log10(power)) if power > 0 else -127.0


def frequencies(key: str) -> tuple[float, float]:
    row = next(at for at, keys in enumerate(KEYS) if key in keys)
    return LOW_HZ[row], HIGH_HZ[KEYS[row].index(key)]


def press(
    key: str,
    ms: float = 60,
    *,
    dbm0: tuple[float, float] = (-10, -10),
    off_hz: tuple[float, float] = (0, 0),
    rate_hz: int = 8_000,
    phase: float = 0.7,
) -> Signal:
    """The tones of a key; levels and errors of its low and its high one."""
    at_s = np.arange(round(rate_hz * ms / 1000)) / rate_hz
    tones = [
        10 ** ((level - FULL_SCALE_DBM0) / 20) * np.sin(2 * np.pi * (hz + off) * at_s + turn)
        for hz, level, off, turn in zip(
            frequencies(key), dbm0, off_hz, (phase, 2.1 * phase), strict=True
        )
    ]
    both: Signal = np.sum(tones, axis=0).astype(np.float32)
    return both


def silence(ms: float, rate_hz: int = 8_000) -> Signal:
    return np.zeros(round(rate_hz * ms / 1000), dtype=np.float32)


def noise(samples: int, dbov: float, seed: int = 1) -> Signal:
    draws = np.random.default_rng(seed).standard_normal(samples, dtype=np.float32)
    return draws * np.float32(10 ** (dbov / 20))


def speech(text: str, voice: int) -> Signal:
    """A sentence of one of four callers, 8 kHz, at the usual -26 dBov."""
    pytest.importorskip("py_nanotts", reason="the extra `embedded` is not installed")
    from voice.speech.callers import caller_speech

    sound = np.frombuffer(caller_speech(text, voice), dtype="<i2").astype(np.float32)
    return sound * np.float32(10 ** (-26 / 20) / np.sqrt(np.mean(sound**2)))


def every_speech() -> Signal:
    return np.concatenate([speech(text, voice) for text in SENTENCES for voice in range(4)])
