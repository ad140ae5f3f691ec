"""What was done to one thing, without reading the whole audit log."""

from __future__ import annotations

from alembic import op

revision = "0065_audit_subject"
down_revision = "0064_first_seen"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index; PostgreSQL's B-tree entries are too short for the longest subjects."""
    op.create_index("ix_audit_subject", "audit", ["subject"], postgresql_using="hash")
