"""Noise suppression and gain: what comes out, when, how loud."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.audio import from_linear, to_linear
from actors.signal.activity import level_dbov
from actors.signal.enhance import Enhancer, Gain
from reception.media.codecs import AudioFormat
from tests.actors.signal.sound import frames, noise, pcm, voice

FORMATS = [
    AudioFormat("pcmu", 8_000),
    AudioFormat("pcma", 8_000),
    *(AudioFormat("l16", rate_hz) for rate_hz in (8_000, 16_000, 24_000, 48_000)),
]
ids = [f"{each.name}-{each.rate_hz}" for each in FORMATS]


def noisy(rate_hz, *, speech=-25.0, noise_dbov=-40.0):
    """A second of noise, then three of voice in it."""
    sound = np.concatenate([np.zeros(rate_hz), voice(rate_hz, 3.0, speech)])
    return pcm(sound + noise(np.random.default_rng(1), len(sound), noise_dbov))


def through(enhancer, format, samples, ms=20, voiced=True):
    out = []
    for frame in frames(samples, format.rate_hz, ms):
        audio = from_linear(frame, format.name)
        clean = enhancer.process(audio, voiced)
        assert len(clean) == len(audio)
        out.append(to_linear(clean, format.name))
    return np.concatenate(out)


def test_off_passes_every_byte():
    audio = bytes(range(160))
    enhancer = Enhancer(FORMATS[0])
    assert enhancer.process(audio, True) is audio
    assert enhancer.lag_ms == 0


@pytest.mark.parametrize("format", FORMATS, ids=ids)
@pytest.mark.parametrize("ms", [10, 20, 30, 60])
def test_a_frame_in_is_a_frame_out_as_much_later_as_is_said(format, ms):
    enhancer = Enhancer(format, "light")
    samples = noisy(format.rate_hz, noise_dbov=-70)
    out = through(enhancer, format, samples, ms).astype(float)
    size = 1 << (2 * len(out)).bit_length()
    spectrum = np.fft.rfft(out, size) * np.conj(np.fft.rfft(samples[: len(out)], size))
    lag_ms = 1000 * int(np.argmax(np.fft.irfft(spectrum, size)[: len(out)])) / format.rate_hz
    assert lag_ms == pytest.approx(enhancer.lag_ms, abs=0.3)
    assert 5.5 < enhancer.lag_ms < 7


@pytest.mark.parametrize("format", FORMATS, ids=ids)
@pytest.mark.parametrize(("strength", "less_db"), [("light", 5), ("full", 10)])
def test_noise_gets_less_and_speech_stays(format, strength, less_db):
    samples = noisy(format.rate_hz)
    out = through(Enhancer(format, strength), format, samples)
    pause = slice(format.rate_hz // 2, format.rate_hz * 95 // 100)
    speech = slice(format.rate_hz * 2, None)
    assert level_dbov(samples[pause]) - level_dbov(out[pause]) >= less_db
    assert abs(level_dbov(samples[speech]) - level_dbov(out[speech])) <= 2.5


def test_more_suppression_is_less_noise_and_it_can_be_changed_during_the_call():
    format = FORMATS[3]
    enhancer = Enhancer(format, "full")
    hiss = pcm(noise(np.random.default_rng(2), 16_000, -40))
    full = level_dbov(through(enhancer, format, hiss)[8_000:])
    enhancer.suppress("full")
    enhancer.suppress("light")
    light = level_dbov(through(enhancer, format, hiss)[8_000:])
    enhancer.suppress("off")
    assert enhancer.lag_ms == 0
    off = level_dbov(through(enhancer, format, hiss)[8_000:])
    assert full + 3 < light < off - 3
    assert off == pytest.approx(-40, abs=0.5)


@pytest.mark.parametrize("size", [1, 77, 500])
def test_pieces_of_odd_sizes_lose_nothing(size):
    enhancer = Enhancer(AudioFormat("l16", 8_000), "light", gain=True)
    samples = noisy(8_000)[:8_000]
    came = sum(
        len(enhancer.process(samples[at : at + size].tobytes(), True)) // 2
        for at in range(0, 8_000, size)
    )
    assert 8_000 - 160 <= came <= 8_000


@pytest.mark.parametrize("speech", [-45, -38, -30, -25, -20, -14])
def test_quiet_callers_get_louder_and_loud_ones_softer_within_bounds(speech):
    format = AudioFormat("l16", 8_000)
    out = through(Enhancer(format, gain=True), format, noisy(8_000, speech=speech, noise_dbov=-70))
    syllable = level_dbov(out[8_000 * 3 + 4_100 :][:800])
    change_db = syllable - level_dbov(noisy(8_000, speech=speech, noise_dbov=-70)[28_100:][:800])
    assert -12.5 <= change_db <= 18.5
    if speech >= -30:
        assert syllable == pytest.approx(-20, abs=4)
    else:
        assert change_db >= 10


def test_what_is_no_voice_is_not_pumped_up():
    gain = Gain(8_000)
    for frame in frames(pcm(noise(np.random.default_rng(3), 40_000, -60)), 8_000):
        assert gain.process(frame, False) is frame
    assert gain.gain_db == 0


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(-90, 0), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([80, 160, 960]),
)
def test_the_gain_is_bounded_and_moves_slowly_and_nothing_clips(steps, size):
    gain, rng = Gain(8_000), np.random.default_rng(4)
    for level, voiced in steps:
        before_db = gain.gain_db
        samples = pcm(noise(rng, size, level))
        out = gain.process(samples, voiced)
        assert len(out) == size
        if out is not samples:
            assert np.abs(out.astype(int)).max() <= 29_204
        assert -12 <= gain.gain_db <= 18
        assert -0.03 * size / 8 - 1e-6 <= gain.gain_db - before_db <= 0.006 * size / 8 + 1e-6


def test_a_sudden_shout_after_a_whisper_is_limited_at_once():
    gain = Gain(8_000)
    for frame in frames(pcm(voice(8_000, 10.0, -50)), 8_000):
        gain.process(frame, True)
    assert gain.gain_db > 15
    shout = gain.process(pcm(voice(8_000, 0.3, -8))[800:960], True)
    assert np.abs(shout.astype(int)).max() > 29_000  # as loud as it may be
    assert np.abs(shout.astype(int)).max() <= 29_204


def test_nothing_in_nothing_out():
    assert len(Gain(8_000).process(np.zeros(0, dtype=np.int16), True)) == 0
