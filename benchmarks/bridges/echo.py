"""The floor: a bare grpc.aio stream that sends every frame back with the time it came.

A reply is the request's bytes and eight more: CLOCK_MONOTONIC in ns, big endian.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop

from benchmarks.bridges.parts import say

SERVICE, METHOD = "bench.Echo", "Echo"
STAMP_BYTES = 8


async def _echo(
    requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
) -> AsyncIterator[bytes]:
    del context
    async for frame in requests:
        yield frame + time.monotonic_ns().to_bytes(STAMP_BYTES, "big")


async def main() -> None:
    server = grpc.aio.server()
    handler: Any = grpc.stream_stream_rpc_method_handler(_echo)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    say(ready={"address": f"127.0.0.1:{port}"})
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    uvloop.run(main())
