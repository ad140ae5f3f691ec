"""Names of the files of a trust-store directory that an agent tells as one place."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, empty: no agent told of trees before. And an index of the few trees."""
    op.add_column("manifest_part", sa.Column("name", sa.Text(), nullable=True))
    named = sa.text("name IS NOT NULL")
    op.create_index(
        "ix_manifest_part_named",
        "manifest_part",
        ["manifest"],
        sqlite_where=named,
        postgresql_where=named,
    )
