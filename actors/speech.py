"""Asks the node's synthesizer for the sound of words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from reception.errors import LimitReached, Unavailable
from reception.framing import FrameReader
from reception.media.leg import Speaks
from reception.speech_frames import pack, unpack

_READ_BYTES = 64 * 1024


async def sound_of(text: str, speaks: Speaks) -> AsyncIterator[bytes]:
    """The sound of a text as it is made: 16-bit little-endian samples at 24 kHz.

    Raises:
        Unavailable: nobody speaks here, or no more.
        LimitReached: too many wait for theirs.
    """
    head = {"text": text, "voice": speaks.voice, "speed": 1.0, "language": speaks.language}
    try:
        reader, writer = await asyncio.open_unix_connection(speaks.socket)
    except OSError as error:
        raise Unavailable("no speech synthesis at this node", retry_after_s=1.0) from error
    try:
        writer.write(pack(head))
        frames = FrameReader()
        while data := await reader.read(_READ_BYTES):
            for _, body in frames.feed(data):
                answer, sound = unpack(body)
                if "error" in answer:
                    raise LimitReached(str(answer["error"]), retry_after_s=1.0)
                if answer.get("last"):
                    return
                yield sound
        raise Unavailable("the speech synthesis ended in the middle", retry_after_s=1.0)
    except OSError as error:
        raise Unavailable("the speech synthesis is gone", retry_after_s=1.0) from error
    finally:
        writer.close()
