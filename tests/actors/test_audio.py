"""Conversion between leg and provider formats."""

import math

import numpy as np
import pytest

from actors.audio import Converter, from_linear, to_linear
from reception.media.adaptation import Resampler
from reception.media.codecs import PROVIDER_FORMATS, AudioFormat

PCMU, PCMA = AudioFormat("pcmu", 8_000), AudioFormat("pcma", 8_000)


def tone(rate_hz, seconds=0.5, hz=440, level=8000):
    at = np.arange(int(rate_hz * seconds))
    return np.round(level * np.sin(2 * math.pi * hz * at / rate_hz)).astype(np.int16)


@pytest.mark.parametrize(
    ("coding", "code", "sample"),
    [  # ITU-T G.711 tables 1a and 2a, scaled to 16 bits
        ("pcmu", 0xFF, 0),
        ("pcmu", 0x80, 32124),
        ("pcmu", 0x00, -32124),
        ("pcma", 0xD5, 8),
        ("pcma", 0xAA, 32256),
        ("pcma", 0x2A, -32256),
    ],
)
def test_g711_codes_have_the_values_of_the_recommendation(coding, code, sample):
    assert int(to_linear(bytes([code]), coding)[0]) == sample


@pytest.mark.parametrize("coding", ["pcmu", "pcma"])
def test_every_code_survives_decoding_and_encoding(coding):
    codes = bytes(range(256))
    again = from_linear(to_linear(codes, coding), coding)
    assert (to_linear(again, coding) == to_linear(codes, coding)).all()


@pytest.mark.parametrize("coding", ["pcmu", "pcma"])
def test_the_nearest_code_is_chosen(coding):
    samples = np.arange(-32768, 32768, 37).astype(np.int16)
    error = np.abs(to_linear(from_linear(samples, coding), coding).astype(int) - samples)
    bound = np.maximum(np.abs(samples.astype(int)) // 16, 16)
    assert (
        error[np.abs(samples.astype(int)) < 32000] <= bound[np.abs(samples.astype(int)) < 32000]
    ).all()


def test_the_same_format_passes_through_untouched():
    converter = Converter(PCMU, AudioFormat("pcmu", 8_000))
    assert converter.passes_through
    assert converter.convert(b"\x01\x02") == b"\x01\x02"


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
def test_linear_audio_keeps_its_tone_through_resampling_in_pieces(rate):
    source, target = AudioFormat("l16", rate), AudioFormat("l16", 24_000)
    converter = Converter(source, target)
    audio = tone(rate).tobytes()
    step = source.bytes_per_ms * 20
    out = b"".join(converter.convert(audio[at : at + step]) for at in range(0, len(audio), step))
    samples = to_linear(out, "l16").astype(float)
    assert abs(len(samples) - 12_000) <= 100
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(np.argmax(spectrum) * 24_000 / len(samples) - 440) < 5
    assert abs(np.max(np.abs(samples[1000:-1000])) - 8000) < 400


def test_a_law_becomes_mu_law():
    converter = Converter(PCMA, PCMU)
    assert not converter.passes_through
    source = from_linear(tone(8_000), "pcma")
    out = to_linear(converter.convert(source), "pcmu").astype(int)
    assert np.max(np.abs(out - tone(8_000))) < 700


LEGS = [PCMU, PCMA, *(AudioFormat("l16", rate) for rate in (8_000, 16_000, 24_000, 48_000))]
PAIRS = [
    pair
    for leg in LEGS
    for provider in PROVIDER_FORMATS.values()
    for pair in ((leg, provider), (provider, leg))
]


def through(samples, source, target, resampler):
    """16-bit samples of one rate as they come out of the other, in frames of 20 ms."""
    converter, audio = Converter(source, target, resampler), from_linear(samples, source.name)
    step = source.bytes_per_ms * 20
    out = b"".join(converter.convert(audio[at : at + step]) for at in range(0, len(audio), step))
    return to_linear(out, target.name).astype(float)


def parts(samples, hz, rate_hz):
    """Peak of the tone in the settled samples, and its power over all else's, in dB."""
    settled = samples[rate_hz // 10 : -rate_hz // 10]
    at = 2 * math.pi * hz * np.arange(len(settled)) / rate_hz
    shape = np.stack([np.sin(at), np.cos(at), np.ones(len(settled))], axis=1)
    found, *_ = np.linalg.lstsq(shape, settled, rcond=None)
    rest = settled - shape @ found
    power = (found[0] ** 2 + found[1] ** 2) / 2
    return math.hypot(found[0], found[1]), 10 * math.log10(power / np.mean(rest**2))


def name(value):
    return f"{value.name}-{value.rate_hz}" if isinstance(value, AudioFormat) else str(value)


@pytest.mark.parametrize("resampler", Resampler)
@pytest.mark.parametrize(("source", "target"), PAIRS, ids=name)
def test_a_tone_is_that_tone_in_every_pairing_of_leg_and_provider(source, target, resampler):
    """ITU-T G.712, clause 9, asks of a G.711 channel for 33 dB from the tone to all that is
    not; here two codings may be one after the other. Linear audio loses nothing by them."""
    least_db = 33 if {source.name, target.name} & {"pcmu", "pcma"} else 55
    for hz in (440, 997, 2_003):
        out = through(tone(source.rate_hz, 1.0, hz), source, target, resampler)
        assert abs(len(out) - target.rate_hz) <= target.rate_hz * 0.03
        peak, over_db = parts(out, hz, target.rate_hz)
        assert 20 * math.log10(peak / 8_000) == pytest.approx(0, abs=0.3)
        assert over_db > least_db


@pytest.mark.parametrize("resampler", Resampler)
@pytest.mark.parametrize(
    ("source", "target"), [pair for pair in PAIRS if pair[0].rate_hz > pair[1].rate_hz], ids=name
)
def test_what_the_other_side_is_too_narrow_for_does_not_come_back_as_another_tone(
    source, target, resampler
):
    hz = 0.4 * source.rate_hz + 100
    out = through(tone(source.rate_hz, 0.5, hz), source, target, resampler)
    settled = out[target.rate_hz // 10 : -target.rate_hz // 10]
    assert np.sqrt(np.mean(settled**2)) < 8_000 / math.sqrt(2) / 100  # -40 dB
