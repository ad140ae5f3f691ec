"""People sign in: sessions, failed logins, and what a token may do at most."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0041_sessions"
down_revision = "0040_rules"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables and the column."""
    op.add_column(
        "api_token", sa.Column("permissions", sa.Text(), nullable=False, server_default="")
    )
    op.create_table(
        "user_session",
        sa.Column("session_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_no", _NUMBER, nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("browser", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_used_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session_hash", name="pk_user_session"),
        sa.ForeignKeyConstraint(["user_no"], ["user.user_no"], name="fk_user_session_user_no_user"),
    )
    op.create_index("ix_user_session_user_no", "user_session", ["user_no"])
    op.create_index("ix_user_session_expires_ms", "user_session", ["expires_ms"])
    op.create_table(
        "login_failure",
        sa.Column("subject", sa.LargeBinary(length=32), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("blocked_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_login_failure"),
    )
    op.create_index("ix_login_failure_last_ms", "login_failure", ["last_ms"])
    op.create_table(
        "login_address",
        sa.Column("user_no", _NUMBER, nullable=False),
        sa.Column("address", sa.LargeBinary(length=32), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_no", "address", name="pk_login_address"),
        sa.ForeignKeyConstraint(
            ["user_no"], ["user.user_no"], name="fk_login_address_user_no_user"
        ),
    )
    op.create_index("ix_login_address_last_ms", "login_address", ["last_ms"])
