"""Limits and policies as stored: what was set at run time. Functions of a connection."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.engine import insert_if_new, upsert
from actors.storage.prepared import Prepared
from actors.storage.schema import epochs, limits, policies
from reception.money.limits import Limit, make_limit
from reception.money.policy import Policy, parse_policy
from reception.money.windows import Calendar

_LIMITS, _BOOK = "limits", "book"
_REVISED = Prepared(
    sa.select(epochs.c.singleton, epochs.c.epoch).where(
        (epochs.c.singleton == sa.bindparam("limits"))
        | (epochs.c.singleton == sa.bindparam("book"))
    )
)


class Revision(NamedTuple):
    """Numbers that grow with every change of limits and policies, whoever made it, and of
    accounts, beside the singleton."""

    limits: int
    book: int


def revision(connection: Connection) -> Revision:
    """What was changed so far."""
    found = dict(_REVISED.read(connection, {"limits": _LIMITS, "book": _BOOK}))
    return Revision(found.get(_LIMITS, 0), found.get(_BOOK, 0))


def load(connection: Connection) -> tuple[list[Limit], dict[str, Policy]]:
    """All limits, and policies by tenant ("*": of each that has none)."""
    found = [
        make_limit(row.scope, row.period, row.micros, row.zone)
        for row in connection.execute(sa.select(limits))
    ]
    of = {
        row.tenant: parse_policy(json.loads(row.steps))
        for row in connection.execute(sa.select(policies))
    }
    return found, of


def set_limit(connection: Connection, limit: Limit, by: str, at_s: float) -> dict[str, Any] | None:
    """Sets a limit; the one before it, as `shown`."""
    before = remove_limit(connection, limit)
    row = shown(limit) | {"period": limit.window.name, "set_by": by, "set_at_s": at_s}
    del row["window"]
    connection.execute(sa.insert(limits), row)
    return before


def remove_limit(connection: Connection, limit: Limit) -> dict[str, Any] | None:
    """Takes the limit of this scope and window away; what it was, if it was set."""
    same = (limits.c.scope == limit.scope) & (limits.c.period == limit.window.name)
    row = connection.execute(sa.select(limits).where(same)).one_or_none()
    connection.execute(sa.delete(limits).where(same))
    revise(connection)
    return shown(make_limit(row.scope, row.period, row.micros, row.zone)) if row else None


def set_policy(
    connection: Connection, tenant: str, policy: Policy, by: str, at_s: float
) -> dict[str, int] | None:
    """Sets a tenant's policy; the steps of the one before it."""
    same = policies.c.tenant == tenant
    before = connection.execute(sa.select(policies.c.steps).where(same)).scalar_one_or_none()
    steps = json.dumps(dict(policy.steps))
    upsert(connection, policies, {"tenant": tenant, "steps": steps, "set_by": by, "set_at_s": at_s})
    revise(connection)
    return None if before is None else dict(json.loads(before))


def shown(limit: Limit) -> dict[str, Any]:
    """A limit as plain values."""
    zone = limit.window.zone if isinstance(limit.window, Calendar) else "UTC"
    return {
        "scope": str(limit.scope),
        "window": limit.window.name,
        "zone": zone,
        "micros": limit.micros,
    }


def revise(connection: Connection) -> None:
    """Tells the singleton that something was changed."""
    _revise(connection, _LIMITS)


def revise_book(connection: Connection) -> None:
    """Tells the singleton that accounts were changed beside it, by who has its epoch
    locked until then."""
    _revise(connection, _BOOK)


def _revise(connection: Connection, name: str) -> None:
    insert_if_new(connection, epochs, {"singleton": name, "epoch": 0})
    connection.execute(
        sa.update(epochs).where(epochs.c.singleton == name).values(epoch=epochs.c.epoch + 1)
    )
