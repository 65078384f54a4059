"""The caller's sound made clearer: noise suppression and automatic gain, streaming.

Suppression is WebRTC's (package `webrtc-noise-gain`), at its own 16 kHz; other rates
are resampled there and back (soxr QQ). Feeding it 8 kHz sound as if it were 16 kHz
saves the resampling and costs twice the lag and 1 to 2 dB. Its strength 2 of 4 gave
the best speech: 6 dB better in white noise at 5 dB, 4 dB at 15 dB; 3 and 4 hurt it.
Measured per frame of 20 ms: suppression 24 µs at 16 kHz, 35 to 42 µs at other rates,
gain 10 µs (the package's own: 55).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr
from webrtc_noise_gain import AudioProcessor

from actors.audio import Samples, from_linear, to_linear
from actors.signal.activity import level_dbov
from reception.media.codecs import AudioFormat
from reception.media.hearing import Suppression

_RATE_HZ = 16_000
_BLOCK = _RATE_HZ // 100
_STRENGTH = {"light": 1, "full": 2}
_OVERLAP_MS = 6.0  # of its filter bank
_HELD = 4  # samples at 16 kHz that soxr QQ may hold back

_TARGET_DBOV = -20.0  # of loud syllables: speech of about -23 dBov (ITU-T P.56)
_MOST_DB, _LEAST_DB = 18.0, -12.0
_RISE_DB_PER_MS, _FALL_DB_PER_MS = 0.006, 0.03
_CEILING = 29_204.0  # -1 dBov


class Suppressor:
    """Noise suppression of a stream of samples.

    Args:
        rate_hz: of the samples.
        strength: "light" or "full".
    """

    def __init__(self, rate_hz: int, strength: Suppression) -> None:
        self.lag_ms = _OVERLAP_MS
        self._processor = AudioProcessor(0, _STRENGTH[strength])
        self._up: Any = None
        self._down: Any = None
        ahead = 0
        if rate_hz != _RATE_HZ:
            self._up = soxr.ResampleStream(rate_hz, _RATE_HZ, 1, dtype="int16", quality="QQ")
            self._down = soxr.ResampleStream(_RATE_HZ, rate_hz, 1, dtype="int16", quality="QQ")
            ahead = _HELD  # each way, so that every frame in is a frame out
            self.lag_ms += 2 * 1000 * _HELD / _RATE_HZ
        self._in = np.zeros(ahead, dtype=np.int16)
        self._out = np.zeros(ahead * rate_hz // _RATE_HZ, dtype=np.int16)

    def process(self, samples: Samples) -> Samples:
        """As many samples as were given, `lag_ms` later, if they are whole 10 ms; else
        10 ms fewer or more by turns."""
        raised = samples if self._up is None else self._up.resample_chunk(samples)
        waiting = np.concatenate([self._in, raised])
        whole = len(waiting) // _BLOCK * _BLOCK
        raw, self._in = waiting[:whole].tobytes(), waiting[whole:]
        clean = np.frombuffer(
            b"".join(
                self._processor.Process10ms(raw[at : at + 2 * _BLOCK]).audio
                for at in range(0, 2 * whole, 2 * _BLOCK)
            ),
            dtype=np.int16,
        )
        if self._down is None:
            return clean
        ready = np.concatenate([self._out, self._down.resample_chunk(clean)])
        self._out = ready[len(samples) :]
        return ready[: len(samples)]


class Gain:
    """Automatic gain, -12 to +18 dB, with a limiter at -1 dBov; no lag.

    It follows voice only: noise and echo, which are to be told as not voiced, are
    not pumped up.
    """

    def __init__(self, rate_hz: int) -> None:
        self.gain_db = 0.0
        self._factor = 1.0
        self._rate_hz = rate_hz
        self._ramp = np.zeros(0, dtype=np.float32)

    def process(self, samples: Samples, voiced: bool) -> Samples:
        """The same number of samples, shape (samples,)."""
        if not len(samples):
            return samples
        if voiced:
            self._follow(level_dbov(samples), 1000 * len(samples) / self._rate_hz)
        peak = max(int(samples.max()), -int(samples.min()), 1)
        most = _CEILING / peak
        begin, end = min(self._factor, most), min(10 ** (self.gain_db / 20), most)
        self._factor = end
        if begin == end == 1.0:
            return samples
        if len(self._ramp) != len(samples):
            self._ramp = np.linspace(0, 1, len(samples), dtype=np.float32)
        factors = self._ramp * np.float32(end - begin) + np.float32(begin)
        return (samples * factors).astype(np.int16)

    def _follow(self, level: float, duration_ms: float) -> None:
        wanted_db = min(_MOST_DB, max(_LEAST_DB, _TARGET_DBOV - level))
        most_up, most_down = _RISE_DB_PER_MS * duration_ms, _FALL_DB_PER_MS * duration_ms
        self.gain_db += min(most_up, max(-most_down, wanted_db - self.gain_db))


class Enhancer:
    """One leg's caller sound, frame by frame.

    Args:
        format: of the leg, in and out.
        suppression: "off", "light" or "full"; `suppress` changes it during the call.
        gain: with automatic gain.

    `lag_ms` is how much later sound comes out than without.
    """

    def __init__(
        self, format: AudioFormat, suppression: Suppression = "off", *, gain: bool = False
    ) -> None:
        self._format = format
        self._suppression: Suppression = "off"
        self._suppressor: Suppressor | None = None
        self._gain = Gain(format.rate_hz) if gain else None
        self.suppress(suppression)

    @property
    def lag_ms(self) -> float:
        return 0.0 if self._suppressor is None else self._suppressor.lag_ms

    def suppress(self, suppression: Suppression) -> None:
        """From the next frame on: "off" drops the few ms under way."""
        if suppression == self._suppression:
            return
        self._suppression = suppression
        self._suppressor = (
            None if suppression == "off" else Suppressor(self._format.rate_hz, suppression)
        )

    def process(self, audio: bytes, voiced: bool) -> bytes:
        """A frame in the leg's coding: 10 ms or a multiple of it.

        Args:
            voiced: the caller speaks in it (`Heard.voiced`, and no echo); the gain
                follows such frames only.
        """
        if self._suppressor is None and self._gain is None:
            return audio
        samples = to_linear(audio, self._format.name)
        if self._suppressor is not None:
            samples = self._suppressor.process(samples)
        if self._gain is not None:
            samples = self._gain.process(samples, voiced)
        return from_linear(samples, self._format.name)
