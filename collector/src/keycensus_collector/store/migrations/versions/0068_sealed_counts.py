"""What hosts hold of sealed keys, counted from their index alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0068_sealed_counts"
down_revision = "0067_holds"
branch_labels = None
depends_on = None

_SEALED = "kind IN ('sealed-key', 'sealed-container')"


def upgrade() -> None:
    """Put the counts into the index."""
    op.drop_index("ix_holding_sealed", "holding")
    op.create_index(
        "ix_holding_sealed",
        "holding",
        ["artifact", "kind", "live", "retained"],
        sqlite_where=sa.text(_SEALED),
        postgresql_where=sa.text(_SEALED),
    )
