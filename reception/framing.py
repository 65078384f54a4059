"""Frames of the byte link: a 4-byte big-endian length, a kind, a body."""

from __future__ import annotations

import struct
from enum import IntEnum

from reception.errors import LinkError

MAX_FRAME_BYTES = 1 << 20
AUDIO_TAG = b"\x12"  # first byte of a message with audio: field 2 of both reception.v1 messages
CLEAR_TAG, MARK_TAG = b"\x1a", b"\x22"  # of what is told a leg: fields 3 and 4
_HEADER = struct.Struct("!IB")
_AUDIO_HEADER = struct.Struct("!IBQ")
_STAMP = struct.Struct("!Q")
_LENGTH_BYTES = 4
_unpack_header = _HEADER.unpack_from


class Kind(IntEnum):
    """What a frame's body is."""

    AUDIO = 1  # 8-byte stamp (CLOCK_MONOTONIC ns) + a message passed on as it is
    CONTROL = 2  # a link.v1 message
    PING = 3  # asks for a sign of life; any body, a Link's is its clock (8 bytes, ns)
    PONG = 4  # the ping's body + the answering side's clock


_KINDS = {int(kind): kind for kind in Kind}
_AUDIO = int(Kind.AUDIO)


def encode(kind: Kind, body: bytes) -> bytes:
    """One frame. Raises LinkError when the body is over `MAX_FRAME_BYTES`."""
    if len(body) > MAX_FRAME_BYTES:
        raise LinkError(f"frame body of {len(body)} bytes is over {MAX_FRAME_BYTES}")
    return _HEADER.pack(len(body) + 1, kind) + body


def encode_audio(stamp_ns: int, message: bytes) -> bytes:
    """An AUDIO frame: the message and when its first holder received it."""
    length = len(message) + _STAMP.size
    if length > MAX_FRAME_BYTES:
        raise LinkError(f"frame body of {length} bytes is over {MAX_FRAME_BYTES}")
    return _AUDIO_HEADER.pack(length + 1, _AUDIO, stamp_ns) + message


def audio_body(stamp_ns: int, message: bytes) -> bytes:
    """The body of an AUDIO frame; `split_audio` takes it apart."""
    return _STAMP.pack(stamp_ns) + message


def split_audio(body: bytes) -> tuple[int, bytes]:
    """(stamp_ns, message) of an AUDIO frame's body."""
    if len(body) < _STAMP.size:
        raise LinkError(f"audio frame of {len(body)} bytes has no stamp")
    return _STAMP.unpack_from(body)[0], body[_STAMP.size :]


class FrameReader:
    """Takes bytes as they come and gives whole frames."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []  # of an unfinished frame, at most MAX_FRAME_BYTES
        self._held_bytes = 0
        self._needed_bytes = 0

    def feed(self, data: bytes) -> list[tuple[Kind, bytes]]:
        """Frames completed by `data`. Raises LinkError on a bad length or kind."""
        if self._parts:
            self._parts.append(data)
            self._held_bytes += len(data)
            if self._held_bytes < self._needed_bytes:
                return []
            data = b"".join(self._parts)
            self._parts.clear()
        frames: list[tuple[Kind, bytes]] = []
        at, size, end = 0, len(data), _HEADER.size
        while size - at >= _HEADER.size:
            length, number = _unpack_header(data, at)
            if not 1 <= length <= MAX_FRAME_BYTES + 1:
                raise LinkError(f"frame length {length} is not 1..{MAX_FRAME_BYTES + 1}")
            end = at + _LENGTH_BYTES + length
            if size < end:
                break
            kind = _KINDS.get(number)
            if kind is None:
                raise LinkError(f"unknown frame kind {number}")
            frames.append((kind, data[at + _HEADER.size : end]))
            at = end
        if at < size:
            self._parts.append(data[at:] if at else data)
            self._held_bytes = size - at
            self._needed_bytes = max(_HEADER.size, end - at)
        return frames
