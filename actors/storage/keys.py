"""API keys and rate limits as stored. Functions of a connection."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.engine import upsert
from actors.storage.schema import api_keys, rate_state
from reception.security.admission import StoredKey

_KEY = sa.select(api_keys).where(api_keys.c.key_id == sa.bindparam("key_id"))
_TATS = sa.select(rate_state.c.rate, rate_state.c.tat_ns).where(
    rate_state.c.subject == sa.bindparam("subject")
)


def add(connection: Connection, key: StoredKey, by: str) -> None:
    """A new key."""
    connection.execute(
        sa.insert(api_keys).values(
            key_id=key.key_id,
            name=key.name,
            tenant=key.tenant,
            scopes=" ".join(key.scopes),
            hash=key.hash,
            created_at_s=key.created_at_s,
            created_by=by,
            expires_at_s=key.expires_at_s,
        )
    )


def find(connection: Connection, key_id: str) -> StoredKey | None:
    """The key with this id."""
    row = connection.execute(_KEY, {"key_id": key_id}).one_or_none()
    return None if row is None else _key(row)


def every(connection: Connection) -> list[StoredKey]:
    """All keys, oldest first, revoked ones too."""
    rows = connection.execute(
        sa.select(api_keys).order_by(api_keys.c.created_at_s, api_keys.c.key_id)
    )
    return [_key(row) for row in rows]


def revoke(connection: Connection, key_id: str, at_s: float) -> bool:
    """Ends a key; False when it was ended before or never was."""
    done = connection.execute(
        sa.update(api_keys)
        .where(api_keys.c.key_id == key_id, api_keys.c.revoked_at_s.is_(None))
        .values(revoked_at_s=at_s)
    )
    return done.rowcount == 1


def _key(row: sa.Row[tuple[object, ...]]) -> StoredKey:
    return StoredKey(
        row.key_id,
        row.name,
        row.tenant,
        tuple(row.scopes.split()),
        bytes(row.hash),
        row.created_at_s,
        row.expires_at_s,
        row.revoked_at_s,
    )


def tats(connection: Connection, subject: str) -> dict[str, int]:
    """Theoretical arrival times of `subject` in nanoseconds, by rate."""
    rows = connection.execute(_TATS, {"subject": subject})
    return {row.rate: int(row.tat_ns) for row in rows}


def save_tats(connection: Connection, subject: str, values: Mapping[str, int]) -> None:
    """Keeps them."""
    for rate, tat_ns in values.items():
        upsert(connection, rate_state, {"subject": subject, "rate": rate, "tat_ns": tat_ns})
