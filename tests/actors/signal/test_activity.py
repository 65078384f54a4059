"""Voice, level, where speech begins and ends, in every leg format."""

import numpy as np
import pytest

from actors.audio import from_linear
from actors.signal.activity import Activity, level_dbov
from reception.media.barge_in import BargeIn
from reception.media.codecs import AudioFormat
from reception.media.hearing import Hearing
from tests.actors.signal.sound import frames, noise, pcm, voice

FORMATS = [
    AudioFormat("pcmu", 8_000),
    AudioFormat("pcma", 8_000),
    *(AudioFormat("l16", rate_hz) for rate_hz in (8_000, 16_000, 24_000, 48_000)),
]
ids = [f"{each.name}-{each.rate_hz}" for each in FORMATS]


def line(rate_hz, *, before_s=1.0, speech_s=1.2, after_s=1.5, level=-25.0, noise_dbov=-60.0):
    sound = np.concatenate(
        [
            np.zeros(int(rate_hz * before_s)),
            voice(rate_hz, speech_s, level),
            np.zeros(int(rate_hz * after_s)),
        ]
    )
    return pcm(sound + noise(np.random.default_rng(1), len(sound), noise_dbov))


def judged(format, samples, ms=20, **options):
    activity = Activity(format, **options)
    return [
        activity.feed(from_linear(frame, format.name))
        for frame in frames(samples, format.rate_hz, ms)
    ]


@pytest.mark.parametrize(
    ("samples", "level"),
    [
        (np.full(160, -32768, dtype=np.int16), 0.0),
        (np.zeros(160, dtype=np.int16), -127.0),
        (np.zeros(0, dtype=np.int16), -127.0),
        (pcm(32767 * np.sin(2 * np.pi * np.arange(160) / 8)), -3.01),
        (np.full(160, 327, dtype=np.int16), -40.0),
    ],
)
def test_levels_are_those_of_rfc_6465(samples, level):
    assert level_dbov(samples) == pytest.approx(level, abs=0.05)


@pytest.mark.parametrize("format", FORMATS, ids=ids)
def test_speech_is_found_within_60_ms_and_its_end_after_the_silence(format):
    heard = judged(format, line(format.rate_hz), silence_ms=500)
    began = [number for number, each in enumerate(heard) if each.began]
    ended = [number for number, each in enumerate(heard) if each.ended]
    assert len(began) == len(ended) == 1
    assert 0 <= (began[0] + 1) * 20 - 1000 <= 60
    assert 480 <= (ended[0] + 1) * 20 - 2150 <= 600
    assert not any(each.voiced for each in heard[:49])


@pytest.mark.parametrize("ms", [10, 20, 30, 40, 60])
def test_frames_of_every_length_are_judged(ms):
    format = FORMATS[0]
    heard = judged(format, line(8_000), ms=ms)
    assert {each.duration_ms for each in heard} == {ms}
    assert sum(each.voiced * ms for each in heard) >= 900
    [began] = [number for number, each in enumerate(heard) if each.began]
    assert 0 <= (began + 1) * ms - 1000 <= max(60, ms + 40)


@pytest.mark.parametrize("size", [1, 77, 161, 8_000])
def test_pieces_of_any_size_come_to_the_same(size):
    samples = line(8_000)
    activity = Activity(FORMATS[0])
    codes = from_linear(samples, "pcmu")
    heard = [activity.feed(codes[at : at + size]) for at in range(0, len(codes), size)]
    assert sum(each.duration_ms for each in heard) == len(codes) // 80 * 10
    voiced_ms = sum(each.duration_ms for each in heard if each.voiced)
    assert (900 <= voiced_ms <= 1300) or size == 8_000  # a second judged as a whole


@pytest.mark.parametrize("noise_dbov", [-60, -50, -40])
def test_noise_is_no_voice_whatever_its_level(noise_dbov):
    steady = pcm(noise(np.random.default_rng(2), 8_000 * 5, noise_dbov))
    heard = judged(FORMATS[2], steady)
    assert not any(each.began for each in heard)


def test_noise_that_grows_is_got_used_to_within_four_seconds():
    rng = np.random.default_rng(3)
    growing = pcm(np.concatenate([noise(rng, 16_000, -65), noise(rng, 64_000, -45)]))
    heard = judged(FORMATS[2], growing)
    assert not any(each.voiced for each in heard[300:])


def test_a_quiet_caller_is_heard():
    assert any(each.began for each in judged(FORMATS[0], line(8_000, level=-40)))


@pytest.mark.parametrize("format", FORMATS, ids=ids)
def test_barge_in_from_sound_takes_at_most_three_frames(format):
    """From the frame in which speech starts, as `BargeIn` is wired."""
    activity, barge_in = Activity(format), BargeIn(Hearing(barge_in="local"))
    for number, frame in enumerate(frames(line(format.rate_hz), format.rate_hz)):
        each = activity.feed(from_linear(frame, format.name))
        now_s = 7.0 + number * 0.02
        if barge_in.heard(each.voiced, each.level_dbov, each.duration_ms, now_s, speaking=True):
            break
    assert 50 <= number <= 52


def test_a_cough_of_200_ms_from_sound_does_not_reach_a_bound_of_400():
    activity = Activity(FORMATS[0])
    barge_in = BargeIn(Hearing(barge_in="local", min_speech_ms=400))
    rng = np.random.default_rng(4)
    burst = noise(rng, 1_600, -15) * np.exp(-np.arange(1_600) / 500) + voice(8_000, 0.2, -25)
    sound = np.concatenate([np.zeros(8_000), burst, np.zeros(8_000)])
    for number, frame in enumerate(frames(pcm(sound + noise(rng, len(sound), -60)), 8_000)):
        each = activity.feed_samples(frame)
        now_s = 7.0 + number * 0.02
        assert not barge_in.heard(each.voiced, each.level_dbov, 20, now_s, speaking=True)
