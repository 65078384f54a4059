"""A head and sound in one frame come out as they went in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reception.framing import FrameReader, Kind
from reception.speech_frames import pack, unpack

HEADS = st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none())


@given(HEADS, st.binary())
def test_what_was_packed_is_unpacked(head: dict[str, object], sound: bytes) -> None:
    [(kind, body)] = FrameReader().feed(pack(head, sound))
    assert kind is Kind.CONTROL
    assert unpack(body) == (head, sound)
