"""How people and teams want to see things: columns of lists, tiles of the overview."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0060_preferences"
down_revision = "0054_certificate_lists"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "preference",
        sa.Column("holder_kind", sa.Text(), primary_key=True),
        sa.Column("holder_no", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("content", sa.Text(), nullable=False),
    )
