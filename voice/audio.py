"""Audio between the protocol's formats and the engine's linear samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from reception.media.codecs import PROVIDER_FORMATS, AudioFormat
from reception.media.g711 import decode_table, encode_table
from voice.interfaces import ENGINE_RATE_HZ

Samples = NDArray[np.int16]
LISTEN_RATE_HZ = 8_000


def decode(audio: bytes, coding: str) -> Samples:
    """16-bit samples, shape (samples,), of "pcmu", "pcma" or "l16" audio."""
    if coding == "l16":
        return np.frombuffer(audio[: len(audio) // 2 * 2], dtype="<i2")
    table = np.frombuffer(decode_table(coding), dtype=np.int16)
    samples: Samples = table[np.frombuffer(audio, dtype=np.uint8)]
    return samples


def encode(samples: Samples, coding: str) -> bytes:
    """Audio of 16-bit samples, shape (samples,)."""
    if coding == "l16":
        return samples.astype("<i2", copy=False).tobytes()
    table = np.frombuffer(encode_table(coding), dtype=np.uint8)
    return table[np.ascontiguousarray(samples).view(np.uint16)].tobytes()


class Ear:
    """Caller audio in a protocol format as 8 kHz samples, as it comes."""

    def __init__(self, audio_format: str) -> None:
        self._format: AudioFormat = PROVIDER_FORMATS[audio_format]
        self._resampler: Any = None
        if self._format.rate_hz != LISTEN_RATE_HZ:
            self._resampler = soxr.ResampleStream(
                self._format.rate_hz, LISTEN_RATE_HZ, 1, dtype="int16", quality="QQ"
            )

    def hear(self, audio: bytes) -> Samples:
        samples = decode(audio, self._format.name)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        return samples


class Mouth:
    """The engine's 24 kHz samples in a protocol format, as they come."""

    def __init__(self, audio_format: str) -> None:
        self._format: AudioFormat = PROVIDER_FORMATS[audio_format]
        self._resampler: Any = None
        if self._format.rate_hz != ENGINE_RATE_HZ:
            self._resampler = soxr.ResampleStream(
                ENGINE_RATE_HZ, self._format.rate_hz, 1, dtype="int16", quality="MQ"
            )

    def speak(self, pcm16: bytes, last: bool = False) -> bytes:
        samples = np.frombuffer(pcm16, dtype="<i2")
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last=last)
        return encode(samples, self._format.name)
