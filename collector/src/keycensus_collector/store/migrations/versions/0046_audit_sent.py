"""How far the audit log has been sent to a syslog server."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0046_audit_sent"
down_revision = "0045_audit_chain"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; its one row comes with the first message."""
    op.create_table(
        "audit_sent",
        sa.Column("sent_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sent_no", sa.BigInteger(), nullable=False),
    )
