"""Tokens of images, apart from those of text.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLES = ("usage", "model_totals")
_COLUMNS = ("input_image", "cached_image")


def upgrade() -> None:
    """Older bills keep them as text, at whose price they were billed."""
    for table in _TABLES:
        for column in _COLUMNS:
            op.add_column(
                table, sa.Column(column, sa.BigInteger(), nullable=False, server_default="0")
            )


def downgrade() -> None:
    """The tables of 0006."""
    for table in _TABLES:
        for column in _COLUMNS:
            op.drop_column(table, column)
