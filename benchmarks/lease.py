"""A lease alone: from asking a node's pool for a session to having it, and until it has
answered; the pool and its sessions are real ones, of processes of their own under Ray."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from actors.warm_pool import WarmPool
from benchmarks.figures import quantile, row
from reception.placement.pool import PoolRules
from reception.placement.sizer import SizerRules

NODE = "bench-lease"
SESSIONS, LEASES, TOGETHER = 4, 400, 100
NO_CALL = "none"


@dataclass(slots=True)
class _Took:
    """Milliseconds."""

    asked: list[float] = field(default_factory=list)  # one call to a leased session
    leased: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)  # leased, and it has answered


async def measure() -> None:
    """Ray runs; leases one after the other, then as many at once as there are sessions."""
    rules = PoolRules(floor=SESSIONS, ceiling=SESSIONS)
    pool = WarmPool(NODE, rules, SizerRules(memory_percent=100.0), lambda: None)
    try:
        await pool.start(SESSIONS)
        took, together = _Took(), _Took()
        for number in range(LEASES):
            pool.give_back(await _lease(pool, f"alone-{number}", took))
        for burst in range(TOGETHER):
            leased = [
                await _lease(pool, f"burst-{burst}-{number}", together)
                for number in range(SESSIONS)
            ]
            for session in leased:
                pool.give_back(session)
    finally:
        pool.kill()
    base = quantile(took.asked, 0.5)
    row("baseline: a session answers a call", took.asked, "ms")
    row("a session leased, one at a time", took.leased, "ms", base)
    row("a session leased and it has answered", took.answered, "ms", base)
    row(f"a session leased, {SESSIONS} in a row", together.leased, "ms", base)


async def _lease(pool: WarmPool, caller: str, took: _Took) -> str:
    began_s = time.monotonic()
    session = await pool.lease(caller)
    took.leased.append((time.monotonic() - began_s) * 1000)
    handle = pool.handle(session)
    await handle.end_call(NO_CALL, "", False)  # it has none: nothing is done
    took.answered.append((time.monotonic() - began_s) * 1000)
    began_s = time.monotonic()
    await handle.end_call(NO_CALL, "", False)
    took.asked.append((time.monotonic() - began_s) * 1000)
    return session
