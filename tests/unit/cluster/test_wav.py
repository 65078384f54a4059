"""WAV files in and out."""

from __future__ import annotations

import wave

import numpy as np
import pytest

from cluster.wav import mulaw, read_as_mulaw, write_stereo
from reception.errors import InvalidRequest


def _tone(rate_hz, seconds=1.0, hz=440):
    return (8_000 * np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)).astype(
        "<i2"
    )


def _write(path, samples, rate_hz, channels=1, width=2):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())


def _strongest_hz(samples, rate_hz):
    return np.argmax(np.abs(np.fft.rfft(samples))) * rate_hz / len(samples)


def _stereo(path):
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8_000)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 44_100])
def test_a_file_of_any_rate_becomes_8_khz(tmp_path, rate_hz):
    _write(tmp_path / "in.wav", _tone(rate_hz), rate_hz)
    audio = read_as_mulaw(tmp_path / "in.wav")
    assert abs(len(audio) - 8_000) <= 8
    write_stereo(tmp_path / "out.wav", audio, b"")
    assert abs(_strongest_hz(_stereo(tmp_path / "out.wav")[:, 0], 8_000) - 440) < 2


def test_of_two_channels_the_first_is_taken(tmp_path):
    both = np.stack([_tone(8_000, hz=300), _tone(8_000, hz=900)], axis=1)
    _write(tmp_path / "in.wav", both, 8_000, channels=2)
    assert read_as_mulaw(tmp_path / "in.wav") == mulaw(_tone(8_000, hz=300).tobytes())


def test_caller_left_receptionist_right_the_shorter_filled(tmp_path):
    left, right = mulaw(_tone(8_000).tobytes()), mulaw(_tone(8_000, 0.5, 900).tobytes())
    place = tmp_path / "new" / "call.wav"
    write_stereo(place, left, right)
    both = _stereo(place)
    assert len(both) == 8_000
    assert abs(_strongest_hz(both[:, 0], 8_000) - 440) < 2
    assert abs(_strongest_hz(both[:4_000, 1], 8_000) - 900) < 3
    assert not both[4_000:, 1].any()


def test_a_file_that_is_no_wav_is_named(tmp_path):
    path = tmp_path / "words.wav"
    path.write_text("not sound")
    with pytest.raises(InvalidRequest, match=r"words\.wav is no WAV file"):
        read_as_mulaw(path)
    with pytest.raises(InvalidRequest, match=r"gone\.wav"):
        read_as_mulaw(tmp_path / "gone.wav")


def test_only_16_bit_samples(tmp_path):
    _write(tmp_path / "in.wav", np.zeros(100, dtype=np.uint8), 8_000, width=1)
    with pytest.raises(InvalidRequest, match="8-bit samples; 16-bit ones are needed"):
        read_as_mulaw(tmp_path / "in.wav")
