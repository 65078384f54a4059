"""Callers and a receptionist with more patience than a busy machine asks of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from cluster.caller import Caller, Outcome
from tests.waiting import PATIENCE_S

SCENE_S = 2.5 * PATIENCE_S  # for all that happens in one
_CALL_AGAIN = ("RESOURCE_EXHAUSTED", "UNAVAILABLE")
_RECEPTIONIST = Path(__file__).resolve().parents[2] / "config" / "receptionist.yaml"


async def placed(make: Callable[[], Caller]) -> Outcome:
    """How a call went whose caller calls again where it is not taken, as it is told to: nodes
    take fewer calls while their machine is busy, and a door may lose sight of them."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        outcome = await make().call()
        taken = outcome.setup_ms or outcome.status not in _CALL_AGAIN
        if taken or time.monotonic() > until_s:
            return outcome
        await asyncio.sleep(0.5)


def receptionist(folder: Path) -> Path:
    """The file of one who does not mind a caller that is silent for long."""
    book = yaml.safe_load(_RECEPTIONIST.read_text())
    for profile in book["profiles"].values():
        profile["limits"] |= {"prompt_after_s": 2 * SCENE_S, "end_after_s": 2 * SCENE_S}
    path = folder / "receptionist.yaml"
    path.write_text(yaml.safe_dump(book))
    return path
