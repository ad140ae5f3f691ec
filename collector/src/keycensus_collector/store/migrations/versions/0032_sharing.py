"""What the collectors of one database agree on: who does the periodic work, and what was removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032_sharing"
down_revision = "0031_imports"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "duty",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.LargeBinary(length=16), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_duty"),
    )
    removal = op.create_table(
        "removal",
        sa.Column("removal_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("removal_no", name="pk_removal"),
    )
    op.get_bind().execute(removal.insert().values(removal_no=1, times=0))
