"""The management HTTP server: health, metrics, calls, costs and a status page."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from actors.spawn import Remote, find
from reception.errors import NotFound, ReceptionError
from reception.security.admission import RATE_LIMITED, UNAUTHENTICATED

PATIENCE_S = 5.0
PREFIX = "/api/v3/management"
_PAGE = Path(__file__).with_name("status.html")

Ask = Callable[..., Awaitable[Any]]


def create_app(ask: Ask) -> FastAPI:
    """The application.

    Args:
        ask: `await ask("agent", "stats")` asks an actor by its role: agent,
            door, cost, security or health.
    """
    app = FastAPI(title="ai-reception management", version="3", docs_url=f"{PREFIX}/docs")

    async def may_read(request: Request) -> None:
        """Refuses who has no key with the scope "read"."""
        await admit(request, "read")

    async def may_manage(request: Request) -> str:
        """Refuses who has no key with the scope "manage"; the key's id."""
        return await admit(request, "manage")

    async def admit(request: Request, scope: str) -> str:
        given = request.headers.get("x-api-key") or request.headers.get(
            "authorization", ""
        ).removeprefix("Bearer ")
        client = request.client.host if request.client else ""
        peer = f"ipv6:[{client}]:0" if ":" in client else f"ipv4:{client}:0"
        admission = await ask("security", "admit", given or None, peer, scope)
        if not admission.allowed:
            status = {UNAUTHENTICATED: 401, RATE_LIMITED: 429}.get(admission.code, 403)
            raise HTTPException(status, admission.message)
        return str(admission.key_id)

    @app.exception_handler(StarletteHTTPException)
    async def problem(request: Request, error: StarletteHTTPException) -> JSONResponse:
        """RFC 9457 problem details."""
        body = {
            "type": "about:blank", "title": str(error.detail), "status": error.status_code,
            "instance": request.url.path,
        }  # fmt: skip
        return JSONResponse(body, error.status_code, media_type="application/problem+json")

    @app.get("/livez")
    async def live() -> PlainTextResponse:
        """This process answers."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def ready() -> PlainTextResponse:
        """Calls can be taken: agent, cost and security answer, and the node is neither
        draining nor full."""
        try:
            stats, *_ = await asyncio.gather(
                ask("agent", "stats"), ask("cost", "ping"), ask("security", "ping")
            )
        except (ReceptionError, TimeoutError, ValueError) as error:
            return PlainTextResponse(f"not ready: {error}\n", 503)
        for state in ("draining", "full"):
            if stats[state]:
                return PlainTextResponse(f"not ready: {state}\n", 503)
        return PlainTextResponse("ok\n")

    @app.get("/metrics")
    async def metrics() -> Response:
        """Prometheus metrics of this node."""
        stats, door, costs = await asyncio.gather(
            ask("agent", "stats"), ask("door", "stats"), ask("cost", "totals")
        )
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(stats, door, costs))
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        """The status page; it asks for its data itself."""
        return HTMLResponse(await asyncio.to_thread(_PAGE.read_text, encoding="utf-8"))

    _add_management(app, ask, may_read)
    _add_audio(app, ask, may_read, may_manage)
    _add_cluster(app, ask, may_read, may_manage)
    return app


def _add_management(app: FastAPI, ask: Ask, may_read: Callable[..., Awaitable[None]]) -> None:
    allowed = [Depends(may_read)]

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


class AudioLevel(BaseModel):
    """What audio workers are to do for their calls; "auto": the load decides."""

    level: Literal["auto", "quality", "balanced", "economy", "survival"]


def _add_audio(
    app: FastAPI, ask: Ask, may_read: Callable[..., Any], may_manage: Callable[..., Any]
) -> None:
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


def _add_cluster(
    app: FastAPI, ask: Ask, may_read: Callable[..., Any], may_manage: Callable[..., Any]
) -> None:
    @app.get(f"{PREFIX}/cluster", dependencies=[Depends(may_read)])
    async def cluster() -> dict[str, Any]:
        """The nodes as this one's front door shares calls out to them."""
        nodes = await ask("door", "nodes")
        return {"nodes": [asdict(node) for node in nodes], "at": time.time()}

    @app.post(f"{PREFIX}/cluster/{{node_id}}/drain", status_code=202)
    async def drain(node_id: str, how: Leave, by: str = Depends(may_manage)) -> dict[str, str]:
        """Has a node drain, hand over what is left, and leave the cluster."""
        try:
            await ask("door", "leave", node_id, how.grace_s, by)
        except NotFound as error:
            raise HTTPException(404, error.message) from None
        return {"node_id": node_id, "state": "draining"}


def _shown(record: Any) -> dict[str, Any]:
    """A call in a list: without its transcript."""
    shown = asdict(record)
    for name in ("transcript", "turn_times", "messages"):
        shown[f"{name}_count"] = len(shown.pop(name))
    return shown


class _Collector:
    """What the actors count, as Prometheus metrics."""

    def __init__(self, stats: dict[str, Any], door: dict[str, Any], costs: dict[str, Any]) -> None:
        self._stats, self._door, self._costs = stats, door, costs

    def collect(self) -> list[Metric]:
        stats, door = self._stats, self._door
        live = GaugeMetricFamily("reception_calls_live", "Live calls.", stats["live"])
        ended = CounterMetricFamily("reception_calls_ended", "Calls that are over.", stats["ended"])
        accepted = CounterMetricFamily(
            "reception_calls_accepted", "Calls accepted.", door["accepted"]
        )
        refused = CounterMetricFamily(
            "reception_calls_refused", "Calls refused, by gRPC status.", labels=["code"]
        )
        for code, count in door["refused"].items():
            refused.add_metric([code], count)
        shed = CounterMetricFamily(
            "reception_admission_refused",
            "Calls that the node did not take, by cause.",
            labels=["cause", "priority"],
        )
        for each in stats["admission"]["refused"]:
            shed.add_metric([each["cause"], each["priority"]], each["count"])
        limit = GaugeMetricFamily(
            "reception_admission_limit",
            "Calls that the node takes by what it measures.",
            stats["admission"]["limit"],
        )
        pool = GaugeMetricFamily("reception_sessions", "Call sessions.", labels=["state"])
        for state, count in stats["pool"].items():
            pool.add_metric([state], count)
        setup = GaugeMetricFamily("reception_setup_seconds", "Call setup.", labels=["quantile"])
        for quantile, name in (("0.5", "setup_p50_ms"), ("0.95", "setup_p95_ms")):
            setup.add_metric([quantile], door[name] / 1000)
        dropped = CounterMetricFamily(
            "reception_audio_dropped_frames", "Audio dropped at the door.", door["dropped_audio"]
        )
        differs = CounterMetricFamily(
            "reception_usage_differs",
            "Answers whose tokens by the provider and by our own count are apart.",
            stats["usage_differs"],
        )
        estimated = CounterMetricFamily(
            "reception_usage_estimated",
            "Answers billed by our own count.",
            stats["usage_estimated"],
        )
        return [
            differs,
            estimated,
            live,
            ended,
            accepted,
            refused,
            shed,
            limit,
            pool,
            setup,
            dropped,
            *self._money(),
        ]

    def _money(self) -> list[Metric]:
        spent = CounterMetricFamily(
            "reception_spent_usd", "Money spent.", self._costs["posted_micros"] / 1e6
        )
        held = GaugeMetricFamily(
            "reception_held_usd", "Money held for live calls.", self._costs["held_micros"] / 1e6
        )
        return [spent, held]


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
        async with asyncio.timeout(PATIENCE_S):
            return await getattr(self._actors[role], method)(*args)
