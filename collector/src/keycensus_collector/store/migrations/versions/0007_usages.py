"""Usages as intervals with columns: who uses a place, what was presented, who renews."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables anew: no agent has sent a usage before, and a lost one is sent again."""
    op.drop_table("usage")
    op.create_table(
        "usage",
        sa.Column("usage_no", _number(), nullable=False),
        sa.Column("host_no", _number(), nullable=False),
        sa.Column("key", sa.LargeBinary(32), nullable=False),
        sa.Column("row_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("row", sa.LargeBinary(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("configuration", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("directive", sa.Text(), nullable=False),
        sa.Column("server_names", sa.Text(), nullable=False),
        sa.Column("listen", sa.Text(), nullable=False),
        sa.Column("processes", sa.Text(), nullable=False),
        sa.Column("password_source", sa.Text(), nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("handshakes", sa.Text(), nullable=False),
        sa.Column("asked_ms", sa.BigInteger()),
        sa.Column("renewal_tool", sa.Text(), nullable=False),
        sa.Column("renewal_success_ms", sa.BigInteger()),
        sa.Column("renewal_overdue", sa.Boolean(), nullable=False),
        sa.Column("renewal_schedule", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(["host_no"], ["host.host_no"], name=op.f("fk_usage_host_no_host")),
        sa.PrimaryKeyConstraint("usage_no", name=op.f("pk_usage")),
    )
    op.create_index(op.f("ix_usage_host_no_key"), "usage", ["host_no", "key"])
    op.create_index(op.f("ix_usage_manifest"), "usage", ["manifest"])
    op.create_index(op.f("ix_usage_verdict"), "usage", ["verdict"])
    op.create_table(
        "usage_place",
        sa.Column("usage_no", _number(), nullable=False),
        sa.Column("path_hash", sa.LargeBinary(32), nullable=False),
        sa.ForeignKeyConstraint(
            ["usage_no"], ["usage.usage_no"], name=op.f("fk_usage_place_usage_no_usage")
        ),
        sa.PrimaryKeyConstraint("usage_no", "path_hash", name=op.f("pk_usage_place")),
    )
    op.create_index(op.f("ix_usage_place_path_hash"), "usage_place", ["path_hash"])
