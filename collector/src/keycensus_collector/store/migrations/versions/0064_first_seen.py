"""Certificates in the order in which they were seen first, so that lists of millions are sorted by it."""

from __future__ import annotations

from alembic import op

revision = "0064_first_seen"
down_revision = "0063_word_statistics"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index; it grows at its end."""
    op.create_index(
        "ix_certificate_first_seen_ms_sha256", "certificate", ["first_seen_ms", "sha256"]
    )
