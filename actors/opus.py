"""Opus (RFC 6716) for one leg, by libopus: packets to linear audio and back, mono."""

from __future__ import annotations

import ctypes

import opuslib_next as opus
from opuslib_next.api import decoder as api

from reception.errors import InvalidRequest

MAX_PACKET_MS = 120
MAX_CONCEALED = 5  # frames in a row: a longer hole is a pause, not a slip of the network
COMPLEXITY = 5
_SAMPLE_BYTES = 2
# What a leg of a rate can play, and the bit rate for speech of that bandwidth
# (RFC 7587, 3.1.1: 8-12, 16-20, 28-40 kbit/s; the next higher round figure).
_QUALITY = {
    8_000: (opus.BANDWIDTH_NARROWBAND, 16_000),
    16_000: (opus.BANDWIDTH_WIDEBAND, 24_000),
    24_000: (opus.BANDWIDTH_SUPERWIDEBAND, 32_000),
    48_000: (opus.BANDWIDTH_FULLBAND, 32_000),
}


class OpusDecoder:
    """Decodes one leg's packets, of any bandwidth and length, mono or stereo.

    Measured: 13 to 28 µs per 20 ms, from narrow to super-wide band, at 24 kHz.

    Args:
        rate_hz: of the linear audio that comes out.
    """

    conceals = True

    def __init__(self, rate_hz: int) -> None:
        self._decoder = opus.Decoder(rate_hz, 1)
        self._most = rate_hz * MAX_PACKET_MS // 1000
        self._pcm = (ctypes.c_int16 * self._most)()
        self._frame = rate_hz // 50

    def decode(self, payload: bytes, lost: int = 0) -> bytes:
        """The packet's audio: 16-bit samples of up to 120 ms.

        Before it comes what stands in for up to `MAX_CONCEALED` of the `lost`
        packets right before this one: the last of them from the copy in this
        packet where the sender added one (in-band FEC), the others made up.

        Raises:
            InvalidRequest: the payload is no Opus packet.
        """
        made_up = b""
        for left in range(min(lost, MAX_CONCEALED), 0, -1):
            copy = payload if left == 1 else None
            made_up += self._next(copy, self._frame, from_copy=left == 1)
        audio = self._next(payload, self._most, from_copy=False)
        self._frame = len(audio) // _SAMPLE_BYTES
        return made_up + audio

    def _next(self, payload: bytes | None, samples: int, *, from_copy: bool) -> bytes:
        state, size = self._decoder.decoder_state, len(payload or b"")
        # Not `Decoder.decode`: it makes a list of numbers of each frame, 8 to 21 µs more.
        count: int = api.libopus_decode(state, payload, size, self._pcm, samples, from_copy)
        if count < 0:
            raise InvalidRequest(
                f"audio.payload of {size} bytes is no Opus packet (RFC 6716, section 3)",
                field="audio.payload",
            )
        return ctypes.string_at(self._pcm, count * _SAMPLE_BYTES)


class OpusEncoder:
    """Encodes speech for one leg, one packet a frame.

    Measured per 20 ms: 66, 116, 131 µs for legs of 8, 16 and 24 kHz (95 to 174 at
    the library's own complexity of 10). It adds 6.5 ms of delay.

    Args:
        rate_hz: of the linear audio that goes in.
        leg_rate_hz: 8,000, 16,000, 24,000 or 48,000: the widest audio that the
            leg can use; bandwidth and bit rate follow it (16, 24 or 32 kbit/s).
    """

    def __init__(self, rate_hz: int, leg_rate_hz: int) -> None:
        self._encoder = opus.Encoder(rate_hz, 1, opus.APPLICATION_VOIP)
        self._encoder.max_bandwidth, self._encoder.bitrate = _QUALITY[leg_rate_hz]
        self._encoder.complexity = COMPLEXITY

    def encode(self, frame: bytes) -> bytes:
        """A packet of 16-bit samples: 10, 20, 40 or 60 ms of them."""
        packet: bytes = self._encoder.encode(frame, len(frame) // _SAMPLE_BYTES)
        return packet
