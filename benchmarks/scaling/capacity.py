"""What each singleton can take: the actors' classes as they are, over SQLite with
full fsync, in one process without Ray (an actor call comes on top of it).

Many requests are under way at once, as from many doors, so that they share commits.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import uvloop

from actors.cost import CostController
from actors.health import HealthMonitor
from actors.security import SecurityGuard
from actors.settings import Settings
from benchmarks.scaling.singletons import Capacity
from reception.money.scopes import Owner
from reception.placement.balancing.report import NodeReport, encode
from reception.provider.base import Usage

AT_ONCE = 64
MODEL = "gpt-realtime"
MUCH = Decimal(10_000_000)  # US dollars: no hold is refused
USAGE = Usage(input_text=300, input_audio=600, output_text=60, output_audio=240)


def measure(seconds: float) -> dict[str, Capacity]:
    """For so long each, after a tenth of that to warm up."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            database_url=f"sqlite:///{Path(folder) / 'reception.db'}",
            rate_limit_per_minute=1_000_000,
            rate_limit_per_hour=60_000_000,
            cost_limit_hourly=MUCH,
            cost_limit_daily=MUCH,
            cost_limit_weekly=MUCH,
            cost_limit_monthly=MUCH,
        )
        return uvloop.run(_measure(settings, seconds))


async def _measure(settings: Settings, seconds: float) -> dict[str, Capacity]:
    guard, cost, health = SecurityGuard(settings), CostController(settings), HealthMonitor(settings)
    _, key = await guard.create_key("bench", "bench", ["call"], None, "bench")
    reports = [encode(_report(number)) for number in range(1_000)]

    async def admit(_: int) -> None:
        assert (await guard.admit(key, "ipv4:10.0.0.1:1", "call")).allowed

    async def call(number: int) -> None:
        """Opened, one response and one transcription billed, closed: four messages."""
        name = f"call-{number}"
        assert (await cost.open_call(Owner(name, name, "bench", "bench", MODEL))).admitted
        await cost.usage(name, "r1", MODEL, USAGE)
        await cost.transcription(name, "i1", "gpt-4o-mini-transcribe", 4.0, 40, 20)
        await cost.close_call(name)

    async def report(number: int) -> None:
        await health.exchange(reports[number % len(reports)])

    try:
        return {
            "security": await _rate(admit, 1, seconds),
            "cost": await _rate(call, 4, seconds),
            "health": await _rate(report, 1, seconds),
        }
    finally:
        for each in (guard, cost, health):
            each.close()


def _report(number: int) -> NodeReport:
    return NodeReport(
        f"node-{number}", "", 0.0, capacity=150, live=100, reserved=0, cpu=0.5, memory=0.5,
        lag_ms=1.0, misses_per_s=0.0, calls_per_s=2.0, errors_per_s=0.0, ready=True,
        version="1", link_address="10.0.0.1:7", grpc_address="10.0.0.1:50051",
    )  # fmt: skip


async def _rate(ask: Callable[[int], Awaitable[None]], messages: int, seconds: float) -> Capacity:
    """As many as it takes when so many are always under way."""
    done, number = 0, 0

    async def caller(until_s: float) -> None:
        nonlocal done, number
        while time.monotonic() < until_s:
            number += 1
            await ask(number)
            done += messages

    for length_s in (seconds / 10, seconds):
        done, began_s, cpu_s = 0, time.monotonic(), time.process_time()
        await asyncio.gather(*(caller(began_s + length_s) for _ in range(AT_ONCE)))
    took_s = time.monotonic() - began_s
    return Capacity(done / took_s, 1000 * (time.process_time() - cpu_s) / max(1, done))
