"""Streaming rate conversion of speech, with a lag that is known.

A converter must filter: what is above half of the lower rate would come back as
whistling. That every millisecond of all pieces is one row of a matrix product makes the
filter cheap enough for every frame: a lighter one without it (soxr's QQ) would save half.
soxr's better qualities come 25 to 60 ms late, which a conversation can't wait for.
"""

from __future__ import annotations

from functools import cache
from math import gcd

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from reception.media.adaptation import Resampler

Samples = NDArray[np.int16]

_WINDOW_MS = {Resampler.HIGH: 5, Resampler.MEDIUM: 2}
_KAISER_BETA = {Resampler.HIGH: 7.0, Resampler.MEDIUM: 4.0}
# Where the filter is 6 dB down, of half the lower rate: the narrower the window the
# wider the fall, and the telephone's band (to 3.4 of 4 kHz) is to stay whole.
_CUTOFF = {Resampler.HIGH: 0.94, Resampler.MEDIUM: 0.97}


class RateConverter:
    """A stream of samples at another rate, by a windowed-sinc filter.

    Args:
        source_hz: of the samples given; whole kHz, as the target's.
        target_hz: of those that come out.
        quality: HIGH (5 ms window, 70 dB) or MEDIUM (2 ms, 45 dB).

    `lag_ms` is how much later they come out: half the window.
    """

    def __init__(self, source_hz: int, target_hz: int, quality: Resampler) -> None:
        self._per_ms, window_ms = source_hz // 1000, _WINDOW_MS[quality]
        self._filter = _matrix(source_hz, target_hz, quality)
        self._kept = self._per_ms * window_ms  # samples of before that the filter needs
        self._before = np.zeros(self._kept, dtype=np.float32)
        up = target_hz // gcd(source_hz, target_hz)
        self.lag_ms = (self._kept * up - 1) / 2 / (source_hz * up) * 1000

    def process(self, samples: Samples) -> Samples:
        """The next ones; what is beyond a whole millisecond waits for the next piece."""
        heard = np.concatenate([self._before, samples])  # float32
        ms = (len(heard) - self._kept) // self._per_ms
        self._before = heard[ms * self._per_ms :]
        size = heard.itemsize
        rows = as_strided(heard, (ms, len(self._filter)), (self._per_ms * size, size))
        out = np.ascontiguousarray(rows) @ self._filter  # of a copy: else no BLAS
        np.rint(out, out=out)
        np.minimum(out, 32_767, out=out)
        np.maximum(out, -32_768, out=out)
        return out.ravel().astype(np.int16)


@cache
def _matrix(source_hz: int, target_hz: int, quality: Resampler) -> NDArray[np.float32]:
    """From the samples of the window and of one millisecond to those of that millisecond at
    the target's rate: the filter once for each of them, shape (samples, samples)."""
    per_ms, target_per_ms = source_hz // 1000, target_hz // 1000
    common = gcd(source_hz, target_hz)
    up, down = target_hz // common, source_hz // common
    bank = _bank(up, down, source_hz, quality)
    taps = bank.shape[1]
    matrix = np.zeros((taps + per_ms, target_per_ms), dtype=np.float32)
    for each in range(target_per_ms):
        newest, phase = divmod(each * down, up)
        matrix[newest + 1 : newest + 1 + taps, each] = bank[phase]
    return matrix


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
