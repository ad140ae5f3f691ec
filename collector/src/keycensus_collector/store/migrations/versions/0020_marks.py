"""Marks on certificates and keys, and where a marked thing came back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020_marks"
down_revision = "0012"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_STANDING = sa.text("to_ms IS NULL")


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "mark",
        sa.Column("mark_no", _NUMBER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.LargeBinary(32), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.Column("lifted_by", sa.Text(), nullable=False, server_default=""),
        sa.Column("lifted_reason", sa.Text(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("mark_no", name="pk_mark"),
    )
    op.create_index("ix_mark_subject", "mark", ["subject"])
    op.create_index(
        "ix_mark_standing",
        "mark",
        ["kind", "subject", "word"],
        unique=True,
        sqlite_where=_STANDING,
        postgresql_where=_STANDING,
    )
    op.create_table(
        "reappearance",
        sa.Column("reappearance_no", _NUMBER, nullable=False),
        sa.Column("mark_no", _NUMBER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("artifact", sa.LargeBinary(32), nullable=False),
        sa.Column("place_no", _NUMBER, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("reappearance_no", name="pk_reappearance"),
        sa.ForeignKeyConstraint(["mark_no"], ["mark.mark_no"], name="fk_reappearance_mark_no_mark"),
        sa.ForeignKeyConstraint(
            ["place_no"], ["place.place_no"], name="fk_reappearance_place_no_place"
        ),
        sa.UniqueConstraint(
            "mark_no",
            "artifact",
            "place_no",
            "at_ms",
            name="uq_reappearance_mark_no_artifact_place_no_at_ms",
        ),
    )
    op.create_index("ix_reappearance_artifact", "reappearance", ["artifact"])
    op.create_index("ix_reappearance_place_no", "reappearance", ["place_no"])
