"""Certificates in the order of lists: their end, then their hash. Nothing is sorted, and counts read no rows."""

from __future__ import annotations

from alembic import op

revision = "0008c"
down_revision = "0008b"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Put the wider index in the place of the narrow one."""
    op.drop_index("ix_certificate_not_after_ms", "certificate")
    op.create_index("ix_certificate_not_after_ms_sha256", "certificate", ["not_after_ms", "sha256"])
