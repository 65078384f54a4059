"""Holds and settlements through the cost singleton, durable before they are answered.

The singleton runs in a process of its own, called as a node's actors call it (a Unix
socket). The baseline is a transaction of one row on the same disk, one after another;
what a machine makes of a millisecond's computing says how much of a tail is its own.

Its successor after SIGKILL is timed from the kill to its first answered hold: a new Python
process with the class, and the proof of the ledger; not Ray's own part in a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import uvloop

from actors import nearby
from actors.cost import CostController
from actors.nearby import Nearby
from actors.settings import Settings
from benchmarks.figures import quantile, row
from benchmarks.process import KEPT, Process
from cluster.chaos.databases import KINDS
from reception.money.scopes import Owner
from reception.provider.base import Usage

MODEL = "gpt-realtime-2.1-mini"
TURN = Usage(input_text=1_000, input_audio=50, output_text=20, output_audio=100)
PAIRS_S, AT_ONCE = 6.0, 400
HOLDS, A_SECOND = 2_000, 200
COMMITS = 300
CALLS_BEHIND, OPEN, KILLS = 5_000, 200, 5


def run(kind: str = "sqlite") -> None:
    """kind: of the database; of PostgreSQL a server of this machine's own programs, which
    waits for its disk (its CPU is in no figure)."""
    with _fresh(kind) as url:
        commits = _bare_commits(url)
        row("baseline: one row, one durable commit", commits, "ms")
        row("baseline: the same computing again and again", _bare_computing(), "ms")
        with Process(_serve, url, f"bench-{os.getpid()}") as actor:
            uvloop.run(_measure(actor, quantile(commits, 0.5)))
    with _fresh(kind) as url:
        times = uvloop.run(_restarts(url))
    row(f"kill to its successor's first hold, {CALLS_BEHIND} calls", times, "ms")


@contextlib.contextmanager
def _fresh(kind: str) -> Iterator[str]:
    """The URL of an empty database."""
    with tempfile.TemporaryDirectory() as folder:
        database = KINDS[kind](Path(folder))
        try:
            yield database.url
        finally:
            database.close()


async def _serve(url: str, name: str, first: bool = True) -> str:
    """first: nothing is there yet, no limits either."""
    windows = ("hourly", "daily", "weekly", "monthly")
    limits: dict[str, Any] = {f"cost_limit_{window}": 10_000 for window in windows}
    cost = CostController(Settings(database_url=url, **limits))
    for scope, window in (
        ("tenant:*", "day"), ("key:*", "day"), ("number:*", "rolling-hour"), ("profile:*", "week"),
        ("provider:*", "month"), ("tenant:*", "call"), ("tenant:*", "call-minute"),
    ) if first else ():  # fmt: skip
        await cost.set_limit(scope, window, 9_000_000_000, "benchmark")
    await cost.warm_up()
    KEPT.append(cost)

    async def call(method: str, args: tuple[Any, ...]) -> Any:
        return await getattr(cost, method)(*args)

    KEPT.append(await nearby.serve(name, call))
    return name


async def _restarts(url: str) -> list[float]:
    """Milliseconds from each kill to the first hold that the next process answers."""
    numbers, times = itertools.count(), list[float]()
    actor = Process(_serve, url, f"bench-{os.getpid()}-0")
    with actor:
        cost = await _connected(actor)
        await asyncio.gather(*(_fill(cost, numbers) for _ in range(AT_ONCE)))
        killed_s = time.monotonic()
        actor.kill()
    for life in range(1, KILLS + 1):
        with Process(_serve, url, f"bench-{os.getpid()}-{life}", False) as actor:
            cost = await _connected(actor)
            hold = await cost.call("open_call", (_owner(next(numbers)),))
            times.append((time.monotonic() - killed_s) * 1_000)
            assert hold.admitted, hold
            assert await cost.call("check", ()) == []
            killed_s = time.monotonic()
            actor.kill()
    return times


async def _connected(actor: Process) -> Nearby:
    cost = await Nearby.connect(actor.address)
    assert cost is not None
    return cost


async def _fill(cost: Nearby, numbers: Iterator[int]) -> None:
    """Calls of one bill; the last of them stay open."""
    while (number := next(numbers)) < CALLS_BEHIND:
        hold = await cost.call("open_call", (_owner(number),))
        assert hold.admitted, hold
        await cost.call("usage", (f"s{number}", "r1", MODEL, TURN))
        if number < CALLS_BEHIND - OPEN:
            await cost.call("close_call", (f"s{number}",))


async def _measure(actor: Process, base_ms: float) -> None:
    cost = await Nearby.connect(actor.address)
    assert cost is not None
    numbers = itertools.count()
    await _pairs(cost, numbers, 1.0)
    before_s, began_s = actor.cpu_s(), time.monotonic()
    times = await _pairs(cost, numbers, PAIRS_S)
    passed_s, cpu_s = time.monotonic() - began_s, actor.cpu_s() - before_s
    row(f"hold and settle, {AT_ONCE} at once", times, "ms", base_ms)
    print(
        f"{len(times) / passed_s:.0f} pairs a second, {cpu_s / len(times) * 1e6:.0f} µs of CPU "
        f"in the singleton for each (load of the machine {os.getloadavg()[0]:.1f})"
    )
    await _alone(actor, cost, numbers, base_ms)
    holds = await _steady(cost, numbers, rest=False)
    row(f"a hold, {A_SECOND} a second", holds, "ms", base_ms)
    holds = await _steady(cost, numbers, rest=True)
    row(f"a hold, {A_SECOND} calls a second, settled and closed", holds, "ms", base_ms)
    assert await cost.call("check", ()) == []


def _owner(number: int) -> Owner:
    some = number % 20
    return Owner(
        f"s{number}", f"c{number}", f"tenant{some}", f"key{some}", MODEL, f"tel:{some}", "day",
        "openai",
    )  # fmt: skip


async def _pairs(cost: Nearby, numbers: Any, for_s: float) -> list[float]:
    """Milliseconds of each pair."""
    until_s, times = time.monotonic() + for_s, list[float]()

    async def caller() -> None:
        while (began_s := time.monotonic()) < until_s:
            number = next(numbers)
            hold = await cost.call("open_call", (_owner(number),))
            assert hold.admitted, hold
            await cost.call("usage", (f"s{number}", "r1", MODEL, TURN))
            times.append((time.monotonic() - began_s) * 1_000)

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return times


async def _alone(actor: Process, cost: Nearby, numbers: Any, base_ms: float) -> None:
    """Holds one after the other: what one costs that shares nothing."""
    times = list[float]()
    there_s, here_s = actor.cpu_s(), time.process_time()
    for _ in range(HOLDS):
        began_s = time.monotonic()
        hold = await cost.call("open_call", (_owner(next(numbers)),))
        times.append((time.monotonic() - began_s) * 1_000)
        assert hold.admitted, hold
    there_s, here_s = actor.cpu_s() - there_s, time.process_time() - here_s
    row("a hold, one after the other", times, "ms", base_ms)
    print(
        f"{there_s / HOLDS * 1e6:.0f} µs of CPU in the singleton and {here_s / HOLDS * 1e6:.0f} "
        "in its caller for each"
    )


async def _steady(cost: Nearby, numbers: Any, *, rest: bool) -> Sequence[float]:
    """Milliseconds of each hold, begun at a fixed rate whatever came of the others."""
    times = list[float]()

    async def call(at_s: float) -> None:
        number = next(numbers)
        hold = await cost.call("open_call", (_owner(number),))
        times.append((time.monotonic() - at_s) * 1_000)
        assert hold.admitted, hold
        if rest:
            await cost.call("usage", (f"s{number}", "r1", MODEL, TURN))
            await cost.call("close_call", (f"s{number}",))

    began_s, calls = time.monotonic(), list[asyncio.Task[None]]()
    for index in range(HOLDS):
        at_s = began_s + index / A_SECOND
        await asyncio.sleep(max(0.0, at_s - time.monotonic()))
        calls.append(asyncio.create_task(call(at_s)))
    await asyncio.gather(*calls)
    return times


def _bare_computing() -> list[float]:
    times = []
    for _ in range(COMMITS * 5):
        began_s = time.monotonic()
        sum(range(40_000))
        times.append((time.monotonic() - began_s) * 1_000)
        time.sleep(0.003)
    return times


def _bare_commits(url: str) -> list[float]:
    """Milliseconds of each; leaves the database as it was."""
    database: Any
    if url.startswith("postgresql"):
        database = psycopg.connect(url, autocommit=True)
    else:
        database = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE bare (n INTEGER)")
    times = []
    for _ in range(COMMITS):
        began_s = time.monotonic()
        database.execute("BEGIN")
        database.execute("INSERT INTO bare VALUES (1)")
        database.execute("COMMIT")
        times.append((time.monotonic() - began_s) * 1_000)
    database.execute("DROP TABLE bare")
    database.close()
    return times
