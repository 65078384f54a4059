"""Sounds for tests: a voice, noise; 16-bit samples, shape (samples,)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 32768


def noise(rng: np.random.Generator, samples: int, level_dbov: float) -> NDArray[np.float64]:
    sound: NDArray[np.float64] = rng.normal(0, FULL_SCALE * 10 ** (level_dbov / 20), samples)
    return sound


def voice(
    rate_hz: int, seconds: float, level_dbov: float, pitch_hz: float = 120.0
) -> NDArray[np.float64]:
    """A vowel: harmonics of a gliding pitch under three formants, in syllables of
    250 ms with gaps of 50 ms; its level is that of the syllables."""
    at_s = np.arange(int(rate_hz * seconds)) / rate_hz
    pitch = pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * at_s))
    phase = 2 * np.pi * np.cumsum(pitch) / rate_hz
    sound = np.zeros_like(at_s)
    for harmonic in range(1, int(3_400 / pitch_hz)):
        hz = harmonic * pitch_hz
        formants = sum(
            strength / (1 + ((hz - centre) / 90) ** 2)
            for centre, strength in ((600, 1.0), (1_200, 0.6), (2_500, 0.3))
        )
        sound += (formants + 0.01) * np.sin(harmonic * phase)
    in_syllable = at_s % 0.3
    rise = np.clip(np.minimum(in_syllable, 0.25 - in_syllable) / 0.02, 0, 1)
    loud = rise == 1
    sound *= rise
    sound *= FULL_SCALE * 10 ** (level_dbov / 20) / np.sqrt(np.mean(sound[loud] ** 2))
    return sound


def pcm(sound: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.clip(np.round(sound), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def frames(samples: NDArray[np.int16], rate_hz: int, ms: int = 20) -> list[NDArray[np.int16]]:
    size = rate_hz * ms // 1000
    return [samples[at : at + size] for at in range(0, len(samples) - size + 1, size)]
