"""Requests to a speech process and its answers: JSON and sound in one frame of the byte link."""

from __future__ import annotations

import json
import struct
from typing import Any

from reception.framing import Kind, encode

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
