"""WAV files in and out of mu-law frames."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import soxr

from actors.audio import from_linear, to_linear
from reception.errors import InvalidRequest

RATE_HZ = 8_000


def mulaw(pcm16: bytes) -> bytes:
    """Mu-law of 16-bit samples."""
    return from_linear(np.frombuffer(pcm16, dtype=np.int16), "pcmu")


def read_as_mulaw(path: Path) -> bytes:
    """A WAV file (16-bit, any rate, its first channel) as 8 kHz mu-law.

    Raises:
        InvalidRequest: it can't be read or is not 16-bit PCM.
    """
    try:
        with wave.open(str(path), "rb") as file:
            width, rate, channels = file.getsampwidth(), file.getframerate(), file.getnchannels()
            raw = file.readframes(file.getnframes())
    except (OSError, wave.Error, EOFError) as error:
        raise InvalidRequest(f"{path} is no WAV file that can be read: {error}") from error
    if width != 2:
        raise InvalidRequest(f"{path} has {8 * width}-bit samples; 16-bit ones are needed")
    samples = np.frombuffer(raw, dtype="<i2")[::channels]
    if rate != RATE_HZ:
        samples = soxr.resample(samples, rate, RATE_HZ)
    return mulaw(samples.astype(np.int16).tobytes())


def write_stereo(path: Path, left: bytes, right: bytes) -> None:
    """Two mu-law tracks as one 16-bit stereo WAV, the shorter filled with silence."""
    length = max(len(left), len(right))
    both = np.zeros((length, 2), dtype=np.int16)
    both[: len(left), 0] = to_linear(left, "pcmu")
    both[: len(right), 1] = to_linear(right, "pcmu")
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(both.astype("<i2").tobytes())
