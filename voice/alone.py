"""The scripted engine alone, as a process that nodes share: `python -m voice.alone`.

A provider that is on no node, as a real one: it keeps its count of what it bills while
nodes come and go. Prints its URL as a line of JSON. SIGUSR1 breaks every connection
without a goodbye.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO

from voice.scripted import Script, Scripted
from voice.server import Billed, EngineConfig, EngineServer


async def serve(port: int, script: Script, bills: IO[str]) -> None:
    """Until SIGTERM or SIGINT. Each response that is billed is a line of JSON in `bills`
    before the client can know of it."""

    def bill(billed: Billed) -> None:
        bills.write(json.dumps({"at_s": time.time()} | asdict(billed)) + "\n")
        bills.flush()

    parts = Scripted(script)
    server = EngineServer(EngineConfig(port=port), parts, parts, parts, script, bill)
    port = await server.start()
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopped.set)
    loop.add_signal_handler(signal.SIGUSR1, server.drop)
    print(json.dumps({"url": f"http://127.0.0.1:{port}/v1"}), flush=True)
    await stopped.wait()
    await server.stop()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="The scripted engine, alone.")
    parser.add_argument("--port", type=int, default=0, help="0: any")
    parser.add_argument("--script", default="{}", help="JSON of voice.scripted.Script")
    parser.add_argument("--bills", type=Path, required=True, help="JSON lines are added here")
    given = parser.parse_args()
    with given.bills.open("a", encoding="utf-8") as bills:
        asyncio.run(serve(given.port, Script.parse(given.script), bills))


if __name__ == "__main__":
    main()
