"""Several nodes: the links' certificate authority, and where each live call is.

What nodes tell each second is kept in memory since.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drops `node_health`, creates `cluster_ca` and `live_calls`."""
    op.drop_table("node_health")
    op.create_table(
        "cluster_ca",
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("certificate_pem", sa.Text(), nullable=False),
        sa.Column("key_pem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "live_calls",
        sa.Column("session_id", sa.String(length=256), nullable=False),
        sa.Column("call_id", sa.String(length=256), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("node_id", sa.String(length=128), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("checkpoint", sa.LargeBinary(), nullable=False),
        sa.Column("told_at_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("session_id"),
    )
    op.create_index("live_calls_by_token", "live_calls", ["token_hash"], unique=False)
