"""An index of the places that are trees, so that paths find names in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0057_trees"
down_revision = "0050_recertification"
branch_labels = None
depends_on = None

_TREE_PLACE = "format = 'tree' AND gone_ms IS NULL"


def upgrade() -> None:
    """Make the index; of each kind of trust store one place is looked at."""
    op.create_index(
        "ix_place_tree",
        "place",
        ["manifest", "path_hash", "place_no"],
        sqlite_where=sa.text(_TREE_PLACE),
        postgresql_where=sa.text(_TREE_PLACE),
    )
