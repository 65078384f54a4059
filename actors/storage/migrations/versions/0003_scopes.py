"""Spending by scope, closing tails; limits, policies and prices that can be changed.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SLOT_S = 900


def upgrade() -> None:
    """Keeps what was spent: all of it as the whole deployment's, and each
    tenant's and key's as far as the bills' calls are known."""
    for column in (
        sa.Column("number", sa.String(length=256), nullable=False, server_default=""),
        sa.Column("profile", sa.String(length=128), nullable=False, server_default=""),
        sa.Column("provider", sa.String(length=64), nullable=False, server_default=""),
        sa.Column("exempt", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("tail_micros", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("wrapping", sa.Boolean(), nullable=False, server_default=sa.false()),
    ):
        op.add_column("accounts", column)
    _spending_by_scope()
    op.create_table(
        "limits",
        sa.Column("scope", sa.String(length=300), nullable=False),
        sa.Column("period", sa.String(length=16), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.Column("set_by", sa.String(length=128), nullable=False),
        sa.Column("set_at_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "period"),
    )
    op.create_table(
        "policies",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("set_by", sa.String(length=128), nullable=False),
        sa.Column("set_at_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "price_tables",
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("set_by", sa.String(length=128), nullable=False),
        sa.Column("set_at_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )


def downgrade() -> None:
    """Calls of the new kind can't be told in the old tables."""
    raise NotImplementedError("this migration can't be undone; restore a backup")


def _spending_by_scope() -> None:
    op.rename_table("spending", "spending_before")
    op.create_table(
        "spending",
        sa.Column("scope", sa.String(length=300), nullable=False),
        sa.Column("slot_s", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "slot_s", name="spending_by_scope"),
    )
    op.execute(
        "INSERT INTO spending (scope, slot_s, micros) "
        "SELECT 'global', slot_s, micros FROM spending_before"
    )
    # SQLite cuts off in a cast, PostgreSQL rounds.
    postgresql = op.get_bind().dialect.name == "postgresql"
    quotient = f"floor(u.at_s / {_SLOT_S})" if postgresql else f"u.at_s / {_SLOT_S}"
    slot = f"CAST({quotient} AS BIGINT) * {_SLOT_S}"
    for kind, column in (("tenant", "tenant"), ("key", "key_id")):
        op.execute(
            "INSERT INTO spending (scope, slot_s, micros) "  # noqa: S608  # nosec B608 - names of ours
            f"SELECT '{kind}:' || a.{column}, {slot}, SUM(u.cost_micros) "
            "FROM usage u JOIN accounts a ON a.session_id = u.session_id "
            f"WHERE a.{column} <> '' GROUP BY a.{column}, {slot}"
        )
    op.drop_table("spending_before")
