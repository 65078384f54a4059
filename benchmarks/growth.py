"""Whether a session grows with its calls: 1,000 calls, one after the other.

With a pool of one session and the next call only once it is back, all calls go
through the same actor (the pool gives the one that had a call last).
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import numpy as np
import psutil
import uvloop

from actors.memory import resident_mb
from actors.settings import load_settings
from cluster.bringup import ServeOptions, start
from cluster.caller import Caller, HangUp, Listen, Step
from voice.scripted import SCRIPTED_MODEL

CALLS = 1_000
LISTENS_EVERY = 10  # such a call hears the greeting to its end
WEIGHED_EVERY = 20
SETTLED = 200  # calls, until caches are full
BACK_S = 0.05


def run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(
            provider="embedded", model=SCRIPTED_MODEL, grpc_port=0, http_port=0, pool_size=1,
            rate_limit_per_minute=1_000_000, rate_limit_per_hour=1_000_000,
            database_url=f"sqlite:///{Path(folder) / 'reception.db'}",
        )  # fmt: skip
        deployment = start(ServeOptions(dashboard=False), settings)
        try:
            key = deployment.create_key("bench", ["call"])
            uvloop.run(_measure(deployment.grpc_address, key))
        finally:
            deployment.stop()


async def _measure(address: str, key: str) -> None:
    weights: dict[str, list[tuple[int, float]]] = {}
    for number in range(CALLS):
        steps: list[Step] = [Listen(), HangUp()] if number % LISTENS_EVERY == 0 else [HangUp()]
        outcome = await Caller(address, steps, key=key).call()
        if not outcome.setup_ms:
            raise RuntimeError(f"call {number} was not taken: {outcome.error}")
        await asyncio.sleep(BACK_S)
        if number % WEIGHED_EVERY == 0:
            for kind, weight in _weights().items():
                weights.setdefault(kind, []).append((number, weight))
    for kind, points in sorted(weights.items()):
        calls, sizes = np.array(points).T
        late = calls >= SETTLED
        slope, _ = np.polyfit(calls[late], sizes[late], 1)
        print(
            f"{kind:<16} {sizes[0]:7.1f} MB at first, {sizes[late][0]:7.1f} after {SETTLED} calls,"
            f" {sizes[-1]:7.1f} after {CALLS}: {slope * 1024:+.2f} kB a call"
        )


def _weights() -> dict[str, float]:
    """Resident MB of the busiest session and of the others who serve calls."""
    busiest: dict[str, tuple[float, int]] = {}
    for process in psutil.process_iter(["name", "cmdline", "cpu_times"]):
        kind = " ".join(process.info["cmdline"] or ()).strip()
        if kind.startswith("ray::") and "IDLE" not in kind:
            kind = kind.removeprefix("ray::").partition(".")[0].split()[0]
            times = process.info["cpu_times"]
            mine = times.user + times.system, process.pid
            busiest[kind] = max(mine, busiest.get(kind, (0.0, 0)))
    return {kind: resident_mb(pid) for kind, (_, pid) in busiest.items()}
