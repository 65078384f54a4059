"""One live call for each call id.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes `live_calls.call_id` unique. Of live calls that share one all but one get
    another in this column, which no caller can send; their `spec` keeps what they have."""
    op.execute(
        "UPDATE live_calls SET call_id = call_id || '#' || session_id WHERE EXISTS ("
        "SELECT 1 FROM live_calls AS other WHERE other.call_id = live_calls.call_id "
        "AND other.session_id < live_calls.session_id)"
    )
    op.create_index("live_calls_by_call", "live_calls", ["call_id"], unique=True)


def downgrade() -> None:
    """The tables of 0005."""
    op.drop_index("live_calls_by_call", "live_calls")
