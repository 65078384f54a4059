"""Requests to a speech process and its answers: JSON and sound in one frame of the byte link."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from reception.errors import LimitReached, Unavailable
from reception.framing import FrameReader, Kind, encode

_HEAD = struct.Struct("!I")

Head = dict[str, Any]


def pack(head: Head, sound: bytes = b"") -> bytes:
    """One frame of a JSON head and sound."""
    text = json.dumps(head).encode()
    return encode(Kind.CONTROL, _HEAD.pack(len(text)) + text + sound)


def unpack(body: bytes) -> tuple[Head, bytes]:
    """Head and sound of a frame's body."""
    (length,) = _HEAD.unpack_from(body)
    head: Head = json.loads(body[_HEAD.size : _HEAD.size + length])
    return head, body[_HEAD.size + length :]


class Answers:
    """The answers to a request, as their bytes come. over: that was the last of them."""

    def __init__(self) -> None:
        self._frames, self.over = FrameReader(), False

    def feed(self, data: bytes) -> Iterator[tuple[Head, bytes]]:
        """Head and sound of each that is whole now; no data: the other side closed.

        Raises:
            LimitReached: too many requests wait there.
            Unavailable: it closed before the last answer.
        """
        if not data:
            raise Unavailable("the speech process ended in the middle", retry_after_s=1.0)
        for _, body in self._frames.feed(data):
            head, sound = unpack(body)
            if "error" in head:
                raise LimitReached(str(head["error"]), retry_after_s=1.0)
            if head.get("last"):
                self.over = True
                return
            yield head, sound
