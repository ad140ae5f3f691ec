"""Sealed keys on hosts, found without reading what else hosts hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008d"
down_revision = "0008c"
branch_labels = None
depends_on = None

_SEALED = "kind IN ('sealed-key', 'sealed-container')"


def upgrade() -> None:
    """Make the index."""
    op.create_index(
        "ix_holding_sealed",
        "holding",
        ["artifact", "kind"],
        sqlite_where=sa.text(_SEALED),
        postgresql_where=sa.text(_SEALED),
    )
