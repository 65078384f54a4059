"""Streaming rate conversion of speech, with a lag that is known.

`Polyphase` filters as a converter must (what is above half of the lower rate would
come back as whistling); its lag is half its window. soxr's QQ has no lag and no
filter; its better qualities come 25 to 60 ms late, which a conversation can't wait for.
"""

from __future__ import annotations

from functools import cache
from math import gcd
from typing import Any, Protocol

import numpy as np
import soxr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from reception.media.adaptation import Resampler

Samples = NDArray[np.int16]

_WINDOW_MS = {Resampler.HIGH: 5, Resampler.MEDIUM: 2}
_KAISER_BETA = {Resampler.HIGH: 7.0, Resampler.MEDIUM: 4.0}
# Where the filter is 6 dB down, of half the lower rate: the narrower the window the
# wider the fall, and the telephone's band (to 3.4 of 4 kHz) is to stay whole.
_CUTOFF = {Resampler.HIGH: 0.94, Resampler.MEDIUM: 0.97}


class RateConverter(Protocol):
    """A stream of samples at another rate, `lag_ms` later."""

    @property
    def lag_ms(self) -> float: ...

    def process(self, samples: Samples) -> Samples:
        """The next ones; how many may differ by one from time to time."""


def rate_converter(source_hz: int, target_hz: int, quality: Resampler) -> RateConverter:
    """From one rate to another."""
    if quality is Resampler.LOW:
        return _Quick(source_hz, target_hz)
    return Polyphase(source_hz, target_hz, quality)


class _Quick:
    lag_ms = 0.2

    def __init__(self, source_hz: int, target_hz: int) -> None:
        self._stream: Any = soxr.ResampleStream(
            source_hz, target_hz, 1, dtype="int16", quality="QQ"
        )

    def process(self, samples: Samples) -> Samples:
        converted: Samples = self._stream.resample_chunk(samples)
        return converted


class Polyphase:
    """A windowed-sinc filter at `up` times the source rate, of which every
    `down`th value is made.

    Args:
        source_hz: of the samples given.
        target_hz: of those that come out.
        quality: HIGH (5 ms window, 70 dB) or MEDIUM (2 ms, 45 dB).
    """

    def __init__(self, source_hz: int, target_hz: int, quality: Resampler) -> None:
        common = gcd(source_hz, target_hz)
        self._up, self._down = target_hz // common, source_hz // common
        self._bank = _bank(self._up, self._down, source_hz, quality)
        self._taps = self._bank.shape[1]
        self._before = np.zeros(self._taps - 1, dtype=np.float32)
        self._next = 0  # where the next value lies, in `up`ths of a sample
        self.lag_ms = (self._taps * self._up - 1) / 2 / (source_hz * self._up) * 1000

    def process(self, samples: Samples) -> Samples:
        if not len(samples):
            return samples
        heard = np.concatenate([self._before, samples])  # float32
        self._before = heard[len(samples) :]
        windows = sliding_window_view(heard, self._taps)
        if self._down == 1:
            out: NDArray[np.float32] = (np.ascontiguousarray(windows) @ self._bank.T).ravel()
        else:
            out = self._every_down(windows, len(samples) * self._up)
        return np.clip(np.rint(out), -32_768, 32_767).astype(np.int16)

    def _every_down(self, windows: NDArray[np.float32], end: int) -> NDArray[np.float32]:
        out = np.empty(max(0, -((self._next - end) // self._down)), dtype=np.float32)
        for first in range(min(self._up, len(out))):
            index, phase = divmod(self._next + first * self._down, self._up)
            # The product of a copy is twice as fast as that of a view.
            mine = np.ascontiguousarray(windows[index :: self._down])
            out[first :: self._up] = mine @ self._bank[phase]
        self._next += len(out) * self._down - end
        return out


@cache
def _bank(up: int, down: int, source_hz: int, quality: Resampler) -> NDArray[np.float32]:
    """The filter by phase, shape (up, taps), turned round for a dot product with
    the newest sample last; every phase lets a constant pass as it is."""
    taps = source_hz * _WINDOW_MS[quality] // 1000
    at = np.arange(taps * up) - (taps * up - 1) / 2
    cutoff = _CUTOFF[quality] / max(up, down)
    whole = np.sinc(cutoff * at) * np.kaiser(taps * up, _KAISER_BETA[quality])
    bank = whole.reshape(taps, up).T[:, ::-1]
    normal: NDArray[np.float32] = (bank / bank.sum(axis=1, keepdims=True)).astype(np.float32)
    return normal
