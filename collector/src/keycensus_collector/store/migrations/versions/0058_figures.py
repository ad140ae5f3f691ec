"""Figures over everything that are kept, and trust stores that differ from the fleet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0058_figures"
down_revision = "0053_revocation"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; they are filled by the worker that keeps them."""
    op.create_table(
        "figure",
        sa.Column("what", sa.Text(), primary_key=True),
        sa.Column("by", sa.Text(), primary_key=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("took_ms", sa.Integer(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
    )
    op.create_table(
        "odd_trust_store",
        sa.Column("path_hash", sa.LargeBinary(32), primary_key=True),
        sa.Column("manifest", sa.LargeBinary(32), primary_key=True),
        sqlite_with_rowid=False,
    )
