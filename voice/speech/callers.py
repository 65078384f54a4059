"""Speech of made-up callers, for the demo, the tests and `reception call --say`."""

from __future__ import annotations

import numpy as np
import soxr

from voice.speech.synthesizer import PICO_RATE_HZ, PicoVoice, pico

CALLER_RATE_HZ = 8_000
CALLERS = (
    PicoVoice("en-US", 1.0, 0.95),
    PicoVoice("en-GB", 0.8, 0.95),
    PicoVoice("en-GB", 1.1, 0.95),
    PicoVoice("en-US", 0.8, 0.95),
)


def caller_speech(text: str, voice_index: int) -> bytes:
    """Sound of a text in one of four voices, 16-bit samples at 8 kHz."""
    raw = np.frombuffer(pico(text, CALLERS[voice_index % len(CALLERS)]), dtype="<i2")
    samples = soxr.resample(raw, PICO_RATE_HZ, CALLER_RATE_HZ)
    sound: bytes = samples.astype("<i2").tobytes()
    return sound
