"""The application: probes, metrics, the status page, and the management API."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from prometheus_client import CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException as StarletteHTTPException

from cluster.management.access import PREFIX, Access, Ask, failed, malformed, refused, silent
from cluster.management.calls import add_calls
from cluster.management.metrics import Collector
from cluster.management.money import add_money
from cluster.management.nodes import add_audio, add_cluster
from reception.errors import ReceptionError

_PAGE = Path(__file__).with_name("status.html")


def create_app(ask: Ask) -> FastAPI:
    """The application, which asks the actors."""
    app = FastAPI(title="ai-reception management", version="3", docs_url=f"{PREFIX}/docs")
    app.add_exception_handler(StarletteHTTPException, refused)
    app.add_exception_handler(ReceptionError, failed)
    app.add_exception_handler(TimeoutError, silent)
    app.add_exception_handler(RequestValidationError, malformed)

    @app.get("/livez")
    async def live() -> PlainTextResponse:
        """This process answers."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def ready() -> PlainTextResponse:
        """Calls can be taken: agent, cost and security answer, and the node is neither
        draining nor full."""
        try:
            readiness, *_ = await asyncio.gather(
                ask("agent", "readiness"), ask("cost", "ping"), ask("security", "ping")
            )
        except (ReceptionError, TimeoutError, ValueError) as error:
            return PlainTextResponse(f"not ready: {error}\n", 503)
        if readiness != "ready":
            return PlainTextResponse(f"not ready: {readiness}\n", 503)
        return PlainTextResponse("ok\n")

    @app.get("/metrics")
    async def metrics() -> Response:
        """Prometheus metrics of this node."""
        stats, door, costs = await asyncio.gather(
            ask("agent", "stats"), ask("door", "stats"), ask("cost", "totals")
        )
        provider: dict[str, Any] | None = None
        with suppress(ReceptionError, TimeoutError):
            provider = await ask("health", "provider")
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Collector(stats, door, costs, provider))
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        """The status page; it asks for its data itself."""
        return HTMLResponse(await asyncio.to_thread(_PAGE.read_text, encoding="utf-8"))

    access = Access(ask)
    add_calls(app, access)
    add_money(app, access)
    add_audio(app, access)
    add_cluster(app, access)
    return app
