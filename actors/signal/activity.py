"""Voice activity of one leg: voice and level of each frame, where speech begins and ends.

WebRTC's detector at 8 or 16 kHz, whatever the leg's format: G.711 through its table,
8 and 16 kHz as they are, 24 and 48 kHz as the means of 3 or 6 samples. Measured per
frame of 20 ms: 6 µs at 8 and 16 kHz (decoding 1.6, the detector 1.5, the level 1.3),
12 µs at 24 and 48 kHz.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import webrtcvad

from actors.audio import Samples, to_linear
from reception.media.codecs import AudioFormat
from reception.media.echo import SILENT_DBOV

_AGGRESSIVENESS = 2  # of 0 to 3
_PIECE_MS = 10
_FULL_SCALE = 32768.0**2
_QUIETEST_DBOV = -52.0  # no voice below this
_ABOVE_NOISE_DB = 9.0  # … nor less than this above the line's noise
_FIRST_NOISE_DBOV, _QUIETEST_NOISE_DBOV = -40.0, -70.0
_RISE_DB_PER_MS = 0.01  # so fast the line's noise is believed to grow …
_RISE_IN_VOICE_DB_PER_MS = 0.003  # … and so fast under voice
_BEGINS_MS = 40
SILENCE_MS = 500  # that ends speech, if nobody says otherwise


class Heard(NamedTuple):
    """One frame: is there voice in it, its level, its length; speech that begins or
    ends with it. perhaps: voice can't be ruled out."""

    voiced: bool
    level_dbov: float
    duration_ms: int
    began: bool = False
    ended: bool = False
    perhaps: bool = False


def level_dbov(samples: Samples) -> float:
    """The level of 16-bit samples, shape (samples,), in dBov: 0 is the loudest square
    wave, -127 silence (RFC 6465)."""
    if not len(samples):
        return SILENT_DBOV
    floats = samples.astype(np.float32)
    power = float(np.dot(floats, floats)) / len(samples)
    return max(SILENT_DBOV, 10 * math.log10(power / _FULL_SCALE)) if power else SILENT_DBOV


class Activity:
    """Judges a leg's frames, in order.

    Args:
        format: of the leg; 8, 16, 24 or 48 kHz.
        silence_ms: so much without voice ends speech.
    """

    def __init__(self, format: AudioFormat, *, silence_ms: int = SILENCE_MS) -> None:
        self.speaking = False
        self._coding = format.name
        self._mean_of = format.rate_hz // 8_000 if format.rate_hz > 16_000 else 1
        self._rate_hz = format.rate_hz // self._mean_of
        self._piece = format.rate_hz * _PIECE_MS // 1000
        self._rest = np.zeros(0, dtype=np.int16)
        self._detector = webrtcvad.Vad(_AGGRESSIVENESS)
        self._silence_ms = silence_ms
        self._noise_dbov = _FIRST_NOISE_DBOV
        self._voice_ms = self._pause_ms = 0

    def feed(self, audio: bytes) -> Heard:
        """Judges a frame in the leg's coding; what is over whole 10 ms waits for the
        next one."""
        return self.feed_samples(to_linear(audio, self._coding))

    def feed_samples(self, samples: Samples) -> Heard:
        """The same for samples at the leg's rate, shape (samples,)."""
        if len(self._rest) or len(samples) % self._piece:
            samples = np.concatenate([self._rest, samples])
            whole = len(samples) // self._piece * self._piece
            samples, self._rest = samples[:whole], samples[whole:]
        duration_ms = len(samples) // self._piece * _PIECE_MS
        if self._mean_of > 1:
            means = samples.reshape(-1, self._mean_of).mean(axis=1, dtype=np.float32)
            samples = means.astype(np.int16)
        level = level_dbov(samples)
        like_voice = self._is_voiced(samples.tobytes(), duration_ms)
        loud = self._stands_out(level, duration_ms, like_voice)
        voiced = like_voice and loud
        began, ended = self._step(voiced, duration_ms)
        return Heard(voiced, level, duration_ms, began, ended, like_voice or loud)

    def _is_voiced(self, pcm16: bytes, duration_ms: int) -> bool:
        """The detector takes 10, 20 or 30 ms; of longer frames half must be voice."""
        if duration_ms in (10, 20, 30):
            voiced: bool = self._detector.is_speech(pcm16, self._rate_hz)
            return voiced
        piece_bytes = self._rate_hz * _PIECE_MS // 1000 * 2
        judged: list[bool] = [
            self._detector.is_speech(pcm16[at : at + piece_bytes], self._rate_hz)
            for at in range(0, len(pcm16), piece_bytes)
        ]
        return 2 * sum(judged) > len(judged)

    def _stands_out(self, level: float, duration_ms: int, voiced: bool) -> bool:
        """Louder than the line's noise, which is followed: down at once, up slowly."""
        rise_db = duration_ms * (_RISE_IN_VOICE_DB_PER_MS if voiced else _RISE_DB_PER_MS)
        self._noise_dbov = max(_QUIETEST_NOISE_DBOV, min(level, self._noise_dbov + rise_db))
        return level > max(_QUIETEST_DBOV, self._noise_dbov + _ABOVE_NOISE_DB)

    def _step(self, voiced: bool, duration_ms: int) -> tuple[bool, bool]:
        """Speech begins after 40 ms of voice, gaps shorter than that allowed, and ends
        after `silence_ms` without."""
        if voiced:
            self._pause_ms = 0
            self._voice_ms += duration_ms
            began = not self.speaking and self._voice_ms >= _BEGINS_MS
            self.speaking = self.speaking or began
            return began, False
        self._pause_ms += duration_ms
        if not self.speaking:
            if self._pause_ms >= min(self._voice_ms, _BEGINS_MS):
                self._voice_ms = 0
            return False, False
        ended = self._pause_ms >= self._silence_ms
        if ended:
            self.speaking, self._voice_ms = False, 0
        return False, ended
