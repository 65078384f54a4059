"""Rate conversion of tones: their level, what must not come through, the lag."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.signal.resample import RateConverter
from reception.media.adaptation import Resampler

PAIRS = [(8, 24), (24, 8), (16, 24), (24, 16), (48, 24), (24, 48)]
LEVEL = 9_000
SETTLED_S = 0.1


def tone(hz, rate_hz, seconds=0.5):
    at = np.arange(int(rate_hz * seconds)) / rate_hz
    return (LEVEL * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def converted(samples, source_hz, target_hz, quality):
    converter = RateConverter(source_hz, target_hz, quality)
    frame = source_hz // 50
    pieces = [converter.process(samples[at : at + frame]) for at in range(0, len(samples), frame)]
    return np.concatenate(pieces).astype(float)


def part(samples, hz, rate_hz):
    """Amplitude and phase (radians) of a tone in the settled part of the samples."""
    at = np.arange(len(samples))[int(rate_hz * SETTLED_S) :]
    found = 2 * np.mean(samples[at] * np.exp(-2j * np.pi * hz * at / rate_hz))
    return abs(found), np.angle(found) + np.pi / 2


@pytest.mark.parametrize("quality", Resampler)
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_speech_keeps_its_level_and_comes_as_late_as_is_said(source, target, quality):
    source_hz, target_hz = source * 1000, target * 1000
    lag_s = RateConverter(source_hz, target_hz, quality).lag_ms / 1000
    for hz in (100, 1_000, 3_400):
        out = converted(tone(hz, source_hz), source_hz, target_hz, quality)
        assert len(out) == target_hz // 2
        amplitude, phase = part(out, hz, target_hz)
        assert abs(20 * np.log10(amplitude / LEVEL)) < 0.6
        turns = (phase + 2 * np.pi * hz * lag_s) / (2 * np.pi)
        assert abs(turns - round(turns)) / hz < 2e-6  # seconds


@pytest.mark.parametrize(("quality", "most_db"), [(Resampler.HIGH, -70), (Resampler.MEDIUM, -50)])
@pytest.mark.parametrize(("source", "target"), [(24, 8), (48, 24), (24, 16)])
def test_what_the_lower_rate_cannot_carry_does_not_come_back_as_whistling(
    source, target, quality, most_db
):
    source_hz, target_hz = source * 1000, target * 1000
    out = converted(tone(0.65 * target_hz, source_hz), source_hz, target_hz, quality)
    rms = np.sqrt(np.mean(out[int(target_hz * SETTLED_S) :] ** 2))
    assert 20 * np.log10((rms + 1e-9) / (LEVEL / 2**0.5)) < most_db


def test_each_has_the_lag_that_its_window_makes():
    lags_ms = [RateConverter(8_000, 24_000, quality).lag_ms for quality in Resampler]
    assert [round(each, 1) for each in lags_ms] == [2.5, 1.0]


def test_full_scale_is_clipped_not_wrapped():
    square = np.repeat(np.array([32_767, -32_768] * 50, dtype=np.int16), 40)
    out = converted(square, 8_000, 24_000, Resampler.HIGH)
    rises = out[125:-120].reshape(-1)
    assert rises.max() == 32_767
    assert rises.min() == -32_768


@given(
    st.sampled_from(PAIRS),
    st.lists(st.integers(0, 700), min_size=1, max_size=12),
)
def test_it_does_not_matter_how_the_stream_is_cut(pair, cuts):
    source_hz, target_hz = pair[0] * 1000, pair[1] * 1000
    samples = np.random.default_rng(1).integers(-9_000, 9_000, sum(cuts)).astype(np.int16)
    whole = RateConverter(source_hz, target_hz, Resampler.MEDIUM).process(samples)
    pieces = RateConverter(source_hz, target_hz, Resampler.MEDIUM)
    at, out = 0, [np.empty(0, dtype=np.int16)]
    for size in cuts:
        out.append(pieces.process(samples[at : at + size]))
        at += size
    joined = np.concatenate(out)
    assert len(joined) == len(whole) == sum(cuts) // pair[0] * pair[1]
    assert np.abs(joined.astype(int) - whole).max(initial=0) <= 1  # rounding of sums
