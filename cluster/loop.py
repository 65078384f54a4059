"""The event loop of whatever is no actor: uvloop's, which Ray gives the actors too."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import structlog

T = TypeVar("T")

RAYS_SWITCH = "RAY_USE_UVLOOP"

log = structlog.get_logger()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs it to its end, as `asyncio.run` does; its result."""
    with runner() as loop:
        return loop.run(work)


def runner() -> asyncio.Runner:
    """For several pieces of work in one loop."""
    import uvloop  # noqa: PLC0415 - so that `--help` is quick

    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def warn_of_slow_actors(environment: Mapping[str, str] = os.environ) -> None:
    """Says so where Ray is told to give the actors of this node asyncio's own loop."""
    value = environment.get(RAYS_SWITCH, "1")
    if value.lower() not in ("1", "true"):
        log.warning(
            "actors run in asyncio's own loop, which takes more CPU: unset the variable",
            variable=RAYS_SWITCH,
            value=value,
        )
