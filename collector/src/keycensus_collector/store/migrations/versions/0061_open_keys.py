"""Which private keys everybody can read, folded; and an index of places that were not read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0061_open_keys"
down_revision = "0060_preferences"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, look at the places for it, and make the indexes."""
    world_readable: sa.Column[bool] = sa.Column(
        "world_readable", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("public_key", world_readable)
    key = sa.table("public_key", sa.column("key_id"), sa.column("world_readable", sa.Boolean()))
    entry = sa.table("manifest_entry", *map(sa.column, ("manifest", "artifact", "kind")))
    part = sa.table("manifest_part", *map(sa.column, ("manifest", "part")))
    names = ("manifest", "gone_ms", "use", "role", "readable_by", "mode")
    place = sa.table("place", *map(sa.column, names))
    by_mode = sa.and_(place.c.readable_by == "", sa.cast(place.c.mode, sa.Integer).op("&")(4) != 0)
    is_open = (
        entry.c.kind == "private-key",
        place.c.gone_ms.is_(None),
        place.c.use != "retained",
        sa.func.lower(place.c.role) != "trust-store",
        sa.or_(place.c.readable_by == "world", by_mode),
    )
    whole = sa.select(entry.c.artifact).join(place, place.c.manifest == entry.c.manifest)
    in_parts = (
        sa.select(entry.c.artifact)
        .join(part, part.c.part == entry.c.manifest)
        .join(place, place.c.manifest == part.c.manifest)
    )
    found = sa.union_all(whole.where(*is_open), in_parts.where(*is_open))
    op.execute(sa.update(key).where(key.c.key_id.in_(found)).values(world_readable=sa.true()))
    op.create_index(
        "ix_public_key_open",
        "public_key",
        ["key_id"],
        sqlite_where=sa.text("world_readable IS 1"),
        postgresql_where=sa.text("world_readable IS true"),
    )
    unread = sa.text("gone_ms IS NULL AND status != 'read'")
    op.create_index(
        "ix_place_unread",
        "place",
        ["status"],
        sqlite_where=unread,
        postgresql_where=unread,
    )
