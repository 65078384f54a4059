"""A process beside the benchmark whose CPU time can be asked for."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing as mp
import os
import time
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from typing import Any

import uvloop

KEPT: list[object] = []  # what a process serves with, as long as it lives

Main = Callable[..., Coroutine[Any, Any, str]]


class Process:
    """Runs `main(*arguments)` under uvloop, which gives the address it serves;
    goes on until the end of the `with` block."""

    def __init__(self, main: Main, *arguments: object) -> None:
        context = mp.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_run, args=(main, arguments, there))
        self.address = ""

    def __enter__(self) -> Process:
        self._process.start()
        self.address = self._pipe.recv()
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.is_alive():
            self._pipe.send("stop")
        self._process.join()

    def kill(self) -> None:
        """Ends it at once (SIGKILL)."""
        self._process.kill()
        self._process.join()

    def cpu_s(self) -> float:
        """CPU seconds of all its threads up to now."""
        self._pipe.send("cpu")
        return float(self._pipe.recv())


def _run(main: Main, arguments: tuple[object, ...], pipe: Connection) -> None:
    async def serve() -> None:
        address = await main(*arguments)
        gc.freeze()  # as actors do (`actors.spawn.Host`)
        pipe.send(address)
        loop, stop = asyncio.get_running_loop(), asyncio.Event()

        def asked() -> None:
            if pipe.recv() == "cpu":
                pipe.send(time.process_time())
            else:
                stop.set()

        loop.add_reader(pipe.fileno(), asked)
        await stop.wait()
        os._exit(0)  # servers need no farewell

    uvloop.run(serve())
