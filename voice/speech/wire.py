"""Requests to a speech process over a Unix socket: JSON and sound, framed.

Sound never travels in Ray calls. A request is one frame, its answer one or more
frames, the last one marked; a new connection for each request, so that closing
it takes the request back.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path

from reception.errors import LinkError, Unavailable
from reception.framing import FrameReader, Kind
from reception.speech_frames import Answers, Head, pack, unpack

_READ_BYTES = 256 * 1024
MAX_WAITING = 64

Handler = Callable[[Head, bytes], AsyncIterator[tuple[Head, bytes]]]


async def request(path: str, head: Head, sound: bytes = b"") -> AsyncIterator[tuple[Head, bytes]]:
    """Sends a request and gives its answers as they come. Raises as `Answers.feed`;
    Unavailable also when nobody serves `path`."""
    answers = Answers()
    try:
        reader, writer = await asyncio.open_unix_connection(path)
        with closing(writer):
            writer.write(pack(head, sound))
            while not answers.over:
                for answer in answers.feed(await reader.read(_READ_BYTES)):
                    yield answer
    except OSError as error:
        raise Unavailable(f"no speech process at {Path(path).name}", retry_after_s=1.0) from error


async def serve(path: str, handler: Handler) -> asyncio.Server:
    """Answers requests at `path`; over MAX_WAITING at once are refused."""
    waiting = 0

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal waiting
        waiting += 1
        try:
            if waiting > MAX_WAITING:
                writer.write(pack({"error": "too many speech requests wait"}))
                await writer.drain()
            else:
                await _until_gone(reader, _answer(reader, writer, handler))
        except (LinkError, OSError):
            pass
        finally:
            waiting -= 1
            writer.close()

    with suppress(FileNotFoundError):
        os.unlink(path)
    server = await asyncio.start_unix_server(on_connection, path, limit=2**20)
    os.chmod(path, 0o600)
    return server


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
) -> None:
    frames = FrameReader()
    got: list[tuple[Kind, bytes]] = []
    while not got:
        data = await reader.read(_READ_BYTES)
        if not data:
            return
        got = frames.feed(data)
    head, sound = unpack(got[0][1])
    async for answer, answer_sound in handler(head, sound):
        writer.write(pack(answer, answer_sound))
        await writer.drain()
    writer.write(pack({"last": True}))
    await writer.drain()


async def _until_gone(reader: asyncio.StreamReader, work: Awaitable[None]) -> None:
    """Runs `work`; it is cancelled when the other side closes the connection."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=0.1)
            if reader.at_eof():
                break
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
