"""One caller's audio: order, gaps, keys and quality in one."""

from __future__ import annotations

from typing import Any

import numpy as np
import opuslib_next
import pytest

from actors.opus import MAX_CONCEALED, OpusDecoder
from actors.signal.caller import MAX_FILL_MS, CallerAudio, CallerPackets
from actors.signal.dtmf import KeyDown, KeyUp
from actors.signal.levels import from_signal
from reception.errors import InvalidRequest
from reception.media.codecs import AudioFormat
from reception.media.jitter import JitterBuffer, Lost
from tests.actors.signal.sounds import dbov, noise, press, silence

PCMU = AudioFormat("pcmu", 8_000)


def frames(signal: np.ndarray, format: AudioFormat = PCMU) -> list[bytes]:
    size = format.rate_hz // 50
    return [from_signal(signal[at : at + size], format.name) for at in range(0, len(signal), size)]


class Caller(CallerAudio):
    """Hears what comes out of a jitter buffer, as in `CallerLeg`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.jitter: JitterBuffer[bytes] = JitterBuffer(3, 0.06)

    def receive(self, payload: bytes, sequence: int, now_s: float) -> list[bytes]:
        return [self.hear(each) for each in self.jitter.add(payload, sequence, now_s)]

    def handle_timer(self, now_s: float) -> list[bytes]:
        return [self.hear(each) for each in self.jitter.handle_timer(now_s)]

    def flush(self) -> list[bytes]:
        return [self.hear(each) for each in self.jitter.flush()]


def test_a_whole_leg_passes_frame_by_frame_untouched():
    caller = Caller(PCMU)
    sent = frames(noise(8_000, -30))
    assert [caller.receive(f, n + 1, n * 0.02) for n, f in enumerate(sent)] == [[f] for f in sent]
    quality = caller.quality()
    assert (quality.frames, quality.lost, quality.clipped_share) == (50, 0, 0.0)
    assert quality.mos == pytest.approx(4.41, abs=0.01)
    assert dbov(caller.level.power) == pytest.approx(-30, abs=1)
    assert caller.flush() == []
    assert caller.take_keys() == []


def test_shuffled_frames_come_out_in_order_and_whole():
    caller = Caller(PCMU)
    sent = frames(noise(8_000, -30))
    order = [0, 2, 1, *range(3, 20), 22, 21, 20, *range(23, 50)]
    out = [
        audio for at, n in enumerate(order) for audio in caller.receive(sent[n], n + 1, at * 0.02)
    ]
    assert out == sent
    assert (caller.jitter.counts.reordered, caller.jitter.counts.lost) == (3, 0)


@pytest.mark.parametrize("format", [PCMU, AudioFormat("l16", 24_000)])
def test_a_gap_is_filled_to_its_length_when_its_time_is_up(format):
    caller = Caller(format, rng=np.random.default_rng(1))
    sent = frames(noise(format.rate_hz, -30), format)
    for number in range(20):
        caller.receive(sent[number], number + 1, number * 0.02)
    assert caller.receive(sent[22], 23, 0.44) == []
    deadline_s = caller.jitter.next_deadline_s()
    assert deadline_s == pytest.approx(0.50)
    assert caller.handle_timer(0.49) == []
    fill, joined = caller.handle_timer(0.50)
    assert (len(fill), len(joined)) == (2 * len(sent[0]), len(sent[0]))
    assert joined[-len(joined) // 2 :] == sent[22][-len(joined) // 2 :]
    assert joined != sent[22]
    quality = caller.quality()
    assert (quality.frames, quality.lost) == (21, 2)
    assert quality.burst_ratio == pytest.approx(2 * 21 / 23)
    assert quality.mos < 4.2


def test_a_gap_at_the_end_is_let_go():
    caller = Caller(PCMU)
    caller.receive(b"\xff" * 160, 1, 0.0)
    caller.receive(b"\xff" * 160, 3, 0.04)
    assert [len(audio) for audio in caller.flush()] == [160, 160]


def test_a_jump_is_filled_for_a_bounded_time():
    caller = Caller(PCMU)
    caller.receive(b"\xff" * 160, 1, 0.0)
    out = caller.receive(b"\xff" * 160, 1 << 40, 0.02)
    assert [len(audio) for audio in out] == [MAX_FILL_MS * 8, 160]
    assert caller.jitter.counts.lost == (1 << 40) - 2


def test_numbers_that_go_backwards_are_refused_and_do_no_harm():
    caller = Caller(PCMU)
    caller.receive(b"\xff" * 160, 5, 0.0)
    with pytest.raises(InvalidRequest, match=r"audio.sequence 4 is not over 5"):
        caller.receive(b"\xff" * 160, 4, 0.02)
    assert caller.receive(b"\xfe" * 160, 6, 0.04) == [b"\xfe" * 160]


def test_keys_are_heard_once_through_a_loss():
    caller = Caller(PCMU)
    sent = frames(np.concatenate([silence(100), press("5", 120), silence(100)]))
    for number, frame in enumerate(sent):
        if number != 8:
            caller.receive(frame, number + 1, number * 0.02)
    down, up = caller.take_keys()
    assert down == KeyDown("5")
    assert isinstance(up, KeyUp)
    assert up.duration_ms == pytest.approx(120, abs=8)
    assert caller.take_keys() == []


def test_keys_are_not_listened_for_where_nobody_wants_them():
    caller = Caller(PCMU, keys=False)
    for number, frame in enumerate(frames(press("5", 120))):
        if number != 3:
            caller.receive(frame, number + 1, number * 0.02)
    assert len(caller.flush()) == 3
    assert caller.take_keys() == []
    assert caller.jitter.counts.lost == 1


def test_opus_packets_are_judged_as_they_sound_and_gaps_counted_at_once() -> None:
    encoder = opuslib_next.Encoder(24_000, 1, "voip")
    caller = CallerPackets(OpusDecoder(24_000), AudioFormat("l16", 24_000))
    sound = np.concatenate(
        [silence(100, 24_000), press("7", 100, rate_hz=24_000), silence(400, 24_000)]
    )
    packets = [
        encoder.encode(from_signal(sound[at : at + 480], "l16"), 480)
        for at in range(0, len(sound), 480)
    ]
    gap = Lost(MAX_CONCEALED + 3)
    heard: list[bytes | Lost] = [*packets[:16], gap, *packets[16 + gap.frames :]]
    audio = [caller.hear(each) for each in heard]
    assert {len(each) for each in audio} == {0, 960, 960 * (1 + MAX_CONCEALED)}
    down, up = caller.take_keys()
    assert (down, isinstance(up, KeyUp)) == (KeyDown("7"), True)
    quality = caller.quality()
    assert (quality.frames, quality.lost) == (len(packets) - gap.frames, gap.frames)
    assert quality.mos == 1.0  # 8 of 30 packets, in one burst
    assert 0.6 < quality.silent_share < 0.85
    assert -20 < quality.level_dbov < -5


def test_clipping_and_silence_are_shares_of_the_leg():
    caller = Caller(PCMU)
    loud = 3 * np.sin(2 * np.pi * 500 * np.arange(800) / 8_000).astype(np.float32)
    for frame in frames(np.concatenate([loud, silence(300)])):
        caller.receive(frame, 0, 0.0)
    quality = caller.quality()
    assert quality.silent_share == pytest.approx(0.75)
    assert 0.15 < quality.clipped_share < 0.25
    assert -1.5 < quality.level_dbov < 0  # a sine that is clipped at a third of it
