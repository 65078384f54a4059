"""Compares call records with their accounts, and counts tokens for a provider's export.

Functions of a connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.calls import ENDED
from actors.storage.engine import step_of
from actors.storage.schema import accounts, calls, usage
from reception.money.case import ADJUSTMENT, RESPONSE
from reception.money.reports import DAY_S, label
from reception.money.usage_export import SUMS, Key, model_name
from reception.money.windows import zone_of

MAX_SHOWN = 100

_TOKENS = tuple(name for parts in SUMS.values() for name in parts)


def differences(connection: Connection) -> list[str]:
    """Ended calls whose record has another cost than their account, MAX_SHOWN by name.

    A record is of the moment at which the call ended: bills that came later, and
    corrections, are in the account alone.
    """
    late = (
        sa.select(usage.c.session_id, sa.func.sum(usage.c.cost_micros).label("micros"))
        .join(calls, calls.c.session_id == usage.c.session_id)
        .where(sa.or_(usage.c.kind == ADJUSTMENT, usage.c.at_s > calls.c.ended_at_s))
        .group_by(usage.c.session_id)
        .subquery()
    )
    total = sa.func.coalesce(accounts.c.total_micros, 0)
    closed = sa.func.coalesce(accounts.c.closed, sa.true())
    after = sa.func.coalesce(late.c.micros, 0)
    costs_another = (calls.c.cost_micros != total) & (calls.c.cost_micros != total - after)
    query = (
        sa.select(
            calls.c.call_id,
            calls.c.session_id,
            calls.c.cost_micros,
            accounts.c.total_micros,
            after.label("after"),
            closed.label("closed"),
        )
        .select_from(
            calls.outerjoin(accounts, accounts.c.session_id == calls.c.session_id).outerjoin(
                late, late.c.session_id == calls.c.session_id
            )
        )
        .where(calls.c.state == ENDED, sa.or_(costs_another, sa.not_(closed)))
        .order_by(calls.c.accepted_at_s, calls.c.session_id)
    )
    found = connection.execute(query.limit(MAX_SHOWN)).all()
    texts = [_text(row) for row in found]
    if len(found) == MAX_SHOWN:
        count = sa.select(sa.func.count()).select_from(query.order_by(None).subquery())
        more = int(connection.execute(count).scalar_one()) - MAX_SHOWN
        texts += [f"and {more} more calls"] if more else []
    return texts


def _text(row: Any) -> str:
    name = f"call {row.call_id} (session {row.session_id})"
    if row.total_micros is None:
        return f"{name}: its record costs {row.cost_micros}, there is no account of it"
    if not row.closed:
        return f"{name}: it is over, its account is not closed"
    late = f", of which {row.after} came after its end" if row.after else ""
    return (
        f"{name}: its record costs {row.cost_micros}, its account {row.total_micros}{late} "
        "(micro-dollars)"
    )


def tokens_by_day(
    connection: Connection, since_s: float, until_s: float, also: Sequence[str], provider: str = ""
) -> dict[Key, dict[str, int]]:
    """Tokens of responses billed in a span, by UTC day and model.

    Args:
        also: models whose transcriptions count too.
        provider: only of calls of this one; "" for all.
    """
    day = step_of(connection, usage.c.at_s, DAY_S).label("day_s")
    query = (
        sa.select(
            day,
            usage.c.model,
            usage.c.kind,
            *(sa.func.sum(usage.c[name]).label(name) for name in _TOKENS),
        )
        .join(accounts, accounts.c.session_id == usage.c.session_id)
        .where(usage.c.at_s >= since_s, usage.c.at_s < until_s, usage.c.kind != ADJUSTMENT)
        .group_by("day_s", usage.c.model, usage.c.kind)
    )
    if provider:
        query = query.where(accounts.c.provider == provider)
    found: dict[Key, dict[str, int]] = {}
    for row in connection.execute(query).mappings():
        model = model_name(row["model"])
        if row["kind"] != RESPONSE and model not in also:
            continue
        key = (label(row["day_s"], "day", zone_of("UTC")), model)
        counts = found.setdefault(key, dict.fromkeys(_TOKENS, 0))
        for name in _TOKENS:
            counts[name] += int(row[name])
    return found
