"""What was renewed and what went lately, found without a look at all that ever did."""

from __future__ import annotations

from alembic import op

revision = "0069_week"
down_revision = "0068_sealed_counts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make an index by time for each: both tables are written to when something changes, not when it comes."""
    op.create_index("ix_place_past_to_ms_manifest", "place_past", ["to_ms", "manifest"])
    op.create_index("ix_line_step_at_ms_successor", "line_step", ["at_ms", "successor"])
