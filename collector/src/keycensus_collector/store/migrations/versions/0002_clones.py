"""Clones and restores, identities anew, bans of hosts, trust that agents hold, bound tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add columns and tables; what is there stays as it is."""
    _add_columns()
    _create_agent_contact()
    _create_rekey_grant()
    _create_rekey_use()


def _add_columns() -> None:
    for table, name in (("session", "past_nonces"), ("session", "nonces_aside")):
        op.add_column(table, sa.Column(name, sa.LargeBinary(), server_default="", nullable=False))
    op.add_column(
        "session", sa.Column("boots", sa.LargeBinary(), server_default="", nullable=False)
    )
    op.add_column(
        "session", sa.Column("agent_time_ms", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column("session", sa.Column("trust_anchors", sa.LargeBinary()))
    op.add_column("host", sa.Column("banned_ms", sa.BigInteger()))
    op.add_column(
        "agent", sa.Column("state_before_ban", sa.Text(), server_default="", nullable=False)
    )
    op.add_column("agent_certificate", sa.Column("issuer", sa.LargeBinary(32)))
    op.add_column("token", sa.Column("host_no", _NUMBER))


def _create_agent_contact() -> None:
    op.create_table(
        "agent_contact",
        sa.Column("contact_no", _NUMBER, nullable=False),
        sa.Column("agent_no", _NUMBER, nullable=False),
        sa.Column("contact_key", sa.LargeBinary(32), nullable=False),
        sa.Column("boot_id", sa.LargeBinary(), nullable=False),
        sa.Column("instance", sa.LargeBinary(16), nullable=False),
        sa.Column("machine_hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("hellos", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_no"], ["agent.agent_no"], name=op.f("fk_agent_contact_agent_no")
        ),
        sa.PrimaryKeyConstraint("contact_no", name=op.f("pk_agent_contact")),
        sa.UniqueConstraint(
            "agent_no", "contact_key", name=op.f("uq_agent_contact_agent_no_contact_key")
        ),
    )


def _create_rekey_grant() -> None:
    op.create_table(
        "rekey_grant",
        sa.Column("grant_no", _NUMBER, nullable=False),
        sa.Column("agent_no", _NUMBER, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("copies_left", sa.Integer(), nullable=False),
        sa.Column("keep_contact_no", _NUMBER, nullable=True),
        sa.Column("kept_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["agent_no"], ["agent.agent_no"], name=op.f("fk_rekey_grant_agent_no")
        ),
        sa.PrimaryKeyConstraint("grant_no", name=op.f("pk_rekey_grant")),
    )
    op.create_index(op.f("ix_rekey_grant_agent_no"), "rekey_grant", ["agent_no"])


def _create_rekey_use() -> None:
    op.create_table(
        "rekey_use",
        sa.Column("old_agent_no", _NUMBER, nullable=False),
        sa.Column("public_key_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("grant_no", _NUMBER, nullable=False),
        sa.Column("agent_no", _NUMBER, nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_no"], ["agent.agent_no"], name=op.f("fk_rekey_use_agent_no")
        ),
        sa.ForeignKeyConstraint(
            ["grant_no"], ["rekey_grant.grant_no"], name=op.f("fk_rekey_use_grant_no")
        ),
        sa.ForeignKeyConstraint(
            ["old_agent_no"], ["agent.agent_no"], name=op.f("fk_rekey_use_old_agent_no")
        ),
        sa.PrimaryKeyConstraint("old_agent_no", "public_key_hash", name=op.f("pk_rekey_use")),
    )
