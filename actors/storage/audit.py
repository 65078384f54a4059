"""The audit trail as stored: append, read, prove. Functions of a connection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.schema import audit
from reception.security.audit import AuditEntry, AuditEvent, first_fault, link

_PAGE = 1_000
_LAST = sa.select(audit).order_by(audit.c.seq.desc()).limit(1)


def append(connection: Connection, event: AuditEvent, at_us: int, epoch: int) -> AuditEntry:
    """Adds an event to the chain's end. The caller's transaction holds the
    singleton's epoch, so nobody else adds one meanwhile."""
    entry = link(last(connection), event, at_us)
    connection.execute(sa.insert(audit), asdict(entry) | {"epoch": epoch})
    return entry


def last(connection: Connection) -> AuditEntry | None:
    """The chain's end."""
    row = connection.execute(_LAST).one_or_none()
    return None if row is None else _entry(row)


def page(connection: Connection, after_seq: int, size: int) -> list[AuditEntry]:
    """Up to `size` entries that follow `after_seq`."""
    rows = connection.execute(
        sa.select(audit).where(audit.c.seq > after_seq).order_by(audit.c.seq).limit(size)
    )
    return [_entry(row) for row in rows]


def fault(connection: Connection) -> str:
    """What is wrong with the whole chain, or "" if nothing is."""
    return first_fault(_all(connection))


def _all(connection: Connection) -> Iterator[AuditEntry]:
    after = 0
    while entries := page(connection, after, _PAGE):
        yield from entries
        after = entries[-1].seq


def _entry(row: sa.Row[tuple[object, ...]]) -> AuditEntry:
    return AuditEntry(
        int(row.seq),
        bytes(row.previous),
        bytes(row.hash),
        int(row.at_us),
        row.actor,
        row.action,
        row.detail,
    )
