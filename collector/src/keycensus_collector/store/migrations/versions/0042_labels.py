"""Labels by hand and by rule, and rules that say labels and importance."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0042_labels"
down_revision = "0041_sessions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "fact_rule",
        sa.Column("rule_no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("rule_no", name="pk_fact_rule"),
    )
    op.create_index("ix_fact_rule_to_ms_kind", "fact_rule", ["to_ms", "kind"])
    op.create_table(
        "label",
        sa.Column("label_no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("artifact", sa.LargeBinary(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column(
            "source_no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("label_no", name="pk_label"),
    )
    op.create_index(
        "ix_label_kind_number_artifact_key_from_ms",
        "label",
        ["kind", "number", "artifact", "key", "from_ms"],
    )
    op.create_index("ix_label_key_to_ms_value", "label", ["key", "to_ms", "value"])
