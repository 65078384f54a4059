"""Keys in the audio, by the limits of ITU-T Q.24."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.signal.dtmf import DtmfDetector, KeyDown, KeyEvent, KeyUp
from actors.signal.levels import Signal, from_signal, to_signal
from tests.actors.signal.sounds import (
    ALL_KEYS,
    every_speech,
    frequencies,
    noise,
    press,
    silence,
    speech,
)


def listen(signal: Signal, frame: int = 160, rate_hz: int = 8_000) -> list[KeyEvent]:
    detector = DtmfDetector(rate_hz)
    return [
        event
        for at in range(0, len(signal), frame)
        for event in detector.feed(signal[at : at + frame])
    ]


def keys(signal: Signal, frame: int = 160, rate_hz: int = 8_000) -> str:
    return "".join(e.key for e in listen(signal, frame, rate_hz) if isinstance(e, KeyDown))


def between(tone: Signal, before_ms: float = 53.3) -> Signal:
    return np.concatenate([silence(before_ms), tone, silence(60)])


@pytest.mark.parametrize("law", ["pcmu", "pcma", "l16"])
def test_every_key_is_heard_with_its_length(law):
    signal = np.concatenate([between(press(key, 70)) for key in ALL_KEYS])
    events = listen(to_signal(from_signal(signal, law), law))
    assert [e.key for e in events] == [key for key in ALL_KEYS for _ in range(2)]
    assert [type(e) for e in events] == [KeyDown, KeyUp] * 16
    lengths_ms = [e.duration_ms for e in events if isinstance(e, KeyUp)]
    assert all(abs(each - 70) <= 6 for each in lengths_ms)


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 48_000])
def test_other_rates(rate_hz):
    signal = np.concatenate(
        [
            press(key, 50, rate_hz=rate_hz) if key != " " else silence(50, rate_hz)
            for key in "1 5 D "
        ]
    )
    assert keys(signal, rate_hz // 50, rate_hz) == "15D"


@pytest.mark.parametrize("before_ms", np.arange(40, 48, 0.75))
@pytest.mark.parametrize("heard_dbov", [-120, -28])  # with noise 15 dB below the tones
def test_40_ms_are_a_key_and_23_ms_are_none(before_ms, heard_dbov):
    for key in ALL_KEYS:
        for ms, says in ((40, key), (23, "")):
            signal = between(press(key, ms, phase=before_ms), before_ms)
            assert keys(signal + noise(len(signal), heard_dbov)) == says, (key, ms)


@pytest.mark.parametrize("key", ALL_KEYS)
@pytest.mark.parametrize("tone", [0, 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_frequencies_within_one_and_a_half_percent_and_not_beyond_three_and_a_half(key, tone, sign):
    hz = frequencies(key)[tone]
    for off, says in ((0.015 * hz + 2, key), (0.0355 * hz, "")):
        off_hz = (sign * off, 0) if tone == 0 else (0, sign * off)
        assert keys(between(press(key, 50, off_hz=off_hz))) == says, off
        both = between(press(key, 60, off_hz=off_hz))
        assert keys(both + noise(len(both), -33)) == says, off


@pytest.mark.parametrize(
    ("dbm0", "heard"),
    [
        ((-6, -14), True),  # 8 dB reverse
        ((-14, -10), True),  # 4 dB forward
        ((-6, -18), False),
        ((-18, -10), False),
        ((0, 0), True),
        ((-25, -25), True),
        ((-25, -33), True),
        ((-45, -45), False),
    ],
)
def test_twist_and_level(dbm0, heard):
    for key in ALL_KEYS:
        signal = between(press(key, 45, dbm0=dbm0))
        coded = to_signal(from_signal(signal + noise(len(signal), -65), "pcmu"), "pcmu")
        assert keys(coded) == (key if heard else "")


@pytest.mark.parametrize(("gap_ms", "says"), [(5, "7"), (10, "7"), (40, "77"), (60, "77")])
def test_a_break_of_10_ms_is_none_and_one_of_40_ms_is_one(gap_ms, says):
    for before_ms in np.arange(40, 60, 1.3):
        signal = np.concatenate([press("7", 50), silence(gap_ms), press("7", 50)])
        assert keys(between(signal, before_ms)) == says


def test_short_bursts_do_not_add_up_to_a_key():
    burst = np.concatenate([press("7", 23), silence(12)])
    assert keys(between(np.tile(burst, 5))) == ""


def test_another_key_may_follow_without_a_pause():
    events = listen(between(np.concatenate([press("1", 60), press("9", 60)])))
    assert [(type(e), e.key) for e in events] == [
        (KeyDown, "1"), (KeyUp, "1"), (KeyDown, "9"), (KeyUp, "9"),
    ]  # fmt: skip


def test_a_key_that_changes_after_a_few_windows_is_the_later_one():
    assert keys(between(np.concatenate([press("1", 24), press("2", 60)]))) == "2"


def test_a_tone_that_fades_in_or_drops_is_a_key_once():
    swell = press("4", 100) * np.linspace(0.05, 1, 800, dtype=np.float32)
    assert keys(between(swell)) == "4"
    assert keys(between(np.concatenate([press("4", 24) * 4, press("4", 24)]))) == ""


def test_a_tone_that_dies_away_like_a_bell_is_none():
    bell = press("4", 300) * (10 ** (-4 * np.arange(2_400) / 160 / 20)).astype(np.float32)
    assert keys(between(bell)) == ""


def test_one_tone_alone_is_no_key():
    low = press("1", 200, dbm0=(-10, -90))
    assert keys(between(low)) == ""


@given(
    st.text(ALL_KEYS, min_size=1, max_size=5),
    st.lists(st.integers(1, 500), min_size=1, max_size=8),
)
@settings(max_examples=30)
def test_frames_may_have_any_length(pressed, lengths):
    signal = np.concatenate([between(press(key, 55)) for key in pressed])
    detector, at, heard, turn = DtmfDetector(), 0, "", 0
    while at < len(signal):
        length = lengths[turn % len(lengths)]
        events = detector.feed(signal[at : at + length])
        heard += "".join(e.key for e in events if isinstance(e, KeyDown))
        at, turn = at + length, turn + 1
    assert heard == pressed


@pytest.mark.parametrize("gain", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("noise_dbov", [-120, -45])
def test_speech_is_no_key(gain, noise_dbov):
    said = every_speech() * np.float32(gain)
    said = said + noise(len(said), noise_dbov)
    assert len(said) > 8_000 * 60
    assert keys(to_signal(from_signal(said, "pcmu"), "pcmu")) == ""


def test_noise_and_a_crowd_are_no_keys():
    assert keys(noise(8_000 * 20, -15)) == ""
    voices = [
        speech("Two of them for the Greens, please, and a table by the sea.", v) for v in (0, 1, 3)
    ]
    shortest = min(map(len, voices))
    assert keys(np.sum([voice[:shortest] for voice in voices], axis=0)) == ""


def test_keys_are_heard_over_an_echo_of_speech():
    echo = every_speech() * np.float32(0.1)  # 20 dB below: what an echo canceller leaves
    at = np.arange(2_000, len(echo) - 2_000, 4_000)
    for number, begin in enumerate(at):
        tone = press(ALL_KEYS[number % 16], 80)
        echo[begin : begin + len(tone)] += tone
    assert keys(echo) == "".join(ALL_KEYS[number % 16] for number in range(len(at)))


def test_a_lost_frame_does_not_double_a_key():
    signal = between(press("8", 120), 40)
    frames = [signal[at : at + 160] for at in range(0, len(signal), 160)]
    for gone in range(len(frames)):
        detector, events = DtmfDetector(), list[KeyEvent]()
        for number, frame in enumerate(frames):
            if number == gone:
                detector.lost(160)
            else:
                events += detector.feed(frame)
        assert [type(e) for e in events] == [KeyDown, KeyUp], gone


def test_a_long_loss_ends_a_key():
    detector = DtmfDetector()
    detector.feed(press("8", 60))
    detector.lost(800)
    assert [type(e) for e in detector.feed(press("8", 60))] == [KeyUp, KeyDown]
