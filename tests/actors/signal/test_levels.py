"""Levels in dBov."""

from __future__ import annotations

import numpy as np
import pytest

from actors.audio import to_linear
from actors.signal.levels import from_signal, level, to_signal
from tests.actors.signal.sounds import dbov, noise, silence


def sine(amplitude: float, samples: int = 160) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * 1_000 * np.arange(samples) / 8_000)).astype(np.float32)


def test_a_square_wave_at_the_end_is_overload_and_a_sine_3_db_less():
    square = np.tile(np.array([1, -1], dtype=np.float32), 80)
    assert dbov(level(square, "l16").power) == pytest.approx(0, abs=0.01)
    heard = level(sine(1.0), "l16")
    assert dbov(heard.power) == pytest.approx(-3.01, abs=0.01)
    assert dbov(heard.peak**2) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("law", ["pcmu", "pcma"])
def test_g711_has_3_14_dbm0_at_its_end(law):
    """ITU-T G.711: the digital milliwatt (0 dBm0) lies 3.14 or 3.17 dB under a
    full sine, so at -6.15 or -6.18 dBov."""
    code = {
        "pcmu": bytes((0x1E, 0x0B, 0x0B, 0x1E, 0x9E, 0x8B, 0x8B, 0x9E)),
        "pcma": bytes((0x34, 0x21, 0x21, 0x34, 0xB4, 0xA1, 0xA1, 0xB4)),
    }[law]  # tables 5 and 6 of the recommendation
    assert dbov(level(to_signal(code * 20, law), law).power) == pytest.approx(-6.16, abs=0.1)


@pytest.mark.parametrize("law", ["pcmu", "pcma", "l16"])
def test_signals_are_the_samples_over_the_overload_point(law):
    audio = from_signal(sine(0.5) + noise(160, -30), law)
    signal = to_signal(audio, law)
    assert signal.dtype == np.float32
    assert np.array_equal(signal * 32_768, to_linear(audio, law))
    assert from_signal(signal, law) == audio


@pytest.mark.parametrize("law", ["pcmu", "pcma", "l16"])
def test_clipped_samples_are_counted_on_both_sides(law):
    loud = to_signal(from_signal(sine(1.6), law), law)
    assert level(loud, law).clipped == 40 * 3  # per period of 8: 3 of each sign, less zeros
    assert level(to_signal(from_signal(sine(0.9), law), law), law).clipped == 0


def test_silence_is_below_50_dbov():
    assert dbov(level(silence(20), "pcmu").power) == -127
    assert level(silence(20), "pcmu").silent
    assert level(noise(160, -53), "pcmu").silent
    assert not level(noise(160, -47), "pcmu").silent
