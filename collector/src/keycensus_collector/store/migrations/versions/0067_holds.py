"""What each place's file lists, in the place's own row: what has a mode and holds a certificate is found by an index.

Trees are found in theirs, whatever SQLite knows of the tables.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0067_holds"
down_revision = "0066_counterparts"
branch_labels = None
depends_on = None

_OF_FEW = (
    (
        "ix_place_tree",
        ("format", "manifest", "path_hash", "place_no"),
        "format = 'tree' AND gone_ms IS NULL",
    ),
    ("ix_place_unread", ("status",), "gone_ms IS NULL AND status != 'read'"),
)
_BITS = {"certificate": 1, "private-key": 2, "sealed-key": 4, "sealed-container": 4}


def upgrade() -> None:
    """Add the column, work it out, and make the index of modes anew with it."""
    op.drop_index("ix_place_mode", "place")
    column: sa.Column[int] = sa.Column(
        "holds", sa.SmallInteger(), nullable=False, server_default="0"
    )
    op.add_column("place", column)
    _work_out()
    op.create_index("ix_place_mode", "place", ["mode", "holds", "gone_ms"])
    # Of several that begin alike SQLite takes the newest, unless it was told how large they are.
    for name, columns, condition in _OF_FEW:
        op.drop_index(name, "place")
        op.create_index(
            name,
            "place",
            list(columns),
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )
    if op.get_bind().dialect.name == "postgresql":
        # Without it files with a key are expected to have any mode as often as others.
        op.execute("CREATE STATISTICS st_place_holds (mcv) ON mode, holds FROM place")
        op.execute("ANALYZE place")


def _work_out() -> None:
    """Set the column by what each manifest lists itself, and by its parts and theirs: a tree has files in parts."""
    entry = sa.table("manifest_entry", *map(sa.column, ("manifest", "kind", "artifact")))
    part = sa.table("manifest_part", *map(sa.column, ("manifest", "part")))
    inner = part.alias("inner_part")
    bit = sa.case(*((entry.c.kind == kind, bit) for kind, bit in _BITS.items()))
    listed = (entry.c.kind.in_(_BITS), sa.func.length(entry.c.artifact) > 0)
    found = sa.union(
        sa.select(entry.c.manifest.label("manifest"), bit.label("bit")).where(*listed),
        sa.select(part.c.manifest, bit)
        .join_from(part, entry, entry.c.manifest == part.c.part)
        .where(*listed),
        sa.select(part.c.manifest, bit)
        .join_from(part, inner, inner.c.manifest == part.c.part)
        .join(entry, entry.c.manifest == inner.c.part)
        .where(*listed),
    ).subquery("found")
    # Once for each manifest, of which a trust store's is at ten thousands of places.
    masks = sa.select(found.c.manifest, sa.func.sum(found.c.bit).label("mask"))
    connection = op.get_bind()
    made = str(
        masks.group_by(found.c.manifest).compile(connection, compile_kwargs={"literal_binds": True})
    )
    op.execute(f"CREATE TEMPORARY TABLE manifest_mask AS {made}")
    name = (
        "ix_manifest_mask" if connection.dialect.name == "postgresql" else "temp.ix_manifest_mask"
    )
    op.execute(f"CREATE UNIQUE INDEX {name} ON manifest_mask (manifest)")
    place = sa.table("place", *map(sa.column, ("manifest", "holds")))
    mask = sa.table("manifest_mask", *map(sa.column, ("manifest", "mask")))
    held = sa.select(mask.c.mask).where(mask.c.manifest == place.c.manifest).scalar_subquery()
    has = place.c.manifest.in_(sa.select(mask.c.manifest))
    op.execute(sa.update(place).where(has).values(holds=held))
    op.execute("DROP TABLE manifest_mask")
