"""Opus legs: what goes in comes out, also where packets are missing."""

import numpy as np
import opuslib_next
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.audio import PassThrough, leg_decoder, leg_encoder
from actors.opus import MAX_CONCEALED, OpusDecoder, OpusEncoder
from reception.errors import InvalidRequest
from reception.media.codecs import AudioFormat

INNER_HZ = 24_000


def voice(seconds=2.0, rate_hz=INNER_HZ, hz=300):
    """A tone with overtones, shape (samples,)."""
    at = np.arange(int(rate_hz * seconds)) / rate_hz
    parts = [np.sin(2 * np.pi * hz * n * at) / n for n in (1, 2, 3)]
    return np.round(4_000 * sum(parts)).astype(np.int16)


def packets_of(samples, encoder, rate_hz=INNER_HZ, ptime_ms=20):
    size = rate_hz * ptime_ms // 1000
    return [
        encoder.encode(samples[at : at + size].tobytes()) for at in range(0, len(samples), size)
    ]


def samples_of(packets, decoder):
    return np.frombuffer(b"".join(decoder.decode(packet) for packet in packets), np.int16)


def likeness(sent, received):
    """Correlation at the best alignment within 20 ms, 1 for the same sound."""
    sent, received = sent[4_800:-4_800].astype(float), received.astype(float)
    return max(
        np.corrcoef(sent, received[4_800 + lag : 4_800 + lag + len(sent)])[0, 1]
        for lag in range(480)
    )


@pytest.mark.parametrize("leg_rate_hz", [8_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("ptime_ms", [10, 20, 40, 60])
def test_speech_comes_through(leg_rate_hz, ptime_ms):
    leg = AudioFormat("opus", leg_rate_hz)
    sent = voice(2.4)
    packets = packets_of(sent, leg_encoder(leg), ptime_ms=ptime_ms)
    received = samples_of(packets, leg_decoder(leg))
    assert len(received) == len(sent)
    assert likeness(sent, received) > 0.9
    assert max(map(len, packets)) <= 1_275


def test_bandwidth_and_bit_rate_follow_the_leg():
    rng = np.random.default_rng(1)
    noise = (rng.normal(0, 3_000, INNER_HZ * 2)).astype(np.int16)
    above_hz, sizes = {8_000: 4_200, 16_000: 8_200, 24_000: 11_999}, []
    for leg_rate_hz, edge_hz in above_hz.items():
        leg = AudioFormat("opus", leg_rate_hz)
        packets = packets_of(noise, leg_encoder(leg))
        sizes.append(sum(map(len, packets)))
        spectrum = np.abs(np.fft.rfft(samples_of(packets, leg_decoder(leg)))) ** 2
        hz = np.fft.rfftfreq(INNER_HZ * 2, 1 / INNER_HZ)
        assert spectrum[hz > edge_hz].sum() < 0.01 * spectrum.sum()
        if leg_rate_hz > 8_000:
            assert spectrum[hz > edge_hz / 2].sum() > 0.05 * spectrum.sum()
    assert sizes == sorted(sizes)
    assert sizes[0] < 2 * 16_000 / 8 * 1.2


@pytest.mark.parametrize("rate_hz", [8_000, 12_000, 16_000, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_packets_of_other_encoders_are_understood(rate_hz, channels):
    """Any bandwidth, mono or stereo, up to 120 ms in a packet."""
    encoder = opuslib_next.Encoder(rate_hz, channels, "audio")
    sound = np.repeat(voice(2.4, rate_hz), channels)
    received = []
    decoder = OpusDecoder(INNER_HZ)
    size = rate_hz * 120 // 1000 * channels
    for at in range(0, len(sound), size):
        packet = encoder.encode(sound[at : at + size].tobytes(), size // channels)
        received.append(decoder.decode(packet))
    assert {len(audio) for audio in received} == {INNER_HZ * 120 // 1000 * 2}
    audio = np.frombuffer(b"".join(received), np.int16)
    assert likeness(voice(2.4), audio) > 0.95


def test_lost_packets_leave_no_hole_and_time_goes_on():
    encoder, decoder = OpusEncoder(INNER_HZ, 48_000), OpusDecoder(INNER_HZ)
    packets = packets_of(voice(), encoder)
    heard = [decoder.decode(packet) for packet in packets[:50]]
    heard.append(decoder.decode(packets[52], lost=2))
    assert len(heard[-1]) == 3 * len(heard[0])
    made_up = np.frombuffer(heard[-1], np.int16)[:960].astype(float)
    assert made_up.std() > 1_000  # the tone goes on
    assert len(decoder.decode(packets[99], lost=10**18)) == (MAX_CONCEALED + 1) * 960


def test_a_copy_of_the_lost_packet_is_used_where_the_sender_added_one():
    encoder = opuslib_next.Encoder(16_000, 1, "voip")
    encoder.inband_fec, encoder.packet_loss_perc, encoder.bitrate = 1, 30, 32_000
    rng = np.random.default_rng(1)
    words = voice(2, 16_000) * np.repeat(rng.random(40), 800)  # nobody can guess it
    packets = packets_of(words.astype(np.int16), encoder_of(encoder, 320), 16_000)
    whole = samples_of(packets, OpusDecoder(INNER_HZ)).astype(float)
    errors = {}
    for copies in (True, False):
        decoder, error = OpusDecoder(INNER_HZ), 0.0
        for number in range(1, 100):
            if number % 5 == 3:
                continue
            lost = number % 5 == 4
            if lost and not copies:
                made_up = decoder._next(None, 480, from_copy=False) + decoder.decode(
                    packets[number]
                )
            else:
                made_up = decoder.decode(packets[number], lost)
            if lost:
                there = np.frombuffer(made_up, np.int16)[:480].astype(float)
                error += np.abs(there - whole[(number - 1) * 480 : number * 480]).sum()
        errors[copies] = error
    assert errors[True] < 0.6 * errors[False]


def encoder_of(encoder, samples):
    class Encoder:
        def encode(self, frame):
            return encoder.encode(frame, samples)

    return Encoder()


def test_a_sender_that_falls_silent_is_heard_to_be_silent():
    """Discontinuous transmission: packets of a byte or two while nobody speaks."""
    encoder = opuslib_next.Encoder(16_000, 1, "voip")
    encoder.dtx, encoder.bitrate = 1, 20_000
    words = np.concatenate((voice(1, 16_000), np.zeros(32_000, np.int16)))
    packets = packets_of(words, encoder_of(encoder, 320), 16_000)
    assert min(map(len, packets)) <= 2
    heard = samples_of(packets, OpusDecoder(INNER_HZ))
    assert len(heard) == 3 * INNER_HZ
    assert np.abs(heard[2 * INNER_HZ :]).max() < 50


@given(st.binary(min_size=1, max_size=400), st.integers(0, 3))
def test_bytes_are_either_audio_or_refused(payload, lost):
    try:
        audio = OpusDecoder(INNER_HZ).decode(payload, lost)
    except InvalidRequest as refusal:
        said = (refusal.field, refusal.message.partition(" is ")[0])
        assert said == ("audio.payload", f"audio.payload of {len(payload)} bytes")
    else:
        assert 0 < len(audio) <= INNER_HZ * 2 * (120 + 3 * 20) // 1000


def test_other_legs_pass_through():
    leg = AudioFormat("pcmu", 8_000)
    decoder, encoder = leg_decoder(leg), leg_encoder(leg)
    assert isinstance(decoder, PassThrough)
    assert not decoder.conceals
    assert leg_decoder(AudioFormat("opus", 8_000)).conceals
    assert decoder.decode(b"\x01\x02", lost=3) == encoder.encode(b"\x01\x02") == b"\x01\x02"
