"""Runs migrations on the connection that the store gives, in its transaction."""

from __future__ import annotations

from alembic import context

from actors.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
