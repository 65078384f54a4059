"""Which audio a leg carries and which the provider is given for it."""

from __future__ import annotations

from dataclasses import dataclass

_SAMPLE_BYTES = {"pcmu": 1, "pcma": 1, "l16": 2}
_SILENCE = {"pcmu": b"\xff", "pcma": b"\xd5", "l16": b"\0\0"}


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """A coding of mono audio.

    name: "pcmu", "pcma" (G.711, 1 byte a sample, 8 kHz), "l16" (linear, 16-bit
    signed little-endian) or "opus" (RFC 6716; rate_hz says how wide the audio is
    at most). Opus packets have no fixed size: sizes and silence are those of
    the other three, and whoever handles the audio asks for its `inner` format.
    """

    name: str
    rate_hz: int

    @property
    def inner(self) -> AudioFormat:
        """What an audio worker makes of it: Opus is decoded to the provider's
        linear format whatever the leg's rate, so that nothing is resampled."""
        return PROVIDER_FORMATS["pcm24k"] if self.name == "opus" else self

    @property
    def sample_bytes(self) -> int:
        return _SAMPLE_BYTES[self.name]

    @property
    def bytes_per_ms(self) -> int:
        return self.rate_hz * self.sample_bytes // 1000

    @property
    def silence(self) -> bytes:
        """One sample of silence."""
        return _SILENCE[self.name]

    def duration_ms(self, audio_bytes: int) -> int:
        """Milliseconds in so many bytes, rounded down."""
        return audio_bytes // self.bytes_per_ms


PROVIDER_FORMATS = {
    "pcmu": AudioFormat("pcmu", 8_000),
    "pcma": AudioFormat("pcma", 8_000),
    "pcm24k": AudioFormat("l16", 24_000),
}
