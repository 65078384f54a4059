"""Comfort noise like the caller's own background, in the spirit of G.711 appendix II.

The appendix sends level and spectrum of the noise in place of speech; here both
are learnt from the quietest frames that came, and only when noise is needed:
until then the frames are kept as they are, which costs next to nothing.
"""

from __future__ import annotations

import math
from collections import deque
from functools import cache

import numpy as np

from actors.signal.levels import Signal, to_signal
from reception.media.codecs import AudioFormat

_BLOCK_MS = 20
_KEPT_FRAMES = 10
_FIRST_FLOOR, _LEAST_FLOOR = 1e-5, 1e-8  # -50 and -80 dBov
_NEAR_FLOOR = 4.0  # up to 6 dB over the floor is noise
_RISE_PER_S = math.log(10**0.3)  # 3 dB a second


class NoiseFloor:
    """The quietest a leg has been lately, and frames that sound so.

    The floor falls at once and rises by 3 dB a second, so that a second or two
    of speech don't lift it and a noisier place is found out.
    """

    def __init__(self, format: AudioFormat) -> None:
        self.power = _FIRST_FLOOR
        self._format = format
        self._rise_per_byte = _RISE_PER_S / (format.bytes_per_ms * 1000)
        self._quiet: deque[bytes] = deque(maxlen=_KEPT_FRAMES)

    def observe(self, audio: bytes, power: float) -> None:
        """A frame came; power is its mean square. About 0.4 µs."""
        risen = self.power * (1 + self._rise_per_byte * len(audio))
        self.power = max(_LEAST_FLOOR, power if power < risen else risen)
        if power <= self.power * _NEAR_FLOOR:
            self._quiet.append(audio)

    def quiet(self) -> Signal:
        """What was near the floor, shape (samples,); empty when nothing was."""
        return to_signal(b"".join(self._quiet), self._format.name)


class ComfortNoise:
    """Endless noise with the level and spectrum of a signal.

    Args:
        model: noise to imitate, shape (samples,); of less than 20 ms: silence.
        rate_hz: its rate.
        rng: where the noise comes from.
    """

    def __init__(self, model: Signal, rate_hz: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._hop = rate_hz * _BLOCK_MS // 1000
        self._magnitudes = _magnitudes(model, self._hop)
        self._made: Signal = np.zeros(0, dtype=np.float32)
        self._tail = self._block()[self._hop :]

    def take(self, samples: int) -> Signal:
        """The next so many samples, shape (samples,)."""
        parts, have = [self._made], len(self._made)
        while have < samples:
            block = self._block()
            parts.append(self._tail + block[: self._hop])
            self._tail = block[self._hop :]
            have += self._hop
        made = np.concatenate(parts)
        self._made = made[samples:]
        return made[:samples]

    def _block(self) -> Signal:
        """Noise of two hops that fades in and out; neighbours add up evenly."""
        bins = len(self._magnitudes)
        draws = self._rng.standard_normal((bins, 2), dtype=np.float32)
        spectrum = draws.view(np.complex64)[:, 0] * self._magnitudes
        block: Signal = np.fft.irfft(spectrum, 2 * self._hop).astype(np.float32)
        return block * _fade(2 * self._hop)


@cache
def _fade(samples: int) -> Signal:
    return np.sin(math.pi * (np.arange(samples) + 0.5) / samples).astype(np.float32)


def _magnitudes(model: Signal, hop: int) -> Signal:
    """Of a spectrum of 2 * hop samples that has the model's density (Welch)."""
    size = 2 * hop
    if len(model) < hop:
        return np.zeros(hop + 1, dtype=np.float32)
    padded = np.concatenate((model, np.zeros(max(0, size - len(model)), dtype=np.float32)))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * _fade(size)
    filled = min(1.0, len(model) / size)
    density = np.mean(np.abs(np.fft.rfft(blocks)) ** 2, axis=0) / np.sum(_fade(size) ** 2) / filled
    density[0] = 0.0
    # A complex draw has power 2; half the bins stand for all of them.
    magnitudes: Signal = np.sqrt(density * size / 2).astype(np.float32)
    return magnitudes
