"""What was spent, and for how much talk, as forecasts learn from it. Functions of a connection."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.engine import step_of
from actors.storage.ledger_view import SCOPE_COLUMNS
from actors.storage.schema import accounts, calls, spending
from reception.money.scopes import Scope

_HOUR_S = 3_600
_SPENT = (
    sa.select(spending.c.slot_s, spending.c.micros)
    .where(spending.c.scope == sa.bindparam("scope"), spending.c.slot_s >= sa.bindparam("since"))
    .order_by(spending.c.slot_s)
)


def spent(connection: Connection, scope: Scope, since_s: float) -> list[tuple[int, int]]:
    """A scope's spending by slot (its beginning, micro-dollars), in order."""
    found = connection.execute(_SPENT, {"scope": scope, "since": since_s})
    return [(int(slot_s), int(micros)) for slot_s, micros in found]


def talk(connection: Connection, scope: Scope, since_s: float) -> list[tuple[float, float, int]]:
    """Calls that ended since, by the hour: the hour's end (UNIX seconds), seconds of
    all of them, and what they cost (micro-dollars)."""
    kind, _, id_ = scope.partition(":")
    hour = step_of(connection, calls.c.ended_at_s, _HOUR_S)
    own = SCOPE_COLUMNS[kind] == id_ if kind in SCOPE_COLUMNS else sa.true()
    query = (
        sa.select(
            hour.label("hour"),
            sa.func.sum(calls.c.ended_at_s - calls.c.accepted_at_s),
            sa.func.sum(accounts.c.total_micros),
        )
        .join(accounts, accounts.c.session_id == calls.c.session_id)
        .where(calls.c.ended_at_s >= since_s, accounts.c.exempt.is_(False), own)
        .group_by("hour")
        .order_by("hour")
    )
    return [
        (float(hour_s + _HOUR_S), float(call_s), int(micros))
        for hour_s, call_s, micros in connection.execute(query)
    ]
