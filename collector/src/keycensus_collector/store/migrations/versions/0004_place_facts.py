"""Who can read a place's file, and which package owns its name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, empty: agents report such places anew."""
    for name in ("readable_by", "package", "package_version"):
        op.add_column("place", sa.Column(name, sa.Text(), server_default="", nullable=False))
