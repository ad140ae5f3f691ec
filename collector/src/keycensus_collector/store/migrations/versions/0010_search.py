"""Looks that end in an index: covering ones for places, entries and certificates, and tables kept in their key.

SQLite keeps a table apart from its primary key unless told otherwise; for small rows under a hash that
is a second look at a random page for each. PostgreSQL has no such choice.
"""

from __future__ import annotations

from alembic import op

revision = "0010_search"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes, and on SQLite the tables anew."""
    op.drop_index("ix_place_manifest", "place")
    op.create_index(
        "ix_place_manifest",
        "place",
        ["manifest", "gone_ms", "use", "role", "readable_by", "mode", "host_no"],
    )
    op.drop_index("ix_certificate_not_after_ms_sha256", "certificate")
    op.create_index(
        "ix_certificate_by_end",
        "certificate",
        [
            *("not_after_ms", "sha256", "is_ca", "self_signed", "live_places", "retained_places"),
            *("hosts", "key_id"),
        ],
    )
    op.drop_index("ix_manifest_entry_artifact", "manifest_entry")
    op.create_index(
        "ix_manifest_entry_artifact", "manifest_entry", ["artifact", "kind", "manifest"]
    )
    if op.get_bind().dialect.name == "sqlite":
        for table in ("holding", "manifest_entry", "issuer_edge", "public_key"):
            _keep_in_its_key(table)


def _keep_in_its_key(table: str) -> None:
    """Make a table anew as it is, but kept in its primary key."""
    made_anew = {"sqlite_with_rowid": False}
    with op.batch_alter_table(table, recreate="always", table_kwargs=made_anew):
        pass
