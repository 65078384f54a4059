"""What is shown of money at a glance: read at once and put into plain rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy.engine import Connection

from actors.reports import call_row
from actors.storage import ledger_view, spent
from actors.storage import reports as stored
from reception.errors import InvalidRequest
from reception.money import overview, reports
from reception.money.limits import LimitTable
from reception.money.prices import ModelPrice, PriceTable
from reception.money.windows import Calendar, window_at, zone_of

TOP = 10
"""Rows of each table."""

_OWNERS = ("tenant", "number", "profile")


@dataclass(frozen=True, slots=True)
class Overview:
    """What is asked for; checked by `of`. Times are UNIX seconds."""

    by: str
    since_s: float
    until_s: float
    now_s: float
    zone: str

    @classmethod
    def of(cls, by: str, since: str, until: str, now_s: float, zone: str) -> Self:
        """From what somebody asks for.

        Raises:
            InvalidRequest: names the argument, its value and its bound.
        """
        since_s, until_s = reports.span(since, until, now_s, zone_of(zone))
        overview.check(by, since_s, until_s)
        return cls(by, since_s, until_s, now_s, zone)

    def read(
        self,
        connection: Connection,
        limits: Callable[[Connection], LimitTable],
        prices: PriceTable,
    ) -> dict[str, Any]:
        """Plain values, of one moment."""
        span = (self.since_s, self.until_s)
        period = Calendar(self.by, self.zone)
        split = {
            "parts": self._parts(connection, prices),
            "profiles": spent.by_owner(connection, "profile", *span),
            "tenants": spent.by_owner(connection, "tenant", *span),
            "saved": spent.saved(connection, *span),
        }
        shown, left_out = overview.nearest(
            ledger_view.standings(connection, limits=limits, now_s=self.now_s)
        )
        total = stored.whole(connection, *span)
        dearest = [call_row(*each) for each in stored.dearest(connection, *span, TOP)]
        return {
            "by": self.by,
            "since": reports.utc_time(self.since_s),
            "until": reports.utc_time(self.until_s),
            "zone": self.zone,
            "at_s": self.now_s,
            "starts_at_s": window_at(period, self.since_s).start_s,
            "ends_at_s": max(
                self.until_s, window_at(period, max(self.since_s, self.until_s - 1)).end_s
            ),
            "rows": overview.over_time(
                stored.by_slot(connection, *span), split, self.by, self.zone, zone_of(self.zone)
            ),
            "total": total.plain(),
            "top": {kind: self._top(connection, kind) for kind in _OWNERS}
            | {"call": {"rows": dearest, "left_out": max(0, total.calls - len(dearest))}},
            "limits": shown,
            "limits_left_out": left_out,
        }

    def _parts(
        self, connection: Connection, prices: PriceTable
    ) -> Iterator[tuple[float, str, int]]:
        for at_s, kind, model, usage, micros in spent.by_bill(
            connection, self.since_s, self.until_s
        ):
            price = _price(prices, model, at_s)
            for name, part in overview.parts_of(kind, usage, price, micros).items():
                yield at_s, name, part

    def _top(self, connection: Connection, kind: str) -> dict[str, Any]:
        lines, more = stored.by_owner(connection, kind, self.since_s, self.until_s)
        rows = [{kind: key} | line.plain() for key, line in lines[:TOP]]
        return {"rows": rows, "left_out": len(lines) - len(rows) + more}


def _price(prices: PriceTable, model: str, at_s: float) -> ModelPrice | None:
    try:
        return prices.price(model, at_s)
    except InvalidRequest:
        return None
