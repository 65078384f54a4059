"""The audit trail as stored: append, read, prove. Functions of a connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.prepared import Prepared
from actors.storage.schema import audit
from reception.security.audit import AuditEntry, AuditEvent, first_fault, link

_PAGE = 1_000
_ENTRIES = sa.select(
    audit.c.seq,
    audit.c.previous,
    audit.c.hash,
    audit.c.at_us,
    audit.c.actor,
    audit.c.action,
    audit.c.detail,
)
_LAST = Prepared(
    _ENTRIES.where(audit.c.seq == sa.select(sa.func.max(audit.c.seq)).scalar_subquery())
)
_APPEND = Prepared(sa.insert(audit), audit.c.keys())


def append(connection: Connection, event: AuditEvent, at_us: int, epoch: int) -> AuditEntry:
    """Adds an event to the chain's end. The caller's transaction holds the
    singleton's epoch, so nobody else adds one meanwhile."""
    entry = link(last(connection), event, at_us)
    _APPEND.write(connection, [asdict(entry) | {"epoch": epoch}])
    return entry


def last(connection: Connection) -> AuditEntry | None:
    """The chain's end."""
    found = _LAST.read(connection, {})
    return _entry(found[0]) if found else None


def page(connection: Connection, after_seq: int, size: int) -> list[AuditEntry]:
    """Up to `size` entries that follow `after_seq`."""
    rows = connection.execute(
        _ENTRIES.where(audit.c.seq > after_seq).order_by(audit.c.seq).limit(size)
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


def _entry(row: Sequence[Any]) -> AuditEntry:
    seq, previous, own, at_us, actor, action, detail = row
    return AuditEntry(seq, bytes(previous), bytes(own), at_us, actor, action, detail)
