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
from actors.storage.ledger_view import OF_INVOICE
from actors.storage.schema import accounts, calls, usage
from reception.money.case import ADJUSTMENT, INVOICED, RESPONSE
from reception.money.reconciliation import NUMBER_DIGITS
from reception.money.reports import DAY_S, label
from reception.money.usage_export import SUMS, Key, model_name
from reception.money.windows import zone_of

MAX_SHOWN = 100

_AT_S = sa.case((OF_INVOICE, accounts.c.opened_at_s), else_=usage.c.at_s).label("at_s")
_TOKENS = tuple(name for parts in SUMS.values() for name in parts)

_BILLS = (
    sa.select(_AT_S, usage.c.model, usage.c.kind, *(usage.c[name] for name in _TOKENS))
    .join(accounts, accounts.c.session_id == usage.c.session_id)
    .where(usage.c.kind != ADJUSTMENT)
)
_FIX = usage.alias("fix")
_FIXES_THIS = sa.literal(INVOICED) + usage.c.kind + ":" + usage.c.response_id + ":"
_FIXES = (  # the kind and time are of the bill that is corrected
    sa.select(_AT_S, _FIX.c.model, usage.c.kind, *(_FIX.c[name] for name in _TOKENS))
    .select_from(_FIX)
    .join(usage, usage.c.session_id == _FIX.c.session_id)
    .join(accounts, accounts.c.session_id == usage.c.session_id)
    .where(
        _FIX.c.kind == ADJUSTMENT,
        _FIX.c.response_id.startswith(INVOICED, autoescape=True),
        usage.c.kind != ADJUSTMENT,
        sa.func.length(_FIX.c.response_id) == sa.func.length(_FIXES_THIS) + NUMBER_DIGITS,
        sa.func.substr(_FIX.c.response_id, 1, sa.func.length(_FIXES_THIS)) == _FIXES_THIS,
    )
)


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
    """Tokens of responses billed in a span, by UTC day and model. What an invoice corrected
    counts when the bill was, what it added when the invoice says that it was made.

    Args:
        also: models whose transcriptions count too.
        provider: only of calls of this one; "" for all.
    """
    bills = _BILLS.where(accounts.c.provider == provider) if provider else _BILLS
    fixes = _FIXES.where(accounts.c.provider == provider) if provider else _FIXES
    both = sa.union_all(bills, fixes).subquery()
    day = step_of(connection, both.c.at_s, DAY_S).label("day_s")
    query = (
        sa.select(
            day,
            both.c.model,
            both.c.kind,
            *(sa.func.sum(both.c[name]).label(name) for name in _TOKENS),
        )
        .where(both.c.at_s >= since_s, both.c.at_s < until_s)
        .group_by("day_s", both.c.model, both.c.kind)
    )
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
