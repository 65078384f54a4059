"""Where the items of a provider's invoice are billed. Functions of a connection."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.schema import accounts, usage
from reception.money.case import INVOICED
from reception.money.invoice import KINDS, Key
from reception.money.reconciliation import Place

_PIECE = 500  # as ledger.load's
_PLACES = (
    sa.select(usage.c.kind, usage.c.response_id, usage.c.session_id, usage.c.at_s)
    .where(
        usage.c.kind.in_(KINDS),
        usage.c.response_id.in_(sa.bindparam("ids", expanding=True)),
    )
    .order_by(usage.c.id)
)


def places(connection: Connection, keys: Sequence[Key]) -> dict[Key, list[Place]]:
    """The accounts in which items are billed, in the order in which they were. Of items
    that are billed nowhere there are none."""
    wanted, found = set(keys), dict[Key, list[Place]]()
    ids = sorted({id_ for _, id_ in keys})
    for first in range(0, len(ids), _PIECE):
        for row in connection.execute(_PLACES, {"ids": ids[first : first + _PIECE]}):
            key = (row.kind, row.response_id)
            if key in wanted:
                found.setdefault(key, []).append(Place(row.session_id, row.at_s))
    return found


def not_among(
    connection: Connection,
    keys: Collection[Key],
    since_s: float,
    until_s: float,
    provider: str,
    at_most: int,
) -> tuple[list[tuple[str, Key]], int]:
    """Bills of a provider's calls in a span (both ends in it) that are of no item of
    `keys`, but of a kind that is among them: session ids and kinds and ids, the first
    `at_most`; and how many there are."""
    kinds = sorted({kind for kind, _ in keys})
    query = (
        sa.select(usage.c.session_id, usage.c.kind, usage.c.response_id)
        .join(accounts, accounts.c.session_id == usage.c.session_id)
        .where(
            usage.c.at_s >= since_s,
            usage.c.at_s <= until_s,
            usage.c.kind.in_(kinds),
            accounts.c.provider.in_((provider, "")),
            sa.not_(usage.c.session_id.startswith(INVOICED, autoescape=True)),
        )
        .order_by(usage.c.id)
    )
    found: list[tuple[str, Key]] = []
    count = 0
    for row in connection.execute(query):
        key = (row.kind, row.response_id)
        if key not in keys:
            count += 1
            if len(found) < at_most:
                found.append((row.session_id, key))
    return found, count
