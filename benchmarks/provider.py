"""What a 20 ms frame costs the audio worker at the provider's socket, each way.

A provider of `websockets` in one process takes a piece of audio every 20 ms on
each socket and sends one; the worker's end is in a second. The baseline writes
the same bytes to a plain socket and reads as many.
"""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import suppress
from typing import Any

import uvloop
import websockets
from websockets.asyncio.server import ServerConnection, serve

from actors.provider import ProviderSocket
from benchmarks.figures import quantile, row
from benchmarks.process import KEPT, Process
from reception.provider import codec_for
from reception.provider.base import AppendAudio, DialPlan

CALLS, FRAME_S, SECONDS, ROUNDS = 20, 0.02, 2.0, 5
FRAME = bytes(range(160))
DELTA = json.dumps(
    {
        "type": "response.output_audio.delta",
        "event_id": "event_ABCDEFGHIJKLMNOPQRSTU",
        "response_id": "resp_ABCDEFGHIJKLMNOPQRSTU",
        "item_id": "item_ABCDEFGHIJKLMNOPQRSTU",
        "output_index": 0,
        "content_index": 0,
        "delta": base64.b64encode(FRAME).decode(),
    }
)


def run() -> None:
    with Process(_provider) as provider, Process(_plain_provider) as plain:
        ends = {
            "baseline: plain socket": (_plain_ends, plain.address),
            "send a frame to the provider": (_senders, provider.address),
            "take a frame of the provider": (_takers, provider.address + "/speaks"),
        }
        figures: dict[str, list[float]] = {name: [] for name in ends}
        for _ in range(ROUNDS):  # in turns, so that a busy machine hits all
            for name, (main, address) in ends.items():
                with Process(main, address) as end:
                    figures[name].append(uvloop.run(_cpu_us(end)))
    base = quantile(figures["baseline: plain socket"], 0.5)
    for name, values in figures.items():
        row(f"{name}, CPU", values, "us", base)


async def _cpu_us(end: Process) -> float:
    """CPU microseconds of a frame."""
    await asyncio.sleep(0.3)
    began_s = end.cpu_s()
    await asyncio.sleep(SECONDS)
    return (end.cpu_s() - began_s) * 1e6 / (CALLS * SECONDS / FRAME_S)


# ------------------------------------------------------------- the worker's end


async def _paced(works: list[Any]) -> None:
    loop = asyncio.get_running_loop()
    next_s = loop.time()
    while True:
        next_s += FRAME_S
        await asyncio.sleep(max(0.0, next_s - loop.time()))
        for work in works:
            work()


async def _dialled(url: str) -> list[ProviderSocket]:
    plan = DialPlan("embedded", url, "m", "pcmu")
    return [await ProviderSocket.dial(plan) for _ in range(CALLS)]


async def _senders(url: str) -> str:
    codec = codec_for("embedded")
    sockets = await _dialled(url)
    sends = [
        lambda socket=socket: socket.send_audio(codec.encode(AppendAudio(FRAME)))
        for socket in sockets
    ]
    KEPT.append(asyncio.create_task(_paced(sends)))
    return ""


async def _takers(url: str) -> str:
    async def take(socket: ProviderSocket) -> None:
        while await socket.receive() is not None:
            pass

    KEPT.extend([asyncio.create_task(take(socket)) for socket in await _dialled(url)])
    return ""


async def _plain_ends(address: str) -> str:
    loop = asyncio.get_running_loop()
    host, port = address.split(":")
    made = [await loop.create_connection(asyncio.Protocol, host, int(port)) for _ in range(CALLS)]
    writes = [lambda transport=transport: transport.write(DELTA.encode()) for transport, _ in made]
    KEPT.append(asyncio.create_task(_paced(writes)))
    return ""


# ------------------------------------------------------------- the provider's end


async def _provider() -> str:
    async def session(connection: ServerConnection) -> None:
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        speaks = "/speaks" in (connection.request.path if connection.request else "")
        with suppress(websockets.ConnectionClosed):
            while speaks:
                next_s += FRAME_S
                await asyncio.sleep(max(0.0, next_s - loop.time()))
                await connection.send(DELTA)
            async for _ in connection:
                pass

    server = await serve(session, "127.0.0.1", 0)
    KEPT.append(server)
    return f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def _plain_provider() -> str:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    KEPT.append(server)
    return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
