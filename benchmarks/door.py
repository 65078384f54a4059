"""What a 20 ms frame costs the front door, in both directions at once.

Callers in one process, the door in a second, a worker that answers every frame
with one in a third. The baseline is a bare gRPC stream that echoes the frame.
"""

from __future__ import annotations

from cluster import grpc_threads  # noqa: F401 - comes before gRPC

# isort: split

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop

from actors.link import Link
from actors.link_server import serve
from benchmarks.figures import quantile, row
from benchmarks.process import KEPT, Process
from cluster.door_config import DoorConfig
from cluster.front_door import SERVICE, FrontDoor
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.framing import Kind, split_audio
from tests.fakes.backends import FakeBackends

CALLS, FRAMES, FRAME_S, ROUNDS = 20, 100, 0.02, 7
PCMU = rv.LegFormat(codec=rv.CODEC_PCMU)
START = rv.CallerMessage(start=rv.CallStart(format=PCMU)).SerializeToString()
FRAME = rv.CallerMessage(
    audio=rv.Audio(payload=bytes(range(160)), sequence=7, timestamp_ms=140)
).SerializeToString()


def run() -> None:
    base_us: list[float] = []
    door_us: list[float] = []
    delays_us: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Process(_worker, f"{folder}/w.sock") as worker,
        Process(_bare_door) as bare,
        Process(_door, worker.address) as door,
    ):
        for _ in range(ROUNDS):  # in turns, so that a busy machine hits both
            base_us.append(uvloop.run(_talk(bare))[0])
            cpu_us, delays = uvloop.run(_talk(door))
            door_us.append(cpu_us)
            delays_us += delays
    row("baseline: gRPC echo, a frame each way, CPU", base_us, "us")
    row("front door, a frame each way, CPU", door_us, "us", quantile(base_us, 0.5))
    row("caller to worker and back", delays_us, "us")


async def _worker(path: str) -> str:
    async def on_link(link: Link) -> None:
        await link.receive()
        link.send(lk.WorkerToDoor(attached=lk.Attached()))

        def on_frame(kind: Kind, body: bytes) -> None:
            if kind is Kind.AUDIO:
                link.send_audio(0, split_audio(body)[1])

        link.handle(on_frame, lambda: None)

    server = await serve(path, on_link)
    KEPT.append(server)
    return server.address


async def _door(worker: str) -> str:
    config = DoorConfig("127.0.0.1", 0, "n", idle_timeout_s=30.0)
    backends = FakeBackends(worker, "")
    backends.with_session = False
    door = FrontDoor(config, backends)
    KEPT.append(door)
    return await door.start()


async def _bare_door() -> str:
    async def converse(
        requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> None:
        async for raw in requests:
            await context.write(raw)

    server = grpc.aio.server()
    handler: Any = grpc.stream_stream_rpc_method_handler(converse)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Converse": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    KEPT.append(server)
    return f"127.0.0.1:{port}"


async def _talk(door: Process) -> tuple[float, list[float]]:
    async with grpc.aio.insecure_channel(door.address) as channel:
        streams: list[Any] = []
        for _ in range(CALLS):
            stream: Any = channel.stream_stream(f"/{SERVICE}/Converse")()
            await stream.write(START)
            await stream.read()
            streams.append(stream)
        await asyncio.sleep(0.5)
        began_s = door.cpu_s()
        delays = await asyncio.gather(
            *(_caller(stream, at * FRAME_S / CALLS) for at, stream in enumerate(streams))
        )
        used_s = door.cpu_s() - began_s
        for stream in streams:
            stream.cancel()
    return used_s * 1e6 / (CALLS * FRAMES), [delay for each in delays for delay in each]


async def _caller(stream: Any, offset_s: float) -> list[float]:
    """Sends a frame every 20 ms and takes its echo; delays in us."""
    delays = []
    next_s = time.monotonic() + offset_s
    for _ in range(FRAMES):
        next_s += FRAME_S
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))
        began_ns = time.monotonic_ns()
        await stream.write(FRAME)
        await stream.read()
        delays.append((time.monotonic_ns() - began_ns) / 1000)
    return delays
