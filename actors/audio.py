"""Audio between a leg's format and the provider's: G.711, linear, Opus, resampling."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actors.opus import OpusDecoder, OpusEncoder
from actors.signal.resample import RateConverter
from reception.media.adaptation import Resampler
from reception.media.codecs import AudioFormat
from reception.media.g711 import decode_table, encode_table

Samples = NDArray[np.int16]


_LAWS = ("pcmu", "pcma")
_DECODE: dict[str, Samples] = {
    law: np.frombuffer(decode_table(law), dtype=np.int16) for law in _LAWS
}
_ENCODE: dict[str, NDArray[np.uint8]] = {
    law: np.frombuffer(encode_table(law), dtype=np.uint8) for law in _LAWS
}


def to_linear(audio: bytes, coding: str) -> Samples:
    """16-bit samples, shape (samples,), of "pcmu", "pcma" or "l16" audio."""
    if coding == "l16":
        return np.frombuffer(audio, dtype="<i2")
    return _DECODE[coding][np.frombuffer(audio, dtype=np.uint8)]


def from_linear(samples: Samples, coding: str) -> bytes:
    """Audio of 16-bit samples, shape (samples,)."""
    if coding == "l16":
        return samples.astype("<i2", copy=False).tobytes()
    return _ENCODE[coding][samples.view(np.uint16)].tobytes()


class Converter:
    """A stream of audio from one format to another.

    Same format: passed through untouched. Resampling is streaming.

    Args:
        source: what `convert` is given.
        target: what it gives.
        resampler: the quality of rate conversion.

    `lag_ms` is how much later the audio comes out.
    """

    def __init__(
        self, source: AudioFormat, target: AudioFormat, resampler: Resampler = Resampler.HIGH
    ) -> None:
        self.source, self.target = source, target
        self.passes_through = source == target
        self._rates: RateConverter | None = None
        if source.rate_hz != target.rate_hz:
            self._rates = RateConverter(source.rate_hz, target.rate_hz, resampler)

    @property
    def lag_ms(self) -> float:
        return self._rates.lag_ms if self._rates else 0.0

    def convert(self, audio: bytes) -> bytes:
        """The next piece; what of it is no whole millisecond may come with the next one."""
        if self.passes_through:
            return audio
        samples = to_linear(audio, self.source.name)
        if self._rates is not None:
            samples = self._rates.process(samples)
        return from_linear(samples, self.target.name)


class LegDecoder(Protocol):
    """From a leg's payloads to audio in its inner format."""

    @property
    def conceals(self) -> bool:
        """Lost frames have audio in their place."""

    def decode(self, payload: bytes, lost: int = 0) -> bytes:
        """The audio of a payload that came after `lost` that never will.

        Raises:
            InvalidRequest: the payload can't be decoded.
        """


class LegEncoder(Protocol):
    """From frames in a leg's inner format to its payloads."""

    def encode(self, frame: bytes) -> bytes:
        """The payload of one frame."""


class PassThrough:
    """Payloads of G.711 and of linear audio are the audio itself."""

    conceals = False

    def decode(self, payload: bytes, lost: int = 0) -> bytes:
        del lost
        return payload

    def encode(self, frame: bytes) -> bytes:
        return frame


def leg_decoder(leg: AudioFormat) -> LegDecoder:
    """What decodes this leg's payloads to `leg.inner`."""
    return OpusDecoder(leg.inner.rate_hz) if leg.name == "opus" else PassThrough()


def leg_encoder(leg: AudioFormat) -> LegEncoder:
    """What encodes frames of `leg.inner` for this leg."""
    return OpusEncoder(leg.inner.rate_hz, leg.rate_hz) if leg.name == "opus" else PassThrough()
