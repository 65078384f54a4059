"""Lost frames and what is heard in their place."""

from __future__ import annotations

import numpy as np
import pytest

from actors.signal.conceal import Concealer, pitch_period
from actors.signal.levels import Signal, from_signal, level, to_signal
from actors.signal.noise import ComfortNoise, NoiseFloor
from reception.media.codecs import AudioFormat
from tests.actors.signal.sounds import dbov, noise, speech

PCMU = AudioFormat("pcmu", 8_000)


def voiced(samples: int, pitch_hz: float = 120, rate_hz: int = 8_000) -> Signal:
    """Harmonics of a pitch, as of a vowel, at about -20 dBov."""
    turns = np.arange(samples)[:, None] * pitch_hz / rate_hz * np.arange(1, 12)
    weights = 1 / np.arange(1, 12)
    tones = np.sin(2 * np.pi * turns + np.arange(11)) @ weights
    return (0.1 * tones).astype(np.float32)


def power(signal: Signal) -> float:
    return float(np.mean(signal**2))


def hear(concealer: Concealer, signal: Signal, format: AudioFormat = PCMU) -> bytes:
    """Feeds 20 ms frames; what comes out."""
    size = format.rate_hz // 50
    frames = [signal[at : at + size] for at in range(0, len(signal), size)]
    return b"".join(
        concealer.received(from_signal(frame, format.name), power(frame)) for frame in frames
    )


def seeded(format: AudioFormat = PCMU) -> Concealer:
    return Concealer(format, np.random.default_rng(7))


def test_whole_audio_passes_untouched():
    audio = np.random.default_rng(1).bytes(1_600)
    concealer = seeded()
    assert all(
        concealer.received(audio[at : at + 160], 0.1) is not None
        and concealer.received(audio[at : at + 160], 0.1) == audio[at : at + 160]
        for at in range(0, 1_600, 160)
    )


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("pitch_hz", [70, 120, 195])
def test_the_pitch_is_found(rate_hz, pitch_hz):
    period = pitch_period(voiced(rate_hz // 20, pitch_hz, rate_hz), rate_hz)
    cycles = period * pitch_hz / rate_hz
    assert cycles == pytest.approx(round(cycles), abs=0.04)  # 195 Hz: two or three of them fit
    assert 1 / 200 <= period / rate_hz <= 1 / 66


@pytest.mark.parametrize(
    "format",
    [PCMU, AudioFormat("pcma", 8_000), AudioFormat("l16", 16_000), AudioFormat("l16", 48_000)],
)
def test_a_vowel_goes_on_through_a_gap(format):
    rate_hz = format.rate_hz
    sound = voiced(rate_hz // 2, 125, rate_hz)
    concealer = seeded(format)
    before = rate_hz // 5
    hear(concealer, sound[:before], format)
    filled = to_signal(concealer.lost(rate_hz // 100), format.name)
    assert len(filled) == rate_hz // 100
    wanted = sound[before : before + len(filled)]
    assert power(filled - wanted) < power(wanted) / 30  # 15 dB


def test_a_gap_fades_to_the_noise_that_was_there_before():
    concealer = seeded()
    floor_dbov = -48.0
    hear(concealer, noise(8_000, floor_dbov, seed=2))
    hear(concealer, voiced(2_400, 100) + noise(2_400, floor_dbov, seed=3))
    filled = to_signal(b"".join(concealer.lost(80) for _ in range(60)), "pcmu")  # 600 ms
    tens = [dbov(power(filled[at : at + 80])) for at in range(0, 4_800, 80)]
    assert tens[0] == pytest.approx(dbov(power(voiced(2_400, 100))), abs=1.5)
    means = 1 - (np.arange(5) + 0.5) / 5  # 20 % less each 10 ms, after the first
    for heard, gain in zip(tens[1:5], means, strict=False):
        assert heard == pytest.approx(tens[0] + 20 * np.log10(gain), abs=1.5)
    assert dbov(power(filled[480:])) == pytest.approx(floor_dbov, abs=1.5)
    assert min(tens[6:]) > floor_dbov - 5


def test_a_gap_of_any_cut_is_the_same():
    whole, cut = seeded(), seeded()
    for concealer in (whole, cut):
        hear(concealer, voiced(1_600))
    pieces = [cut.lost(samples) for samples in (1, 79, 160, 240, 320)]
    assert b"".join(pieces) == whole.lost(800)


@pytest.mark.parametrize("gap_ms", [10, 20, 60, 200])
def test_no_click_where_a_gap_begins_and_ends(gap_ms):
    sound = voiced(4_800, 133)
    largest_step = np.abs(np.diff(sound)).max()
    concealer = seeded(AudioFormat("l16", 8_000))
    out = hear(concealer, sound[:1_600], AudioFormat("l16", 8_000))
    out += concealer.lost(gap_ms * 8)
    out += hear(concealer, sound[1_600 + gap_ms * 8 :], AudioFormat("l16", 8_000))
    assert len(out) == 2 * len(sound)
    heard = to_signal(out, "l16")
    assert np.abs(np.diff(heard)).max() < 1.3 * largest_step
    after = 1_600 + gap_ms * 8 + 80  # the cross-fade is over within 10 ms
    assert np.array_equal(heard[after:], to_signal(from_signal(sound, "l16"), "l16")[after:])


def test_a_sound_without_pitch_goes_on_from_its_last_sample():
    format = AudioFormat("l16", 8_000)
    for seed in range(20):
        smooth = np.convolve(noise(1_700, -10, seed), np.hanning(40) / 20, "valid")
        rumble: Signal = smooth[:1_600].astype(np.float32)
        concealer = seeded(format)
        hear(concealer, rumble, format)
        first = to_signal(concealer.lost(160), "l16")[0]
        assert abs(first - rumble[-1]) < 2.5 * np.abs(np.diff(rumble)).max()


def test_what_comes_back_is_faded_in_even_if_it_has_nothing_to_do_with_the_fill():
    sound, format = voiced(1_600, 133), AudioFormat("l16", 8_000)
    concealer = seeded(format)
    hear(concealer, sound, format)
    fill = to_signal(concealer.lost(160), "l16")
    came = to_signal(concealer.received(from_signal(-sound[:160], "l16"), 0.01), "l16")
    steps = np.abs(np.diff(np.concatenate([fill, came])))
    assert steps.max() < 1.5 * np.abs(np.diff(sound)).max()
    jump = np.full(160, fill[-1] + 0.5, dtype=np.float32)
    concealer.lost(160)
    came = to_signal(concealer.received(from_signal(jump, "l16"), 0.1), "l16")
    assert abs(came[0] - fill[-1]) < 0.3
    assert came[79] == pytest.approx(jump[0], abs=1e-4)


def test_a_short_frame_after_a_gap_is_joined_as_far_as_it_goes():
    concealer = seeded()
    hear(concealer, voiced(1_600))
    concealer.lost(320)
    assert len(concealer.received(b"\xff" * 20, 0.0)) == 20


def test_a_leg_that_begins_with_a_gap_begins_with_silence():
    filled = to_signal(seeded().lost(480), "pcmu")
    assert not filled.any()


def test_losses_of_speech_are_filled_better_than_by_silence():
    said = speech("Could you please connect me to the sales department this afternoon?", 1)
    frames = [from_signal(said[at : at + 160], "pcmu") for at in range(0, len(said) - 159, 160)]
    reference = to_signal(b"".join(frames), "pcmu")
    distances = {"filled": 0.0, "silent": 0.0}
    for seed in range(5):
        lost = set(np.flatnonzero(np.random.default_rng(seed).random(len(frames)) < 0.1)) - {0}
        concealer, filled, silent = seeded(), b"", b""
        for number, frame in enumerate(frames):
            whole = number not in lost
            measured = level(to_signal(frame, "pcmu"), "pcmu").power
            filled += concealer.received(frame, measured) if whole else concealer.lost(160)
            silent += frame if whole else b"\xff" * 160
        distances["filled"] += power(to_signal(filled, "pcmu") - reference)
        distances["silent"] += power(to_signal(silent, "pcmu") - reference)
    assert distances["filled"] < 0.75 * distances["silent"]


# ------------------------------------------------------------------ comfort noise


def coloured(samples: int, dbov_level: float) -> Signal:
    """Noise with most of its power below 1 kHz."""
    spectrum = np.fft.rfft(noise(samples, 0))
    spectrum[len(spectrum) // 4 :] *= 0.1
    sound = np.fft.irfft(spectrum, samples)
    level = np.sqrt(np.mean(sound**2)) / 10 ** (dbov_level / 20)
    coloured_sound: Signal = (sound / level).astype(np.float32)
    return coloured_sound


@pytest.mark.parametrize("rate_hz", [8_000, 24_000])
def test_comfort_noise_has_level_and_colour_of_its_model(rate_hz):
    model = coloured(rate_hz // 5, -45)
    made = ComfortNoise(model, rate_hz, np.random.default_rng(3)).take(rate_hz * 2)
    assert dbov(power(made)) == pytest.approx(-45, abs=0.7)
    bands = [np.abs(np.fft.rfft(each)) ** 2 for each in (model, made)]
    low_share = [band[: len(band) // 4].sum() / band.sum() for band in bands]
    assert low_share[1] == pytest.approx(low_share[0], abs=0.02)


def test_comfort_noise_is_even_and_does_not_repeat():
    made = ComfortNoise(noise(1_600, -40), 8_000, np.random.default_rng(3)).take(16_000)
    tens = [dbov(power(made[at : at + 160])) for at in range(0, 16_000, 160)]
    assert np.std(tens) < 1.0
    again = np.correlate(made[:4_000], made[:160], "valid")[1:]
    assert np.abs(again).max() < 0.5 * float(made[:160] @ made[:160])


def test_the_floor_is_found_under_speech_and_again_when_it_rises():
    floor = NoiseFloor(PCMU)

    def feed(sound: Signal) -> None:
        for at in range(0, len(sound), 160):
            frame = sound[at : at + 160]
            floor.observe(from_signal(frame, "pcmu"), power(frame))

    said = speech("Good morning. I would like a table for two. Tonight, if I may.", 0)
    feed(said + noise(len(said), -60))
    assert dbov(floor.power) == pytest.approx(-60, abs=3)
    assert dbov(power(floor.quiet())) == pytest.approx(-60, abs=3)
    feed(noise(8_000 * 9, -38))
    assert dbov(floor.power) == pytest.approx(-38, abs=2)
    assert dbov(power(floor.quiet())) == pytest.approx(-38, abs=2)


def test_two_seconds_of_speech_are_no_floor():
    floor = NoiseFloor(PCMU)
    for sound in (noise(8_000, -60), voiced(16_000) + noise(16_000, -60), noise(480, -45)):
        for at in range(0, len(sound), 160):
            frame = sound[at : at + 160]
            floor.observe(from_signal(frame, "pcmu"), power(frame))
    assert -61 < dbov(floor.power) < -53
    assert dbov(power(floor.quiet())) == pytest.approx(-60, abs=1)
