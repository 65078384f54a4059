"""What the cluster has written down of its calls, and what the provider has."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from actors.storage import ledger_check
from actors.storage.engine import Store
from actors.storage.schema import accounts, calls, limits, live_calls, spending, usage
from cluster.chaos import history as h
from cluster.chaos.provider import Provider
from reception.money.leases import PREFIX
from reception.money.scopes import GLOBAL, OVERDRAFT

PERIOD = "rolling-month"  # a limit that is set here has no end within a run

_POSTED = sa.select(sa.func.coalesce(sa.func.sum(spending.c.micros), 0))
_HELD = sa.select(sa.func.coalesce(sa.func.sum(accounts.c.held_micros), 0))
_MONEY = sa.select(  # in one statement, so as of one moment
    _POSTED.where(spending.c.scope == str(GLOBAL)).scalar_subquery().label("posted"),
    _HELD.scalar_subquery().label("held"),
    _POSTED.where(spending.c.scope == str(OVERDRAFT)).scalar_subquery().label("overdraft"),
    sa.select(limits.c.micros)
    .where(limits.c.scope == str(GLOBAL), limits.c.period == PERIOD)
    .scalar_subquery()
    .label("limit"),
)
_LEASES = sa.select(accounts).where(
    accounts.c.session_id.startswith(PREFIX), accounts.c.closed.is_(False)
)
_BILLS = sa.select(usage).order_by(usage.c.id)


class Books:
    """Reads the database beside the cluster, and never writes. Raises Unavailable while
    it is away.

    Args:
        url: of the cluster's database.
        provider: whose bills are compared.
        limit_micros: of all spending, while none is set for PERIOD.
    """

    def __init__(self, url: str, provider: Provider, limit_micros: int) -> None:
        self._store = Store.open(url)
        self._provider, self._limit_micros = provider, limit_micros
        self._usage_id = 0

    def close(self) -> None:
        self._store.close()

    def money(self) -> h.Money:
        """How the limit of all spending stands."""
        with self._store.reading() as connection:
            row = connection.execute(_MONEY).one()
        sums = int(row.posted), int(row.held), int(row.overdraft)
        return h.Money(*sums, int(row.limit or self._limit_micros), time.monotonic())

    def leases(self) -> list[h.Account]:
        """Those of front doors that are on."""
        with self._store.reading() as connection:
            return [_account(row) for row in connection.execute(_LEASES)]

    def settled(self, call_ids: Collection[str]) -> bool:
        """Nothing of these calls is left to be done."""
        with self._store.reading() as connection:
            left = sa.select(sa.func.count()).select_from(live_calls)
            open_ = sa.select(sa.func.count()).where(accounts.c.closed.is_(False))
            ended = sa.select(sa.func.count(calls.c.call_id.distinct())).where(
                calls.c.state == "ended", calls.c.call_id.in_(call_ids)
            )
            return (
                connection.execute(left.where(live_calls.c.call_id.in_(call_ids))).scalar_one(),
                connection.execute(open_.where(accounts.c.call_id.in_(call_ids))).scalar_one(),
                connection.execute(ended).scalar_one(),
            ) == (0, 0, len(call_ids))

    def audit(self, call_ids: Collection[str]) -> list[h.Event]:
        """All that is written of these calls, and every bill since the last time."""
        with self._store.reading() as connection:
            found = [
                *self._calls(connection, call_ids),
                *self._used(connection),
                *(h.LedgerFault(text) for text in ledger_check.faults(connection)),
            ]
        return [*found, *self._billed()]

    def _calls(self, connection: sa.Connection, call_ids: Collection[str]) -> list[h.Event]:
        since_s = time.monotonic() - time.time()
        records = sa.select(calls).where(calls.c.call_id.in_(call_ids))
        left = sa.select(live_calls).where(live_calls.c.call_id.in_(call_ids))
        money = sa.select(accounts).where(accounts.c.call_id.in_(call_ids))
        found: list[h.Event] = [
            h.Record(row.call_id, row.session_id, row.state, row.end_reason,
                     (row.ended_at_s or 0.0) + since_s)
            for row in connection.execute(records)
        ]  # fmt: skip
        found += [
            h.LeftLive(row.call_id, row.session_id, row.node_id) for row in connection.execute(left)
        ]
        return [*found, *map(_account, connection.execute(money))]

    def _used(self, connection: sa.Connection) -> list[h.Used]:
        found = []
        for row in connection.execute(_BILLS.where(usage.c.id > self._usage_id)):
            self._usage_id = row.id
            into = (
                row.input_text + row.input_audio + row.input_image
            )  # what is cached is a part of it
            out = row.output_text + row.output_audio
            found.append(
                h.Used(row.session_id, row.response_id, row.kind, into, out, row.cost_micros)
            )
        return found

    def _billed(self) -> list[h.Billed]:
        since_s = time.monotonic() - time.time()
        bills = list(self._provider.billed())
        last = {bill["session_id"]: bill["response_id"] for bill in bills}
        return [
            h.Billed(
                bill["session_id"], bill["response_id"], bill["usage"]["input_tokens"],
                bill["usage"]["output_tokens"], bill["at_s"] + since_s,
                last[bill["session_id"]] == bill["response_id"],
            )
            for bill in bills
        ]  # fmt: skip


def _account(row: Any) -> h.Account:
    return h.Account(row.call_id, row.session_id, row.held_micros, row.total_micros, row.closed)
