"""Why a renewal is overdue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008d"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; agents tell the reason with the next change of a usage."""
    op.add_column(
        "usage", sa.Column("renewal_reason", sa.Text(), nullable=False, server_default="")
    )
