"""People sign in at providers of OpenID Connect, whose groups make members of teams."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0047_oidc"
down_revision = "0057_trees"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables and the column."""
    op.create_table(
        "oidc_account",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("user_no", _NUMBER, nullable=False),
        sa.Column("person_no", _NUMBER, nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("issuer", "subject", name="pk_oidc_account"),
        sa.ForeignKeyConstraint(["user_no"], ["user.user_no"], name="fk_oidc_account_user_no_user"),
    )
    op.create_index("ix_oidc_account_user_no", "oidc_account", ["user_no"])
    op.create_index("ix_oidc_account_person_no", "oidc_account", ["person_no"])
    op.create_table(
        "oidc_state",
        sa.Column("state_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name="pk_oidc_state"),
    )
    op.create_index("ix_oidc_state_expires_ms", "oidc_state", ["expires_ms"])
    op.add_column("membership", sa.Column("source", sa.Text(), nullable=False, server_default=""))
