"""Lists of certificates that people import."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0054_certificate_lists"
down_revision = "0048_oidc_code"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "certificate_list",
        sa.Column("list_no", _NUMBER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("list_no", name="pk_certificate_list"),
        sa.UniqueConstraint("kind", "name", name="uq_certificate_list_kind_name"),
    )
    op.create_table(
        "certificate_list_issuer",
        sa.Column("list_no", _NUMBER, nullable=False),
        sa.Column("issuer_der_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("list_no", "issuer_der_hash", name="pk_certificate_list_issuer"),
        sa.ForeignKeyConstraint(
            ["list_no"],
            ["certificate_list.list_no"],
            name="fk_certificate_list_issuer_list_no_certificate_list",
        ),
    )
    op.create_index(
        "ix_certificate_list_issuer_issuer_der_hash", "certificate_list_issuer", ["issuer_der_hash"]
    )
    op.create_table(
        "listed_certificate",
        sa.Column("listed_no", _NUMBER, nullable=False),
        sa.Column("list_no", _NUMBER, nullable=False),
        sa.Column("identity", sa.LargeBinary(length=32), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=True),
        *(
            sa.Column(name, sa.LargeBinary(), nullable=False)
            for name in ("sha256", "sha1", "issuer_der_hash")
        ),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("not_after_ms", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("listed_no", name="pk_listed_certificate"),
        sa.ForeignKeyConstraint(
            ["list_no"],
            ["certificate_list.list_no"],
            name="fk_listed_certificate_list_no_certificate_list",
        ),
    )
    for columns in (
        ["list_no", "to_ms", "identity"],
        ["certificate"],
        ["sha256"],
        ["sha1"],
        ["serial"],
    ):
        op.create_index(f"ix_listed_certificate_{'_'.join(columns)}", "listed_certificate", columns)
