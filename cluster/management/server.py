"""The management HTTP server as an actor of a node."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn

from actors.spawn import Remote, find
from cluster.management.app import create_app

PATIENCE_S = 5.0
LONG_S = 60.0
_LONG = ("report", "overview", "forecast", "verify", "reconcile")
"""What reads or writes much of the database."""


class ManagementApi:
    """The HTTP server as an actor of a node."""

    def __init__(self, host: str, port: int, node_id: str) -> None:
        self._host, self._port, self._node_id = host, port, node_id
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._actors: dict[str, Remote] = {}

    async def start(self) -> str:
        """Listens; returns the URL."""
        bound = socket.create_server((self._host, self._port), reuse_port=False)
        config = uvicorn.Config(
            create_app(self._ask), log_level="warning", access_log=False, lifespan="off"
        )
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[bound]))
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        return f"http://{self._host}:{bound.getsockname()[1]}"

    async def stop(self) -> None:
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving

    async def _ask(self, role: str, method: str, *args: Any) -> Any:
        if role not in self._actors:
            name = f"{role}:{self._node_id}" if role in ("agent", "door") else role
            self._actors[role] = find(name)
        async with asyncio.timeout(LONG_S if method in _LONG else PATIENCE_S):
            return await getattr(self._actors[role], method)(*args)
