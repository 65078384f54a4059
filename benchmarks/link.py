"""The byte link: what a frame costs at each end, and how long it takes.

One process sends 50 frames a second on each of 50 links, another takes them.
The baseline moves the same bytes through the same loop (uvloop) without the link.
"""

from __future__ import annotations

import asyncio
import multiprocessing as mp
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import uvloop

from actors.cluster_ca import ClusterCa
from actors.link import Link
from actors.link_server import serve
from actors.link_tls import Credentials, NodeTls
from benchmarks.figures import row
from protos.reception.v1 import reception_pb2 as rv
from reception.framing import Kind, encode_audio

LINKS, FRAMES, FRAME_S = 50, 250, 0.02
ROUND_TRIPS = 2_000
INNER, ROUNDS = 200, 200
MESSAGE = rv.CallerMessage(
    audio=rv.Audio(payload=bytes(range(160)), sequence=7, timestamp_ms=140)
).SerializeToString()


def run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ca = ClusterCa.create()
        near, far = ca.issue("near"), ca.issue("far")
        _own_code()
        floor = _through(_Bare.serve, _bare_senders, f"{folder}/bare.sock")
        unix = _through(_serve_links, _link_senders, f"{folder}/link.sock")
        over_tls = _through(_serve_links, _link_senders, "tls:127.0.0.1:0", near, far)
        for end, name in enumerate(("send", "take")):
            row(f"baseline: {name} bare bytes, CPU", [floor[end]], "us")
            row(f"{name} a frame over a Unix socket, CPU", [unix[end]], "us", floor[end])
            row(f"{name} a frame over TLS, CPU", [over_tls[end]], "us", floor[end])
        uvloop.run(_round_trips(f"unix:{folder}/trip.sock"))
        uvloop.run(_round_trips("tls:127.0.0.1:0", NodeTls(near), NodeTls(far)))


# ------------------------------------------------------------- CPU at both ends


def _through(
    serving: Any,
    senders: Any,
    address: str,
    near: Credentials | None = None,
    far: Credentials | None = None,
) -> tuple[float, float]:
    """CPU microseconds of a frame for who sends and who takes it."""
    context = mp.get_context("spawn")
    here, there = context.Pipe()
    taker = context.Process(target=_take, args=(serving, address, far, there))
    taker.start()
    address = here.recv()
    sent_us = uvloop.run(_send(senders, address, near))
    here.send("end")
    taken_us = here.recv()
    taker.join()
    return sent_us, taken_us


def _take(serving: Any, address: str, credentials: Credentials | None, pipe: Connection) -> None:
    pipe.send(uvloop.run(_taking(serving, address, credentials, pipe)))


async def _taking(
    serving: Any, address: str, credentials: Credentials | None, pipe: Connection
) -> float:
    count = Count()
    pipe.send(await serving(address, credentials, count))
    await count.first.wait()
    began_s, began = time.process_time(), count.frames
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pipe.fileno(), ended.set)
    await ended.wait()
    loop.remove_reader(pipe.fileno())
    return (time.process_time() - began_s) * 1e6 / (count.frames - began)


async def _send(senders: Any, address: str, credentials: Credentials | None) -> float:
    sends = await senders(address, credentials)
    next_s = time.monotonic()
    began_s = time.process_time()
    for _ in range(FRAMES):
        next_s += FRAME_S
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))
        for send in sends:
            send()
    await asyncio.sleep(0.1)
    return (time.process_time() - began_s) * 1e6 / (LINKS * FRAMES)


class Count:
    """Frames taken."""

    def __init__(self) -> None:
        self.frames = 0
        self.first = asyncio.Event()

    def taken(self, kind: Kind, body: bytes) -> None:
        self.frames += 1
        if self.frames == 1:
            self.first.set()


async def _serve_links(address: str, credentials: Credentials | None, count: Count) -> str:
    async def on_link(link: Link) -> None:
        link.handle(count.taken, lambda: None)

    tls = NodeTls(credentials) if credentials else None
    return (await serve(address, on_link, tls)).address


async def _link_senders(address: str, credentials: Credentials | None) -> list[Any]:
    tls = NodeTls(credentials) if credentials else None
    links = [await Link.connect(address, 5.0, tls) for _ in range(LINKS)]
    return [lambda link=link: link.send_audio(1, MESSAGE) for link in links]


class _Bare(asyncio.Protocol):
    """Takes bytes and only counts."""

    def __init__(self, count: Count) -> None:
        self._count = count

    @classmethod
    async def serve(cls, path: str, credentials: None, count: Count) -> str:
        await asyncio.get_running_loop().create_unix_server(lambda: cls(count), path)
        return path

    def data_received(self, data: bytes) -> None:
        self._count.taken(Kind.AUDIO, data)


async def _bare_senders(path: str, credentials: None) -> list[Any]:
    loop = asyncio.get_running_loop()
    frame = encode_audio(1, MESSAGE)
    made = [await loop.create_unix_connection(lambda: _Bare(Count()), path) for _ in range(LINKS)]
    return [lambda transport=transport: transport.write(frame) for transport, _ in made]


# ------------------------------------------------------------- delay, own code


async def _round_trips(
    address: str, near: NodeTls | None = None, far: NodeTls | None = None
) -> None:
    async def on_link(link: Link) -> None:
        link.handle(lambda kind, body: link.send_audio(1, MESSAGE), lambda: None)

    server = await serve(address, on_link, far)
    link = await Link.connect(server.address, 5.0, near)
    values = []
    for _ in range(ROUND_TRIPS):
        began_ns = time.perf_counter_ns()
        link.send_audio(1, MESSAGE)
        await link.receive()
        values.append((time.perf_counter_ns() - began_ns) / 1000)
    row(f"there and back in one process, {address.partition(':')[0]}", values, "us")
    await link.close()
    server.close()


class _Nowhere(asyncio.Transport):
    def write(self, data: Any) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


def _own_code() -> None:
    async def measure() -> None:
        link = Link()
        link.connection_made(_Nowhere())
        link.handle(lambda kind, body: None, lambda: None)
        frame = encode_audio(1, MESSAGE)
        works: tuple[tuple[str, Callable[[], None]], ...] = (
            ("the link's own code: send a frame", lambda: link.send_audio(1, MESSAGE)),
            ("the link's own code: take a frame", lambda: link.data_received(frame)),
            ("the link's own code: take ten at once", lambda: link.data_received(frame * 10)),
        )
        for name, work in works:
            values = []
            for _ in range(ROUNDS):
                began_ns = time.perf_counter_ns()
                for _ in range(INNER):
                    work()
                values.append((time.perf_counter_ns() - began_ns) / 1000 / INNER)
            row(name, values, "us")

    uvloop.run(measure())
