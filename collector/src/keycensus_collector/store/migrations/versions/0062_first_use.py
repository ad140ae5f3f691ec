"""The link with which the first admin sets a password."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0062_first_use"
down_revision = "0061_open_keys"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "first_use",
        sa.Column("secret_hash", sa.LargeBinary(32), primary_key=True),
        sa.Column("user_no", _NUMBER, sa.ForeignKey("user.user_no"), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
    )
