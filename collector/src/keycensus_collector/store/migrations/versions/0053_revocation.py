"""Revocation lists that count, and the status of certificates by them."""

from __future__ import annotations

import secrets
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0053_revocation"
down_revision = "0047_oidc"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _column(
    name: str, kind: sa.types.TypeEngine[Any], default: str | sa.ColumnElement[bool] = ""
) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default=default)


def upgrade() -> None:
    """Add what lists say, the tables of what follows, and ask that the lists that are here be taken."""
    for name in ("crl_points", "crl_issuers"):
        op.add_column("certificate", _column(name, sa.LargeBinary()))
    op.drop_index("ix_certificate_issuer_der_hash", "certificate")
    op.create_index(
        "ix_certificate_issuer_der_hash_sha256", "certificate", ["issuer_der_hash", "sha256"]
    )
    for name in ("number", "base_number", "only_contains", "unusable", "state", "why", "origin"):
        op.add_column("revocation_list", _column(name, sa.Text()))
    for name in ("authority_key_identifier", "reasons", "points"):
        op.add_column("revocation_list", _column(name, sa.LargeBinary()))
    op.add_column("revocation_list", _column("indirect", sa.Boolean(), sa.false()))
    op.create_index("ix_revocation_list_issuer_der_hash", "revocation_list", ["issuer_der_hash"])
    _make_lists()
    _make_statuses()
    _queue_lists()


def _make_lists() -> None:
    op.create_table(
        "revocation_series",
        sa.Column("series_no", _NUMBER, nullable=False),
        sa.Column("identity", sa.LargeBinary(length=32), nullable=False),
        sa.Column("signer_key", sa.LargeBinary(), nullable=False),
        sa.Column("issuer_der_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("only_contains", sa.Text(), nullable=False),
        sa.Column("reasons", sa.LargeBinary(), nullable=False),
        sa.Column("indirect", sa.Boolean(), nullable=False),
        sa.Column("points", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("series_no", name="pk_revocation_series"),
        sa.UniqueConstraint("identity", name="uq_revocation_series_identity"),
    )
    op.create_index(
        "ix_revocation_series_issuer_der_hash", "revocation_series", ["issuer_der_hash"]
    )
    op.create_table(
        "revocation_issuer",
        sa.Column("issuer_der_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("series_no", _NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("issuer_der_hash", "series_no", name="pk_revocation_issuer"),
        sa.ForeignKeyConstraint(
            ["series_no"],
            ["revocation_series.series_no"],
            name="fk_revocation_issuer_series_no_revocation_series",
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "list_in_force",
        sa.Column("list_no", _NUMBER, nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("series_no", _NUMBER, nullable=False),
        sa.Column("signer", sa.LargeBinary(length=32), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("base_number", sa.Text(), nullable=False),
        sa.Column("this_update_ms", sa.BigInteger(), nullable=False),
        sa.Column("next_update_ms", sa.BigInteger(), nullable=True),
        sa.Column("from_ms", sa.BigInteger(), nullable=True),
        sa.Column("to_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("list_no", name="pk_list_in_force"),
        sa.UniqueConstraint("sha256", name="uq_list_in_force_sha256"),
        sa.ForeignKeyConstraint(
            ["series_no"],
            ["revocation_series.series_no"],
            name="fk_list_in_force_series_no_revocation_series",
        ),
    )
    op.create_index("ix_list_in_force_series_no_from_ms", "list_in_force", ["series_no", "from_ms"])
    op.create_index("ix_list_in_force_signer", "list_in_force", ["signer"])
    op.create_table(
        "revocation_entry",
        sa.Column("issuer_der_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("list_no", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("invalidity_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("issuer_der_hash", "serial", "list_no", name="pk_revocation_entry"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_revocation_entry_list_no", "revocation_entry", ["list_no"])


def _make_statuses() -> None:
    op.create_table(
        "certificate_revocation",
        sa.Column("revocation_no", _NUMBER, nullable=False),
        sa.Column("certificate", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.Column("invalidity_ms", sa.BigInteger(), nullable=True),
        sa.Column("series_no", _NUMBER, nullable=False),
        sa.Column("list_no", _NUMBER, nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("revocation_no", name="pk_certificate_revocation"),
    )
    for columns in (["certificate", "from_ms"], ["status", "to_ms", "certificate"]):
        op.create_index(
            f"ix_certificate_revocation_{'_'.join(columns)}", "certificate_revocation", columns
        )
    op.create_table(
        "revocation_work",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("after", sa.LargeBinary(), nullable=False),
        sa.Column("stamp", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "number", "subject", name="pk_revocation_work"),
    )


def _queue_lists() -> None:
    known = sa.table("revocation_list", sa.column("sha256", sa.LargeBinary()))
    work = sa.table(
        "revocation_work",
        *(sa.column(name) for name in ("kind", "number", "subject", "after", "stamp")),
    )
    connection = op.get_bind()
    rows = [
        {
            "kind": "list",
            "number": 0,
            "subject": sha256,
            "after": b"",
            "stamp": secrets.randbits(62),
        }
        for sha256 in connection.execute(sa.select(known.c.sha256)).scalars()
    ]
    if rows:
        connection.execute(sa.insert(work), rows)
