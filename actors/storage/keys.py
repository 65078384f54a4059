"""API keys and rate limits as stored. Functions of a connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.engine import upsert_all
from actors.storage.prepared import Prepared
from actors.storage.schema import api_keys, rate_state
from reception.security.admission import StoredKey

_KEYS = sa.select(
    api_keys.c.key_id,
    api_keys.c.name,
    api_keys.c.tenant,
    api_keys.c.scopes,
    api_keys.c.hash,
    api_keys.c.created_at_s,
    api_keys.c.expires_at_s,
    api_keys.c.revoked_at_s,
)
_KEY = Prepared(_KEYS.where(api_keys.c.key_id == sa.bindparam("key_id")))
_TATS = Prepared(
    sa.select(rate_state.c.rate, rate_state.c.tat_ns).where(
        rate_state.c.subject == sa.bindparam("subject")
    )
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
    found = _KEY.read(connection, {"key_id": key_id})
    return _key(found[0]) if found else None


def every(connection: Connection) -> list[StoredKey]:
    """All keys, oldest first, revoked ones too."""
    rows = connection.execute(_KEYS.order_by(api_keys.c.created_at_s, api_keys.c.key_id))
    return [_key(row) for row in rows]


def revoke(connection: Connection, key_id: str, at_s: float) -> bool:
    """Ends a key; False when it was ended before or never was."""
    done = connection.execute(
        sa.update(api_keys)
        .where(api_keys.c.key_id == key_id, api_keys.c.revoked_at_s.is_(None))
        .values(revoked_at_s=at_s)
    )
    return done.rowcount == 1


def _key(row: Sequence[Any]) -> StoredKey:
    key_id, name, tenant, scopes, key_hash, *times_s = row
    return StoredKey(key_id, name, tenant, tuple(scopes.split()), bytes(key_hash), *times_s)


def tats(connection: Connection, subject: str) -> dict[str, int]:
    """Theoretical arrival times of `subject` in nanoseconds, by rate."""
    return dict(_TATS.read(connection, {"subject": subject}))


def save_tats(connection: Connection, subject: str, values: Mapping[str, int]) -> None:
    """Keeps them."""
    rows = [{"subject": subject, "rate": rate, "tat_ns": tat_ns} for rate, tat_ns in values.items()]
    upsert_all(connection, rate_state, rows, replace=("tat_ns",))
