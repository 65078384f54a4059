"""Frames of the byte link: a 4-byte big-endian length, a kind, a body."""

from __future__ import annotations

import struct
from enum import IntEnum

from reception.errors import LinkError

MAX_FRAME_BYTES = 1 << 20
_HEADER = struct.Struct("!IB")
_STAMP = struct.Struct("!Q")


class Kind(IntEnum):
    """What a frame's body is."""

    AUDIO = 1  # 8-byte stamp (CLOCK_MONOTONIC ns) + a message passed on as it is
    CONTROL = 2  # a link.v1 message
    PING = 3
    PONG = 4


def encode(kind: Kind, body: bytes) -> bytes:
    """One frame. Raises LinkError when the body is over `MAX_FRAME_BYTES`."""
    if len(body) > MAX_FRAME_BYTES:
        raise LinkError(f"frame body of {len(body)} bytes is over {MAX_FRAME_BYTES}")
    return _HEADER.pack(len(body) + 1, kind) + body


def encode_audio(stamp_ns: int, message: bytes) -> bytes:
    """An AUDIO frame: the message and when its first holder received it."""
    return encode(Kind.AUDIO, _STAMP.pack(stamp_ns) + message)


def split_audio(body: bytes) -> tuple[int, bytes]:
    """(stamp_ns, message) of an AUDIO frame's body."""
    if len(body) < _STAMP.size:
        raise LinkError(f"audio frame of {len(body)} bytes has no stamp")
    return _STAMP.unpack_from(body)[0], body[_STAMP.size :]


class FrameReader:
    """Takes bytes as they come and gives whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[Kind, bytes]]:
        """Frames completed by `data`. Raises LinkError on a bad length or kind."""
        buffer = self._buffer
        buffer += data
        frames: list[tuple[Kind, bytes]] = []
        at = 0
        while len(buffer) - at >= _HEADER.size:
            length, kind = _HEADER.unpack_from(buffer, at)
            if not 1 <= length <= MAX_FRAME_BYTES + 1:
                raise LinkError(f"frame length {length} is not 1..{MAX_FRAME_BYTES + 1}")
            end = at + 4 + length
            if len(buffer) < end:
                break
            try:
                frames.append((Kind(kind), bytes(buffer[at + _HEADER.size : end])))
            except ValueError:
                raise LinkError(f"unknown frame kind {kind}") from None
            at = end
        del buffer[:at]
        return frames
