"""The scripted engine alone, as a process that nodes share: `python -m voice.alone`.

A provider that is on no node, as a real one: it keeps its count of what it bills while
nodes come and go. Prints its URL as a line of JSON. With `--told` it takes orders on its
standard input, a line each (`ORDERS`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import IO

import uvloop

from voice.scripted import Script, Scripted
from voice.server import Billed, EngineConfig, EngineServer

ORDERS = ("drop", "expire", "away SECONDS", "broke SECONDS")
"""What it can be told: to break every connection without a goodbye; to end every session
as too old; to be out of order for so long, its sessions broken; to be paid no more for so
long: sessions break too, new ones open, and fail at their first answer."""


async def serve(port: int, script: Script, bills: IO[str], *, told: bool = False) -> None:
    """Until SIGTERM or SIGINT. Each response that is billed is a line of JSON in `bills`
    before the client can know of it. told: orders come on the standard input."""

    def bill(billed: Billed) -> None:
        bills.write(json.dumps({"at_s": time.time()} | asdict(billed)) + "\n")
        bills.flush()

    parts = Scripted(script)
    server = EngineServer(EngineConfig(port=port), parts, parts, parts, script, bill)
    port = await server.start()
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopped.set)
    orders = asyncio.create_task(_obey(server)) if told else None
    print(json.dumps({"url": f"http://127.0.0.1:{port}/v1"}), flush=True)
    await stopped.wait()
    if orders is not None:
        orders.cancel()
    await server.stop()


async def _obey(server: EngineServer) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        match line.decode().split():
            case ["drop"]:
                server.drop()
            case ["expire"]:
                server.expire()
            case ["away", seconds]:
                server.refuse(HTTPStatus.SERVICE_UNAVAILABLE, float(seconds))
            case ["broke", seconds]:
                server.fail("insufficient_quota", float(seconds))
            case _:
                print(f"no order: {line!r}; {', '.join(ORDERS)}", file=sys.stderr)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="The scripted engine, alone.")
    parser.add_argument("--port", type=int, default=0, help="0: any")
    parser.add_argument("--script", default="{}", help="JSON of voice.scripted.Script")
    parser.add_argument("--bills", type=Path, required=True, help="JSON lines are added here")
    parser.add_argument("--told", action="store_true", help=f"takes orders: {', '.join(ORDERS)}")
    given = parser.parse_args()
    with given.bills.open("a", encoding="utf-8") as bills:
        uvloop.run(serve(given.port, Script.parse(given.script), bills, told=given.told))


if __name__ == "__main__":
    main()
