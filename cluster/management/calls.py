"""Routes: the node's status, calls, costs and health."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Query

from cluster.management.access import PREFIX, Access


def add_calls(app: FastAPI, access: Access) -> None:
    """Status, calls, costs and health."""
    ask, allowed = access.ask, [Depends(access.may_read)]

    @app.get(f"{PREFIX}/status", dependencies=allowed)
    async def status() -> dict[str, Any]:
        """Node, pools, front door, costs and health at once."""
        stats, door, costs, health, calls = await asyncio.gather(
            ask("agent", "stats"), ask("door", "stats"), ask("cost", "totals"),
            ask("health", "status"), ask("agent", "live_calls"),
        )  # fmt: skip
        return {
            "node": stats, "door": door, "costs": costs, "health": health,
            "calls": [_shown(call) for call in calls], "at": time.time(),
        }  # fmt: skip

    @app.get(f"{PREFIX}/calls", dependencies=allowed)
    async def calls(
        state: str = Query("", pattern="^(connecting|active|ending|ended)?$"),
        page_size: int = Query(100, ge=1, le=1000),
        page_token: str = "",
    ) -> dict[str, Any]:
        """Live and ended calls, newest first."""
        found, token = await ask("agent", "list_calls", state, page_size, page_token)
        return {"calls": [_shown(call) for call in found], "next_page_token": token}

    @app.get(f"{PREFIX}/calls/{{call_id}}", dependencies=allowed)
    async def call(call_id: str) -> dict[str, Any]:
        """One call with its transcript and turn times."""
        record = await ask("agent", "get_call", call_id)
        if record is None:
            raise HTTPException(404, f"there is no call {call_id!r}")
        return asdict(record)

    @app.get(f"{PREFIX}/costs", dependencies=allowed)
    async def costs() -> dict[str, Any]:
        """What was spent and is held."""
        totals: dict[str, Any] = await ask("cost", "totals")
        return totals

    @app.get(f"{PREFIX}/health", dependencies=allowed)
    async def health() -> dict[str, Any]:
        """Nodes and the provider's breaker."""
        found: dict[str, Any] = await ask("health", "status")
        return found


def _shown(record: Any) -> dict[str, Any]:
    """A call in a list: without its transcript."""
    shown = asdict(record)
    for name in ("transcript", "turn_times", "messages"):
        shown[f"{name}_count"] = len(shown.pop(name))
    return shown
