"""The byte link's frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.reception.v1.reception_pb2 import (
    Audio,
    CallerMessage,
    ClearAudio,
    Mark,
    ReceptionMessage,
)
from reception.errors import LinkError
from reception.framing import (
    AUDIO_TAG,
    CLEAR_TAG,
    MARK_TAG,
    MAX_FRAME_BYTES,
    FrameReader,
    Kind,
    audio_body,
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
    assert audio_body(stamp_ns, message) == body


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


def test_a_long_frame_in_many_pieces_comes_whole_with_what_follows():
    body = bytes(range(256)) * 4096
    data = encode(Kind.CONTROL, body) + encode_audio(7, b"next") + b"\0\0"
    reader, got = FrameReader(), []
    for at in range(0, len(data), 4096):
        got += reader.feed(data[at : at + 4096])
    assert got == [(Kind.CONTROL, body), (Kind.AUDIO, b"\0\0\0\0\0\0\0\x07next")]
    assert reader.feed(b"\0\x01\x03") == [(Kind.PING, b"")]


def test_audio_over_the_bound_is_not_sent():
    encode_audio(1, bytes(MAX_FRAME_BYTES - 8))
    with pytest.raises(LinkError, match=f"over {MAX_FRAME_BYTES}"):
        encode_audio(1, bytes(MAX_FRAME_BYTES - 7))


@pytest.mark.parametrize("message", [CallerMessage, ReceptionMessage])
def test_messages_with_audio_begin_with_the_audio_tag_and_no_others_do(message):
    fields = message.DESCRIPTOR.fields
    tags = {field.name: bytes([field.number << 3 | 2]) for field in fields}  # wire type 2: bytes
    assert [name for name, tag in tags.items() if tag == AUDIO_TAG] == ["audio"]
    raw = message(audio=Audio(payload=b"x")).SerializeToString()
    assert raw[:1] == AUDIO_TAG


def test_marks_and_clearances_are_known_by_their_first_byte():
    said = ReceptionMessage(mark=Mark(name="p1")), ReceptionMessage(clear_audio=ClearAudio())
    assert [each.SerializeToString()[:1] for each in said] == [MARK_TAG, CLEAR_TAG]
