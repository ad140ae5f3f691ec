"""Users and tokens that see the things of some teams only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0044_scope"
down_revision = "0044_known_hosts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("user", sa.Column("sees", sa.Text(), nullable=False, server_default="all"))
    op.add_column("api_token", sa.Column("teams", sa.Text(), nullable=False, server_default=""))
