"""Imports: files that people brought."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031_imports"
down_revision = "0030_postgresql"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "import_record",
        sa.Column("import_no", _NUMBER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("imported_by", sa.Text(), nullable=False),
        sa.Column("taken_ms", sa.BigInteger()),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.Column("host_no", _NUMBER),
        sa.PrimaryKeyConstraint("import_no", name="pk_import_record"),
        sa.ForeignKeyConstraint(
            ["host_no"], ["host.host_no"], name="fk_import_record_host_no_host"
        ),
    )
    op.create_index(
        "ix_import_record_kind_source_from_ms", "import_record", ["kind", "source", "from_ms"]
    )
    op.create_index("ix_import_record_host_no_from_ms", "import_record", ["host_no", "from_ms"])
