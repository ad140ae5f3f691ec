"""Teams, people and owners: what people and rules say, and what follows from it for every thing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0010_search"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and the columns that are folded onto certificates and keys."""
    _people()
    _owners()
    op.add_column(
        "certificate", sa.Column("owned", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column(
        "certificate", sa.Column("rank", sa.Integer(), server_default="0", nullable=False)
    )
    op.create_index(
        "ix_certificate_ownerless",
        "certificate",
        ["not_after_ms", "sha256"],
        sqlite_where=sa.text("owned IS 0"),
        postgresql_where=sa.text("owned IS false"),
    )
    op.create_index(
        "ix_certificate_rank_not_after_ms_sha256", "certificate", ["rank", "not_after_ms", "sha256"]
    )
    op.add_column(
        "public_key", sa.Column("owned", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.create_index(
        "ix_public_key_ownerless",
        "public_key",
        ["key_id"],
        sqlite_where=sa.text("owned IS 0"),
        postgresql_where=sa.text("owned IS false"),
    )


def _people() -> None:
    op.create_table(
        "owner_setting",
        sa.Column("setting_no", _number(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("setting_no", name="pk_owner_setting"),
    )
    op.create_index("ix_owner_setting_name_to_ms", "owner_setting", ["name", "to_ms"])
    op.create_table(
        "owner_sweep",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("artifact", sa.LargeBinary(), nullable=False),
        sa.Column("asked_ms", sa.BigInteger(), nullable=False),
        sa.Column("stamp", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_owner_sweep"),
    )
    op.create_table(
        "owner_work",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("artifact", sa.LargeBinary(), nullable=False),
        sa.Column("stamp", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "number", "artifact", name="pk_owner_work"),
    )
    op.create_table(
        "person",
        sa.Column("person_no", _number(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("left_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("person_no", name="pk_person"),
        sa.UniqueConstraint("name", name="uq_person_name"),
    )
    op.create_index("ix_person_email", "person", ["email"])
    op.create_index("ix_person_subject", "person", ["subject"])
    op.create_index("ix_person_user_name", "person", ["user_name"])
    op.create_table(
        "team",
        sa.Column("team_no", _number(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("person_no", _number()),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("dissolved_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("team_no", name="pk_team"),
        sa.UniqueConstraint("name", name="uq_team_name"),
    )
    op.create_index("ix_team_person_no", "team", ["person_no"])


def _owners() -> None:
    op.create_table(
        "artifact_owner",
        sa.Column("artifact_owner_no", _number(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("artifact", sa.LargeBinary(length=32), nullable=False),
        sa.Column("team_no", _number(), nullable=False),
        sa.Column("owns", sa.Boolean(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("source_no", _number(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(["team_no"], ["team.team_no"], name="fk_artifact_owner_team_no"),
        sa.PrimaryKeyConstraint("artifact_owner_no", name="pk_artifact_owner"),
    )
    op.create_index(
        "ix_artifact_owner_artifact_kind_from_ms", "artifact_owner", ["artifact", "kind", "from_ms"]
    )
    op.create_index(
        "ix_artifact_owner_team_no_kind_to_ms_artifact",
        "artifact_owner",
        ["team_no", "kind", "to_ms", "artifact"],
    )
    op.create_table(
        "host_owner",
        sa.Column("host_owner_no", _number(), nullable=False),
        sa.Column("host_no", _number(), nullable=False),
        sa.Column("team_no", _number(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("source_no", _number(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(["host_no"], ["host.host_no"], name="fk_host_owner_host_no"),
        sa.ForeignKeyConstraint(["team_no"], ["team.team_no"], name="fk_host_owner_team_no"),
        sa.PrimaryKeyConstraint("host_owner_no", name="pk_host_owner"),
    )
    op.create_index("ix_host_owner_host_no_from_ms", "host_owner", ["host_no", "from_ms"])
    op.create_index(
        "ix_host_owner_team_no_to_ms_host_no", "host_owner", ["team_no", "to_ms", "host_no"]
    )
    op.create_table(
        "membership",
        sa.Column("membership_no", _number(), nullable=False),
        sa.Column("team_no", _number(), nullable=False),
        sa.Column("person_no", _number(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["person_no"], ["person.person_no"], name="fk_membership_person_no"
        ),
        sa.ForeignKeyConstraint(["team_no"], ["team.team_no"], name="fk_membership_team_no"),
        sa.PrimaryKeyConstraint("membership_no", name="pk_membership"),
    )
    op.create_index("ix_membership_person_no_to_ms", "membership", ["person_no", "to_ms"])
    op.create_index("ix_membership_team_no_to_ms", "membership", ["team_no", "to_ms"])
    op.create_table(
        "owner_assignment",
        sa.Column("assignment_no", _number(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("artifact", sa.LargeBinary(), nullable=False),
        sa.Column("team_no", _number(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(["team_no"], ["team.team_no"], name="fk_owner_assignment_team_no"),
        sa.PrimaryKeyConstraint("assignment_no", name="pk_owner_assignment"),
    )
    op.create_index(
        "ix_owner_assignment_scope_number_artifact_from_ms",
        "owner_assignment",
        ["scope", "number", "artifact", "from_ms"],
    )
    op.create_index("ix_owner_assignment_team_no_to_ms", "owner_assignment", ["team_no", "to_ms"])
    op.create_table(
        "owner_rule",
        sa.Column("rule_no", _number(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("team_no", _number(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(["team_no"], ["team.team_no"], name="fk_owner_rule_team_no"),
        sa.PrimaryKeyConstraint("rule_no", name="pk_owner_rule"),
    )
    op.create_index("ix_owner_rule_team_no_to_ms", "owner_rule", ["team_no", "to_ms"])
    op.create_index("ix_owner_rule_to_ms_name", "owner_rule", ["to_ms", "name"])
    op.create_table(
        "place_owner",
        sa.Column("place_owner_no", _number(), nullable=False),
        sa.Column("place_no", _number(), nullable=False),
        sa.Column("host_no", _number(), nullable=False),
        sa.Column("team_no", _number(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("source_no", _number(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(["place_no"], ["place.place_no"], name="fk_place_owner_place_no"),
        sa.ForeignKeyConstraint(["team_no"], ["team.team_no"], name="fk_place_owner_team_no"),
        sa.PrimaryKeyConstraint("place_owner_no", name="pk_place_owner"),
    )
    op.create_index("ix_place_owner_host_no_to_ms", "place_owner", ["host_no", "to_ms"])
    op.create_index("ix_place_owner_place_no_from_ms", "place_owner", ["place_no", "from_ms"])
    op.create_index(
        "ix_place_owner_team_no_to_ms_place_no", "place_owner", ["team_no", "to_ms", "place_no"]
    )


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")
