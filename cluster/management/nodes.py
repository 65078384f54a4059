"""Routes: audio workers, nodes of the cluster."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import Any, Literal

from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field

from cluster.management.access import PREFIX, Access


class AudioLevel(BaseModel):
    """What audio workers are to do for their calls; "auto": the load decides."""

    level: Literal["auto", "quality", "balanced", "economy", "survival"]


def add_audio(app: FastAPI, access: Access) -> None:
    """What the audio workers do, and are to do."""
    ask, may_read, may_manage = access.ask, access.may_read, access.may_manage

    @app.get(f"{PREFIX}/audio", dependencies=[Depends(may_read)])
    async def audio() -> dict[str, Any]:
        """What the audio workers do and measure, and what changed lately and why."""
        found: dict[str, Any] = await ask("agent", "audio")
        return found

    @app.put(f"{PREFIX}/audio/level")
    async def set_level(wanted: AudioLevel, by: str = Depends(may_manage)) -> dict[str, Any]:
        """Sets the level of all audio workers of this node, until it is "auto" again."""
        await ask("agent", "set_audio_level", wanted.level, by)
        return await audio()


class Leave(BaseModel):
    """How a node is to leave: its live calls have so long to end before they are handed
    over; None for the node's own setting."""

    grace_s: float | None = Field(None, ge=0.0, le=86_400.0)


def add_cluster(app: FastAPI, access: Access) -> None:
    """The nodes, and their leaving."""
    ask, may_read, may_manage = access.ask, access.may_read, access.may_manage

    @app.get(f"{PREFIX}/cluster", dependencies=[Depends(may_read)])
    async def cluster() -> dict[str, Any]:
        """The nodes as this one's front door shares calls out to them; which this one is."""
        nodes, stats = await asyncio.gather(ask("door", "nodes"), ask("agent", "stats"))
        return {
            "nodes": [asdict(node) for node in nodes],
            "node_id": stats["node_id"],
            "at": time.time(),
        }

    @app.post(f"{PREFIX}/cluster/{{node_id}}/drain", status_code=202)
    async def drain(node_id: str, how: Leave, by: str = Depends(may_manage)) -> dict[str, str]:
        """Has a node drain, hand over what is left, and leave the cluster."""
        await ask("door", "leave", node_id, how.grace_s, by)
        return {"node_id": node_id, "state": "draining"}
