"""Lines that return what is played on them, in samples: what is left without the echo."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actors.signal.echo_model import EchoModel
from actors.signal.levels import from_signal
from reception.media.codecs import AudioFormat
from reception.media.echo_mask import LEFT_DB

MU_LAW = AudioFormat("pcmu", 8_000)
FORMATS = [AudioFormat("pcma", 8_000), *(AudioFormat("l16", hz) for hz in (16_000, 24_000, 48_000))]
BEGAN_S = 70.0
FRAME_S = 0.02


def voice(seed, seconds, level_dbov=-20.0, rate_hz=8_000):
    """Syllables of a harmonic sound with formants and breath, by a seed's chance."""
    rng = np.random.default_rng(seed)
    parts: list[NDArray[np.float64]] = []
    while sum(len(part) for part in parts) < seconds * rate_hz:
        at = np.arange(int(rng.uniform(0.08, 0.3) * rate_hz)) / rate_hz
        pitch_hz = rng.uniform(90, 220) * (1 + 0.1 * np.sin(2 * np.pi * 3 * at + rng.uniform(0, 6)))
        phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
        sound = 0.05 * rng.standard_normal(len(at))
        for harmonic in range(1, 16):
            sound = sound + rng.uniform(0, 1) / harmonic**0.5 * np.sin(harmonic * phase)
        parts += [sound * np.sin(np.pi * np.arange(len(at)) / len(at)) ** 2 * rng.uniform(0.3, 1)]
        parts += [np.zeros(int(rng.uniform(0, 0.06) * rate_hz))]
    whole = np.concatenate(parts)[: int(seconds * rate_hz)]
    return whole * 10 ** (level_dbov / 20) / np.sqrt(np.mean(whole**2))


def returned(sound, delay_ms, loss_db, seed, rate_hz=8_000):
    """By a hybrid: 4 ms of reflections, and what the delay is to the first."""
    rng, per_ms = np.random.default_rng(seed), rate_hz // 1000
    path = rng.standard_normal(4 * per_ms) * np.exp(-np.arange(4 * per_ms) / per_ms)
    path *= 10 ** (-loss_db / 20) / np.sqrt(np.sum(path**2))
    late = np.concatenate([np.zeros(round(delay_ms * per_ms)), sound])
    return np.convolve(late, path)[: len(sound)]


def left(played, heard, lag_ms, format=MU_LAW):
    """In dB, of every frame: the model is told of all that is played 100 ms ahead."""
    model, size = EchoModel(format), format.rate_hz // 50
    told = []
    pieces = [
        [from_signal(sound[at : at + size], format.name) for at in range(0, len(sound), size)]
        for sound in (played, heard)
    ]
    for number in range(-5, len(pieces[1])):
        if number + 5 < len(pieces[0]):
            model.played(BEGAN_S + (number + 5) * FRAME_S, pieces[0][number + 5])
        if number >= 0:
            model.heard(BEGAN_S + number * FRAME_S, pieces[1][number])
            told.append(model.left_db(lag_ms))
    return np.array(told)


def loud(sound, size=160):
    """Which frames have sound in them."""
    frames = sound[: len(sound) // size * size].reshape(-1, size)
    return np.mean(frames**2, axis=1) > 1e-5


@pytest.mark.parametrize("delay_ms", [0, 7.125, 60, 181.5, 390])
@pytest.mark.parametrize("loss_db", [10, 20])
def test_of_an_echo_little_is_left(delay_ms, loss_db):
    played = voice(1, 4.0)
    noise = np.random.default_rng(2).standard_normal(len(played)) * 10 ** (-65 / 20)
    heard = returned(played, delay_ms, loss_db, 3) + noise
    told = left(played, heard, round(delay_ms / 20) * 20)
    settled = loud(heard) & (np.arange(len(told)) > 50)
    assert np.mean(told[settled] >= LEFT_DB) > 0.9


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_in_every_format(format):
    played = voice(1, 3.0, rate_hz=format.rate_hz)
    heard = returned(played, 40, 15, 3, format.rate_hz)
    told = left(played, heard, 40, format)
    settled = loud(heard, format.rate_hz // 50) & (np.arange(len(told)) > 50)
    assert np.mean(told[settled] >= LEFT_DB) > 0.9


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("below_db", [-10, 0, 6])
def test_a_caller_in_a_frame_is_left(seed, below_db):
    """On top of the echo, also where he is 6 dB below it: whatever he is in is not echo."""
    played = voice(seed, 4.0)
    echo = returned(played, 60, 20, seed)
    caller = np.zeros_like(echo)
    caller[16_000:] = voice(seed + 100, 2.0, -40.0 - below_db)
    told = left(played, echo + caller, 60)
    frames = (echo + caller).reshape(-1, 160), caller.reshape(-1, 160)
    power, his = (np.mean(each**2, axis=1) for each in frames)
    in_it = his > power * 10 ** ((2 - LEFT_DB) / 10)
    assert in_it.sum() > 30
    assert (told[in_it & (power > 1e-6)] < LEFT_DB).all()
    assert np.mean(told[50:100][loud(echo)[50:100]] >= LEFT_DB) > 0.9  # before he spoke


@given(st.integers(0, 1_000), st.floats(-40, -10), st.integers(0, 380))
@settings(max_examples=15, deadline=None)
def test_somebody_who_has_nothing_to_do_with_it_is_no_echo(seed, level_dbov, lag_ms):
    told = left(voice(seed, 2.0), voice(seed + 5_000, 2.0, level_dbov), lag_ms)
    assert (told < LEFT_DB).all()


def test_where_nothing_is_played_all_is_left():
    told = left(np.zeros(16_000), voice(4, 2.0), 60)
    assert (told <= 0.0).all()


def test_a_line_that_changes_is_learnt_anew():
    played = voice(5, 6.0)
    heard = np.concatenate(
        [returned(played, 60, 15, 1)[:24_000], returned(played, 82, 15, 2)[24_000:]]
    )
    told = left(played, heard, 70)
    for begin in (50, 210):
        settled = loud(heard)[begin : begin + 80]
        assert np.mean(told[begin : begin + 80][settled] >= LEFT_DB) > 0.9


def test_what_was_cut_before_it_was_played_is_not_expected():
    played = voice(6, 3.0)
    heard = returned(played, 60, 15, 1)
    model = EchoModel(MU_LAW)
    for number in range(150):
        for model_side, sound in ((model.played, played), (model.heard, heard)):
            audio = from_signal(sound[number * 160 : number * 160 + 160], "pcmu")
            model_side(BEGAN_S + number * FRAME_S, audio)
        before_db = model.left_db(60)
    assert before_db >= LEFT_DB
    model.stopped(BEGAN_S + 2.8)
    assert model.left_db(60) <= 0.1
