"""Hosts that people's lists name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0044_known_hosts"
down_revision = "0043_in_use"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "known_host",
        sa.Column("known_no", _NUMBER, nullable=False),
        sa.Column("import_no", _NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("addresses", sa.Text(), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("host_no", _NUMBER, nullable=False),
        sa.Column("matched", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("known_no", name="pk_known_host"),
        sa.ForeignKeyConstraint(
            ["import_no"],
            ["import_record.import_no"],
            name="fk_known_host_import_no_import_record",
        ),
        sa.ForeignKeyConstraint(["host_no"], ["host.host_no"], name="fk_known_host_host_no_host"),
    )
    op.create_index("ix_known_host_import_no_name", "known_host", ["import_no", "name"])
    op.create_index("ix_known_host_host_no", "known_host", ["host_no"])
