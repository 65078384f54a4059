"""The byte link's frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import LinkError
from reception.framing import (
    MAX_FRAME_BYTES,
    FrameReader,
    Kind,
    encode,
    encode_audio,
    split_audio,
)

frames = st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=300)), max_size=8)


@given(frames, st.integers(1, 50))
def test_frames_come_back_whole_however_the_bytes_are_cut(sent, step):
    data = b"".join(encode(kind, body) for kind, body in sent)
    reader = FrameReader()
    got = []
    for at in range(0, len(data), step):
        got += reader.feed(data[at : at + step])
    assert got == sent


@given(st.integers(0, 2**64 - 1), st.binary(max_size=100))
def test_audio_keeps_its_stamp(stamp_ns, message):
    [(kind, body)] = FrameReader().feed(encode_audio(stamp_ns, message))
    assert (kind, split_audio(body)) == (Kind.AUDIO, (stamp_ns, message))


def test_a_body_over_the_bound_is_not_sent():
    with pytest.raises(LinkError, match=f"over {MAX_FRAME_BYTES}"):
        encode(Kind.CONTROL, bytes(MAX_FRAME_BYTES + 1))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0\0\0\0\x01", "frame length 0"),
        (b"\xff\xff\xff\xff\x01", "frame length 4294967295"),
        (b"\0\0\0\x01\x63", "unknown frame kind 99"),
    ],
)
def test_nonsense_is_refused(data, message):
    with pytest.raises(LinkError, match=message):
        FrameReader().feed(data)


def test_an_audio_frame_without_stamp_is_refused():
    with pytest.raises(LinkError, match="3 bytes has no stamp"):
        split_audio(b"abc")
