"""Call setup with a warm pool: from opening the stream to CallAccepted.

Through a whole deployment (real Ray, real gRPC, SQLite with full fsync), the
embedded engine in scripted mode as provider. The baseline is a bare grpc.aio
server whose stream answers at once. Before that, a lease alone (`benchmarks.lease`).
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import uvloop

from benchmarks import lease
from benchmarks.figures import quantile, row
from cluster.bringup import ServeOptions, start
from cluster.caller import Caller, HangUp, Listen, Outcome, Step
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc

CALLS = 60
BURSTS, AT_ONCE = 8, 4
REST_S = 2.5  # so that the pool is full again


def run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{Path(folder) / 'reception.db'}"
        options = ServeOptions(
            provider="embedded", grpc_port=0, http_port=0, pool_size=8, dashboard=False,
            database_url=database,
        )  # fmt: skip
        deployment = start(options)
        try:
            key = deployment.create_key("bench", ["call"])
            uvloop.run(lease.measure())
            uvloop.run(_measure(deployment.grpc_address, key))
        finally:
            deployment.stop()


async def _measure(address: str, key: str) -> None:
    bare = await _baseline()
    row("baseline: bare gRPC stream, one at a time", bare, "ms")
    base = quantile(bare, 0.5)
    alone: list[Outcome] = []
    for _ in range(CALLS):
        alone += await _place(address, key, 1)
    row("setup, one call at a time", _setups(alone), "ms", base)
    together: list[Outcome] = []
    for _ in range(BURSTS):
        await asyncio.sleep(REST_S)
        together += await _place(address, key, AT_ONCE)
    row(f"setup, {AT_ONCE} calls in the same millisecond", _setups(together), "ms", base)
    gateway = [
        turn.gateway_us / 1000
        for outcome in together
        for turn in outcome.turns
        if turn.kind == rv.TurnEvent.KIND_DONE and turn.gateway_us
    ]
    row("the gateway's share of a greeting's delay", gateway, "ms")


def _setups(outcomes: Sequence[Outcome]) -> list[float]:
    failed = [outcome.error for outcome in outcomes if not outcome.setup_ms]
    if failed:
        print(f"{len(failed)} calls were not taken: {failed[0]}")
    return [outcome.setup_ms for outcome in outcomes if outcome.setup_ms]


async def _place(address: str, key: str, count: int) -> list[Outcome]:
    steps: list[Step] = [Listen(), HangUp()] if count > 1 else [HangUp()]
    callers = [Caller(address, steps, key=key) for _ in range(count)]
    return list(await asyncio.gather(*(caller.call() for caller in callers)))


async def _baseline() -> list[float]:
    async def converse(
        requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        accepted = rv.ReceptionMessage(accepted=rv.CallAccepted()).SerializeToString()
        async for _ in requests:
            yield accepted

    server = grpc.aio.server()
    handler: Any = grpc.stream_stream_rpc_method_handler(converse)
    service = "reception.v1.Reception"
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {"Converse": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    values = []
    for _ in range(CALLS):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await channel.channel_ready()
            began_s = time.monotonic()
            stub = rpc.ReceptionStub(channel)  # type: ignore[no-untyped-call]  # generated
            stream = stub.Converse()
            await stream.write(rv.CallerMessage(start=rv.CallStart()))
            await stream.read()
            values.append((time.monotonic() - began_s) * 1000)
            stream.cancel()
    await server.stop(0)
    return values
