"""Routes: budgets, reports, the forecast, alerts, and the ledger's proof."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Literal

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from pydantic import BaseModel, Field

from actors.prices import MAX_TEXT_CHARS
from cluster.management.access import PREFIX, Access
from cluster.money.page import page
from reception.errors import InvalidRequest
from reception.money.invoice import parse_items
from reception.money.reports import to_csv
from reception.money.windows import NEVER_S

MAX_PRICES_BYTES = 4 * MAX_TEXT_CHARS
MAX_ITEMS = 10_000
"""Of an invoice at once."""

MAX_ID = 2**63 - 1
NEXT_PAGE = "x-next-page-token"


class NewLimit(BaseModel, extra="forbid"):
    """A limit: "global" or as "tenant:acme" or "tenant:*"; hour, day, week, month, one
    of them with "rolling-" before it, call or call-minute; micro-dollars; the zone of a
    calendar window, the deployment's if it is empty."""

    scope: str
    window: str
    micros: int = Field(strict=True)
    zone: str = ""


class NewPolicy(BaseModel, extra="forbid"):
    """Steps with the percentage of the tightest limit below which each is taken."""

    tenant: str
    steps: dict[str, int]


class Invoice(BaseModel, extra="forbid"):
    """A provider's itemised invoice (docs/money.md): each item with kind, id, model and what
    it used; whose it is, the deployment's provider if that is empty."""

    items: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_ITEMS)
    provider: str = ""
    dry_run: bool = Field(False, strict=True)


def add_money(app: FastAPI, access: Access) -> None:
    """Budgets and what was, is and will be spent."""
    _add_budgets(app, access)
    _add_views(app, access)
    _add_proofs(app, access)


def _add_budgets(app: FastAPI, access: Access) -> None:
    ask, may_read, may_manage = access.ask, access.may_read, access.may_manage

    @app.get(f"{PREFIX}/budgets", dependencies=[Depends(may_read)])
    async def budgets() -> dict[str, Any]:
        """Every limit with what is posted, held and left in it, and the policies."""
        limits, policies = await ask("cost", "limits"), await ask("cost", "policies")
        return {"limits": limits, "policies": policies, "at": time.time()}

    @app.put(f"{PREFIX}/budgets/limit")
    async def set_limit(limit: NewLimit, by: str = Depends(may_manage)) -> dict[str, Any]:
        """Sets a limit; it holds from the next hold on."""
        await ask("cost", "set_limit", limit.scope, limit.window, limit.micros, by, limit.zone)
        return limit.model_dump()

    @app.delete(f"{PREFIX}/budgets/limit")
    async def remove_limit(
        scope: str, window: str, by: str = Depends(may_manage)
    ) -> dict[str, Any]:
        """Takes a limit away; a default one is back then."""
        await ask("cost", "set_limit", scope, window, None, by)
        return {"scope": scope, "window": window, "micros": None}

    @app.put(f"{PREFIX}/budgets/policy")
    async def set_policy(policy: NewPolicy, by: str = Depends(may_manage)) -> dict[str, Any]:
        """Sets what is done when a tenant's money runs out ("*": each tenant's)."""
        await ask("cost", "set_policy", policy.tenant, policy.steps, by)
        return policy.model_dump()

    @app.put(f"{PREFIX}/budgets/prices")
    async def set_prices(request: Request, by: str = Depends(may_manage)) -> dict[str, str]:
        """Replaces the price table: YAML as in config/prices.yaml, of a later version."""
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_PRICES_BYTES:
                raise InvalidRequest(
                    f"prices have more than {MAX_PRICES_BYTES} bytes: must have at most that",
                    field="prices",
                )
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"prices are no UTF-8: {error}", field="prices") from error
        return {"version": await ask("cost", "set_prices", text, by)}


def _add_views(app: FastAPI, access: Access) -> None:
    ask, allowed = access.ask, [Depends(access.may_read)]

    @app.get(f"{PREFIX}/report", dependencies=allowed, response_model=None)
    async def report(
        by: str = "day",
        since: str = "",
        until: str = "",
        format: Literal["json", "csv"] = "json",
        page_size: int = 1_000,
        page_token: str = "",
    ) -> Response | dict[str, Any]:
        """What calls that began in a span have cost and used; as CSV without the total,
        the next page's token in a header."""
        found: dict[str, Any] = await ask("cost", "report", by, since, until, page_size, page_token)
        if format == "json":
            return found
        return PlainTextResponse(
            to_csv(found["rows"]),
            media_type="text/csv",
            headers={NEXT_PAGE: found["next_page_token"]},
        )

    @app.get(f"{PREFIX}/report.html", dependencies=allowed, response_class=HTMLResponse)
    async def report_page(by: str = "day", since: str = "", until: str = "") -> HTMLResponse:
        """Spending over hours or days, limits and what they come to, cost, cache, savings,
        and who and what was dearest, as a page that needs nothing else."""
        found = await ask("cost", "overview", by, since, until)
        html = await asyncio.to_thread(page, found)
        return HTMLResponse(html, headers={"cache-control": "no-store"})

    @app.get(f"{PREFIX}/forecast", dependencies=allowed)
    async def forecast(scope: str = "global") -> dict[str, Any]:
        """Each window's end, seen from now, and a rolling one's course; null is "unknown"."""
        found: dict[str, Any] = await ask("cost", "forecast", scope)
        return found

    @app.get(f"{PREFIX}/alerts", dependencies=allowed)
    async def alerts(
        after: int = Query(0, ge=0, le=MAX_ID),
        since: float = Query(0.0, ge=0, le=NEVER_S),
        at_most: int = Query(100, alias="limit"),
    ) -> dict[str, Any]:
        """Alerts in force, and those told after an id and since a UNIX time, oldest first."""
        found: dict[str, Any] = await ask("cost", "alerts", after, since, at_most)
        return found


def _add_proofs(app: FastAPI, access: Access) -> None:
    ask = access.ask

    @app.post(f"{PREFIX}/verify", dependencies=[Depends(access.may_read)])
    async def verify() -> dict[str, Any]:
        """Replays the ledger and compares it with the sums and the call records."""
        differences: list[str] = await ask("cost", "verify")
        return {"differences": differences, "at": time.time()}

    @app.post(f"{PREFIX}/reconcile")
    async def reconcile(invoice: Invoice, by: str = Depends(access.may_manage)) -> dict[str, Any]:
        """Makes the ledger what a provider's itemised invoice says; again changes nothing."""
        items = parse_items(invoice.items)
        found: dict[str, Any] = await ask(
            "cost", "reconcile", items, by, invoice.provider, invoice.dry_run
        )
        return found
