"""Price tables as stored: every one that was set at run time. Functions of a connection."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.schema import accounts, price_tables
from reception.money.leases import PREFIX

_CURRENT = sa.select(price_tables.c.text).order_by(price_tables.c.version.desc()).limit(1)
_IN_USE = (
    sa.select(accounts.c.model)
    .distinct()
    .where(
        accounts.c.closed.is_(False),
        accounts.c.held_micros > 0,
        accounts.c.model != "",
        sa.not_(accounts.c.session_id.startswith(PREFIX, autoescape=True)),
    )
)


def current(connection: Connection) -> str | None:
    """The text of the latest version; None if none was ever set."""
    text: str | None = connection.execute(_CURRENT).scalar_one_or_none()
    return text


def models_in_use(connection: Connection) -> list[str]:
    """The models of calls for which money is held."""
    return list(connection.execute(_IN_USE).scalars())


def add(connection: Connection, version: str, text: str, by: str, at_s: float) -> None:
    """Keeps a table."""
    row = {"version": version, "text": text, "set_by": by, "set_at_s": at_s}
    connection.execute(sa.insert(price_tables), row)
