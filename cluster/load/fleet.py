"""Several driver processes on this machine, steered over pipes."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import signal
import time
from collections import Counter
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from cluster.load.measures import Measures
from cluster.load.schedule import Plan
from cluster.loop import run
from reception.errors import ReceptionError, Unavailable

START_S = 60.0  # imports, on a busy machine
Progress = dict[str, int]


class Drivers(Protocol):
    """Driver processes, here or on the nodes of a cluster."""

    def start(self) -> None:
        """Until all of them are connected to the server."""
        ...

    def go(self, at_s: float) -> None:
        """The run begins at this time of the wall clock."""
        ...

    def poll(self, timeout_s: float) -> tuple[Progress, bool]:
        """How it goes, and whether it is over; waits at most so long."""
        ...

    def stop(self) -> None:
        """No more calls; everybody hangs up."""
        ...

    def result(self) -> dict[str, Any]:
        """`Measures.plain` of all of them, once it is over."""
        ...

    def close(self) -> None:
        """Ends the processes."""
        ...


class Fleet:
    """Driver processes of this machine.

    What they tell is a few numbers twice a second and one result: the pipe's own
    buffer is the bound, and who fills it waits.

    Args:
        plan: of the whole run.
        processes: how many.
        first, shares: the share of the first of them, of how many in all.
    """

    def __init__(
        self, plan: Plan, processes: int, first: int = 0, shares: int | None = None
    ) -> None:
        context = multiprocessing.get_context("spawn")  # gRPC survives no fork
        self._pipes: list[Connection] = []
        self._processes = []
        self._progress: dict[Connection, Progress] = {}
        self._results: dict[Connection, dict[str, Any]] = {}
        for share in range(first, first + processes):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_child,
                args=(theirs, plan, share, shares or processes),
                name=f"load driver {share}",
                daemon=True,
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def start(self) -> None:
        """See `Drivers`.

        Raises:
            ReceptionError: what a driver met: nothing answers at the address.
        """
        until_s = time.monotonic() + START_S
        waiting = set(self._pipes)
        while waiting:
            ready = wait(list(waiting), max(0.0, until_s - time.monotonic()))
            if not ready:
                raise Unavailable(f"a load driver was not ready within {START_S:g} s")
            for pipe in ready:
                assert isinstance(pipe, Connection)
                kind, value = self._receive(pipe)
                if kind == "error":
                    raise value
                waiting.discard(pipe)

    def go(self, at_s: float) -> None:
        """See `Drivers`."""
        began_s = time.monotonic() + at_s - time.time()
        for pipe in self._pipes:
            pipe.send(("go", began_s))

    def poll(self, timeout_s: float) -> tuple[Progress, bool]:
        """See `Drivers`."""
        until_s = time.monotonic() + timeout_s
        while left := [pipe for pipe in self._pipes if pipe not in self._results]:
            ready = wait(left, max(0.0, until_s - time.monotonic()))
            for pipe in ready:
                assert isinstance(pipe, Connection)
                kind, value = self._receive(pipe)
                if kind == "error":
                    raise value
                (self._progress if kind == "progress" else self._results)[pipe] = value
            if not ready:
                break
        total: Counter[str] = Counter()
        for each in self._progress.values():
            total.update(each)
        return dict(total), not left

    def stop(self) -> None:
        """See `Drivers`."""
        for pipe in self._pipes:
            if pipe not in self._results:
                pipe.send(("stop", None))

    def result(self) -> dict[str, Any]:
        """See `Drivers`."""
        total = Measures()
        for plain in self._results.values():
            total.merge(Measures.of(plain))
        return total.plain()

    def close(self) -> None:
        """See `Drivers`."""
        for pipe in self._pipes:
            pipe.close()  # whoever still works sees it and stops
        for process in self._processes:
            process.join(2.0)
            if process.is_alive():
                process.kill()
                process.join()

    def _receive(self, pipe: Connection) -> tuple[str, Any]:
        try:
            kind, value = pipe.recv()
        except (EOFError, ConnectionResetError):
            process = self._processes[self._pipes.index(pipe)]
            process.join(1.0)
            raise ReceptionError(
                f"{process.name} ended with exit code {process.exitcode} in the middle of the run"
            ) from None
        return kind, value


def _child(pipe: Connection, plan: Plan, share: int, shares: int) -> None:
    """A driver process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says what to do
    run(_drive(pipe, plan, share, shares))


async def _drive(pipe: Connection, plan: Plan, share: int, shares: int) -> None:
    from cluster.load.driver import Driver  # noqa: PLC0415  # gRPC, not in the parent

    driver = Driver(plan, share, shares, lambda progress: pipe.send(("progress", progress)))
    loop = asyncio.get_running_loop()
    go: asyncio.Future[float] = loop.create_future()

    def said() -> None:
        try:
            kind, value = pipe.recv()
        except (EOFError, OSError):  # the parent is gone
            loop.remove_reader(pipe.fileno())
            kind, value = "stop", None
        if kind == "go":
            go.set_result(value)
            return
        driver.stop()
        if not go.done():
            go.set_result(time.monotonic())

    try:
        await driver.connect()
        loop.add_reader(pipe.fileno(), said)
        pipe.send(("ready", None))
        began_s = await go
        gc.collect()
        gc.freeze()
        measures = await driver.run(began_s)
        pipe.send(("result", measures.plain()))
    except ReceptionError as error:
        pipe.send(("error", error))
    except BrokenPipeError:
        return  # nobody wants to know any more
    finally:
        loop.remove_reader(pipe.fileno())
        await driver.close()
