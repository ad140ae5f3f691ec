"""Rows that were not taken, each with its reason; an index of what is named and never sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table and the index."""
    op.create_table(
        "refusal",
        sa.Column("host_no", _NUMBER, nullable=False),
        sa.Column("row_class", sa.SmallInteger(), nullable=False, autoincrement=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["host_no"], ["host.host_no"], name=op.f("fk_refusal_host_no_host")
        ),
        sa.PrimaryKeyConstraint("host_no", "row_class", "key", name=op.f("pk_refusal")),
    )
    op.create_index(
        "ix_manifest_entry_long",
        "manifest_entry",
        ["manifest"],
        sqlite_where=sa.text("size > 262144"),
        postgresql_where=sa.text("size > 262144"),
    )
