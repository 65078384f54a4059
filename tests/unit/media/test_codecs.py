"""Sizes and silence of what legs carry, and what a worker makes of it."""

import pytest

from reception.media.codecs import AudioFormat

PCMU, PCMA = AudioFormat("pcmu", 8_000), AudioFormat("pcma", 8_000)
L16, OPUS = AudioFormat("l16", 16_000), AudioFormat("opus", 8_000)


@pytest.mark.parametrize(
    ("format", "bytes_per_ms", "silence"),
    [(PCMU, 8, b"\xff"), (PCMA, 8, b"\xd5"), (L16, 32, b"\0\0")],
)
def test_sizes_and_silence(format, bytes_per_ms, silence):
    assert format.bytes_per_ms == bytes_per_ms
    assert format.duration_ms(bytes_per_ms * 20 + 1) == 20
    assert format.silence == silence
    assert format.inner == format


def test_opus_is_handled_as_the_providers_linear_audio():
    assert OPUS.inner == AudioFormat("l16", 24_000)
    with pytest.raises(KeyError):
        OPUS.duration_ms(160)
