"""Asks the node's synthesizer for the sound of words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing

from reception.errors import Unavailable
from reception.media.leg import Speaks
from reception.speech_frames import Answers, pack

SILENT_S = 4.0
"""Nothing comes for so long: nobody speaks here. Three tries are over before the caller's
answer is given up."""

_READ_BYTES = 64 * 1024


async def sound_of(text: str, speaks: Speaks) -> AsyncIterator[bytes]:
    """The sound of a text as it is made: 16-bit little-endian samples at 24 kHz. Raises as
    `Answers.feed`; Unavailable also when nobody speaks here."""
    head = {"text": text, "voice": speaks.voice, "speed": 1.0, "language": speaks.language}
    answers = Answers()
    try:
        reader, writer = await asyncio.open_unix_connection(speaks.socket)
        with closing(writer):
            writer.write(pack(head))
            while not answers.over:
                async with asyncio.timeout(SILENT_S):
                    data = await reader.read(_READ_BYTES)
                for _, sound in answers.feed(data):
                    yield sound
    except OSError as error:
        message = f"no speech synthesis at this node: {error}"
        raise Unavailable(message, retry_after_s=1.0) from error
