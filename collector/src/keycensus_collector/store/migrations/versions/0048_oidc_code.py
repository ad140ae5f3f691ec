"""The keycensus command signs in with a browser: codes that it exchanges for a token."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0048_oidc_code"
down_revision = "0059_certified"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "oidc_code",
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_no", _NUMBER, nullable=False),
        sa.Column("challenge", sa.Text(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("code_hash", name="pk_oidc_code"),
        sa.ForeignKeyConstraint(["user_no"], ["user.user_no"], name="fk_oidc_code_user_no_user"),
    )
    op.create_index("ix_oidc_code_expires_ms", "oidc_code", ["expires_ms"])
