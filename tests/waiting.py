"""How tests wait for what must come: longer than a busy machine makes anything take, and
longer than it may stand still. What never comes fails all the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 60.0
STEP_S = 0.01

T = TypeVar("T")


def patience() -> asyncio.Timeout:
    """The bound of a wait: `async with patience(): ...`."""
    return asyncio.timeout(PATIENCE_S)


async def until(look: Callable[[], T], good: Callable[[T], object] = bool) -> T:
    """What is seen, once it is good. Raises what was seen last where that never comes."""
    until_s = time.monotonic() + PATIENCE_S
    while not good(seen := look()):
        _fail_after(until_s, seen)
        await asyncio.sleep(STEP_S)
    return seen


def wait_until(look: Callable[[], T], good: Callable[[T], object] = bool) -> T:
    """The same for tests and threads without a loop."""
    until_s = time.monotonic() + PATIENCE_S
    while not good(seen := look()):
        _fail_after(until_s, seen)
        time.sleep(10 * STEP_S)
    return seen


def _fail_after(until_s: float, seen: object) -> None:
    if time.monotonic() > until_s:
        raise AssertionError(f"it did not come to that in {PATIENCE_S:g} s: {seen!r}")


class Awake:
    """How long the running loop was awake: what a stall adds to a clock is not in it.

    For upper bounds: a process that stood still is not slow.
    """

    def __init__(self) -> None:
        self._steps = 0
        self._counting = asyncio.ensure_future(self._count())

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(STEP_S)
            self._steps += 1

    @property
    def seconds(self) -> float:
        """At most so many have passed in which others could go on as well."""
        return self._steps * STEP_S

    def stop(self) -> None:
        self._counting.cancel()
