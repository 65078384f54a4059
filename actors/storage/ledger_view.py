"""Money as it is shown: totals, and how every limit stands. Functions of a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage import alerts
from actors.storage.schema import accounts, model_totals, spending
from reception.money.case import INVOICED
from reception.money.leases import PREFIX
from reception.money.limits import Limit, LimitTable
from reception.money.scopes import EACH, EXEMPT, GLOBAL, KINDS, OVERDRAFT, Scope
from reception.money.windows import WINDOWS, Calendar, OfCall, span_at

SCOPE_COLUMNS = dict(
    zip(
        KINDS,
        (accounts.c.tenant, accounts.c.key_id, accounts.c.number, accounts.c.profile,
         accounts.c.provider),
        strict=True,
    )
)  # fmt: skip
"""Where an account has the id of its scope of each kind."""

OF_INVOICE = accounts.c.session_id.startswith(INVOICED, autoescape=True)
"""Accounts of what an invoice had and no call was billed for."""

_OF_LEASE = accounts.c.session_id.startswith(PREFIX, autoescape=True)
_OF_CALL = sa.not_(sa.or_(_OF_LEASE, OF_INVOICE))
_HELD = sa.func.coalesce(sa.func.sum(accounts.c.held_micros), 0)
_COUNTS = sa.select(
    sa.func.count().filter(_OF_CALL),
    sa.func.count().filter(_OF_CALL, accounts.c.closed.is_(False)),
    sa.func.count().filter(_OF_CALL, accounts.c.exempt.is_(True)),
    sa.func.count().filter(_OF_CALL, accounts.c.held_micros > 0),
    *(
        sa.func.coalesce(sa.func.sum(accounts.c.held_micros).filter(of), 0)
        for of in (_OF_CALL, _OF_LEASE)
    ),
).select_from(accounts)
_POSTED = sa.select(spending.c.scope, sa.func.sum(spending.c.micros)).group_by(spending.c.scope)


def totals(
    connection: Connection, limits: Callable[[Connection], LimitTable], now_s: float
) -> dict[str, Any]:
    """All money, by window of the whole deployment and by model; `leased_micros` is
    held for nodes, beside what is held for calls."""
    calls, open_calls, exempt_calls, holds, held, leased = connection.execute(_COUNTS).one()
    models = {
        row["model"]: {name: int(value) for name, value in row.items() if name != "model"}
        for row in connection.execute(sa.select(model_totals)).mappings()
    }
    counted = _POSTED.where(spending.c.scope.in_((EXEMPT, OVERDRAFT)))
    beside = {scope: int(micros) for scope, micros in connection.execute(counted)}
    whole = {limit.window.name: limit for limit in limits(connection).of(GLOBAL)}
    return {
        "posted_micros": sum(model["cost_micros"] for model in models.values()),
        "held_micros": int(held),
        "leased_micros": int(leased),
        "overdraft_micros": beside.get(OVERDRAFT, 0),
        "exempt": {"calls": int(exempt_calls), "posted_micros": beside.get(EXEMPT, 0)},
        "windows": {name: _shown(connection, whole[name], now_s)[0] for name in WINDOWS},
        "calls": int(calls),
        "open_calls": int(open_calls),
        "holds": int(holds),
        "models": models,
        "alerts": alerts.counts(connection),
    }


def standings(
    connection: Connection, limits: Callable[[Connection], LimitTable], now_s: float
) -> list[dict[str, Any]]:
    """Every limit over a time with what is posted and held in it, and those of
    single calls."""
    table = limits(connection)
    return [
        {"scope": str(limit.scope), "window": limit.window.name} | shown
        for limit in table.all()
        for shown in _shown(connection, limit, now_s, table)
    ]


def _shown(
    connection: Connection, limit: Limit, now_s: float, table: LimitTable | None = None
) -> list[dict[str, Any]]:
    """How a limit stands; one for each of a kind in each scope that has no own and in
    which something is posted or held."""
    if isinstance(limit.window, OfCall):
        return [{"limit_micros": limit.micros}]
    span = span_at(limit.window, now_s)
    query = _POSTED.where(spending.c.slot_s >= span.start_s)
    kind, _, id_ = limit.scope.partition(":")
    if id_ == EACH:
        query = query.where(spending.c.scope.startswith(f"{kind}:", autoescape=True))
    else:
        query = query.where(spending.c.scope == limit.scope)
    posted = {Scope(scope): int(micros) for scope, micros in connection.execute(query)}
    held = dict(_held(connection, kind))
    scopes = [limit.scope]
    if id_ == EACH and table is not None:
        scopes = [each for each in sorted({*posted, *held}) if limit in table.of(each)]
    if not scopes:
        return [{"limit_micros": limit.micros}]
    ends = {"ends_at_s": span.until_s} if isinstance(limit.window, Calendar) else {}
    return [
        ({"of": str(scope)} if id_ == EACH else {})
        | _stands(posted.get(scope, 0), held.get(scope, 0), limit.micros)
        | ends
        for scope in scopes
    ]


def _stands(posted: int, held: int, limit: int) -> dict[str, Any]:
    """`percent`: of the limit, posted and held; of a limit of 0 it is 100."""
    return {
        "posted_micros": posted,
        "held_micros": held,
        "limit_micros": limit,
        "left_micros": limit - posted - held,
        "percent": round(100 * (posted + held) / limit, 1) if limit else 100.0,
    }


def _held(connection: Connection, kind: str) -> Iterator[tuple[Scope, int]]:
    """What is held by each scope of a kind."""
    live = (accounts.c.closed.is_(False)) & (accounts.c.exempt.is_(False))
    column = SCOPE_COLUMNS.get(kind)
    if column is None:
        yield GLOBAL, int(connection.execute(sa.select(_HELD).where(live)).scalar_one())
        return
    rows = connection.execute(
        sa.select(column, _HELD)
        .where(live, accounts.c.held_micros > 0, column != "")
        .group_by(column)
    )
    for id_, held in rows:
        yield Scope(f"{kind}:{id_}"), int(held)
