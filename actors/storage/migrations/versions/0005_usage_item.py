"""Bills by the provider's id of what they are for, as its invoice has it.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the index that reconciliation looks in."""
    op.create_index("usage_item", "usage", ["response_id"], unique=False)


def downgrade() -> None:
    """The tables of 0004."""
    op.drop_index("usage_item", "usage")
