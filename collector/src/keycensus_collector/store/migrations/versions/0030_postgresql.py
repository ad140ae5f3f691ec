"""On PostgreSQL: no B-tree over what a stranger may make too long for one."""

from __future__ import annotations

from alembic import op

revision = "0030_postgresql"
down_revision = "0020_marks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace two indexes by ones over hashes, and drop one that nothing reads."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, column in (("certificate", "serial"), ("certificate_name", "value")):
        op.drop_index(f"ix_{table}_{column}", table)
        op.create_index(f"ix_{table}_{column}", table, [column], postgresql_using="hash")
    op.drop_index("ix_certificate_name_reversed_labels", "certificate_name")
