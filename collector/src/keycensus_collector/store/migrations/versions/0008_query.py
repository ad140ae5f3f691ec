"""What places were before they changed, for questions about a past day; filled from their versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from keycensus_collector.text import safe_path, safe_text
from keycensus_proto.v1.inventory_pb2 import Place

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None

_AT_ONCE = 1_000
_TEXTS = ("status", "reason", "format", "owner", "group", "role", "use")


def upgrade() -> None:
    """Make table and index, and fill the table with all that has ended."""
    past = op.create_table(
        "place_past",
        sa.Column("past_no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("place_no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("host_no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("mode", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("readable_by", sa.Text(), nullable=False),
        sa.Column("package", sa.Text(), nullable=False),
        sa.Column("package_version", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["place_no"], ["place.place_no"], name="fk_place_past_place_no"),
        sa.PrimaryKeyConstraint("past_no", name="pk_place_past"),
    )
    op.create_index("ix_place_past_manifest", "place_past", ["manifest"])
    op.create_index("ix_place_past_place_no_from_ms", "place_past", ["place_no", "from_ms"])
    op.create_index("ix_place_past_host_no_from_ms", "place_past", ["host_no", "from_ms"])
    # What a path starts with. SQLite alone: PostgreSQL's entries are too short for the longest paths.
    if op.get_bind().dialect.name == "sqlite":
        op.create_index("ix_place_path", "place", ["path"])
    for rows in _ended(op.get_bind()):
        op.get_bind().execute(past.insert(), rows)


def _ended(connection: sa.Connection) -> Iterator[list[dict[str, Any]]]:
    """Yield the states that ended, in the order of their numbers."""
    version = sa.table(
        "place_version",
        *map(sa.column, ("version_no", "place_no", "from_ms", "to_ms", "manifest", "row")),
    )
    place = sa.table("place", sa.column("place_no"), sa.column("host_no"))
    last = 0
    while True:
        found = connection.execute(
            sa.select(version, place.c.host_no)
            .join(place, place.c.place_no == version.c.place_no)
            .where(version.c.version_no > last, version.c.to_ms > version.c.from_ms)
            .order_by(version.c.version_no)
            .limit(_AT_ONCE)
        ).all()
        if not found:
            return
        last = found[-1].version_no
        rows = [_state(row) for row in found if row.row]
        if rows:
            yield rows


def _state(row: sa.Row[Any]) -> dict[str, Any]:
    said = Place.FromString(row.row)
    return {
        "place_no": row.place_no,
        "host_no": row.host_no,
        "from_ms": row.from_ms,
        "to_ms": row.to_ms,
        "manifest": row.manifest,
        **{name: safe_text(getattr(said, name)) for name in _TEXTS},
        "owner": safe_text(said.owner) or str(said.uid),
        "group": safe_text(said.group) or str(said.gid),
        "mode": said.mode & 0o7777,
        "target": safe_path(said.target),
        "readable_by": safe_text(said.readable_by),
        "package": safe_text(said.package.name),
        "package_version": safe_text(said.package.version),
    }
