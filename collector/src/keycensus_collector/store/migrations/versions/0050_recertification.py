"""Campaigns of recertification, and what owners say of what they hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0050_recertification"
down_revision = "0046_audit_sent"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_STANDING = sa.text("to_ms IS NULL")


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "campaign",
        sa.Column("campaign_no", _NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("lists", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("team_no", _NUMBER),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_by", sa.Text(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger()),
        sa.Column("cancelled_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("campaign_no", name="pk_campaign"),
        sa.UniqueConstraint("name", name="uq_campaign_name"),
        sa.ForeignKeyConstraint(["team_no"], ["team.team_no"], name="fk_campaign_team_no_team"),
    )
    op.create_table(
        "campaign_line",
        sa.Column("line_no", _NUMBER, nullable=False),
        sa.Column("campaign_no", _NUMBER, nullable=False),
        sa.Column("item", sa.BigInteger(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("artifact", sa.LargeBinary(), nullable=False),
        sa.Column("team_no", _NUMBER, nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.Column("proposed", sa.Text(), nullable=False),
        sa.Column("answered_ms", sa.BigInteger()),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.Column("superseded_ms", sa.BigInteger()),
        sa.Column("superseded_by", _NUMBER),
        sa.PrimaryKeyConstraint("line_no", name="pk_campaign_line"),
        sa.ForeignKeyConstraint(
            ["campaign_no"],
            ["campaign.campaign_no"],
            name="fk_campaign_line_campaign_no_campaign",
        ),
        sa.ForeignKeyConstraint(
            ["team_no"], ["team.team_no"], name="fk_campaign_line_team_no_team"
        ),
    )
    for name, columns in (
        ("ix_campaign_line_item", ["campaign_no", "item", "from_ms"]),
        ("ix_campaign_line_team_no", ["team_no"]),
        ("ix_campaign_line_scope_number_artifact", ["scope", "number", "artifact"]),
        ("ix_campaign_line_answer_to_ms_scope", ["answer", "to_ms", "scope"]),
        ("ix_campaign_line_superseded_by", ["superseded_by"]),
    ):
        op.create_index(name, "campaign_line", columns)
    op.create_index(
        "ix_campaign_line_team",
        "campaign_line",
        ["campaign_no", "team_no", "item"],
        sqlite_where=_STANDING,
        postgresql_where=_STANDING,
    )
