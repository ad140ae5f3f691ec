"""What certificates and keys have to each other, folded, and indexes of those that have not; modes of places."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0066_counterparts"
down_revision = "0065_audit_subject"
branch_labels = None
depends_on = None

_BY_END = ("not_after_ms", "sha256")
_PARTIAL = (
    ("ix_certificate_gone", _BY_END, "live_places + retained_places = 0"),
    ("ix_certificate_keyless", (*_BY_END, "in_use", "is_ca"), "key_found IS {false}"),
    ("ix_certificate_issuerless", (*_BY_END, "in_use", "self_signed"), "issuer_found IS {false}"),
    ("ix_certificate_authority", ("sha256", "key_id"), "is_ca IS {true}"),
    ("ix_public_key_uncertified", ("key_id",), "certified IS {false}"),
    ("ix_place_mode", ("mode",), "gone_ms IS NULL"),
)
# As queries have them.
_COUNTED = {"places": "live_places + retained_places", "in_use": "in_use + 0"}


def upgrade() -> None:
    """Add the columns, work them out, and make the indexes."""
    for table, name in (
        ("certificate", "key_found"),
        ("certificate", "issuer_found"),
        ("public_key", "certified"),
    ):
        column: sa.Column[bool] = sa.Column(
            name, sa.Boolean(), nullable=False, server_default=sa.false()
        )
        op.add_column(table, column)
    in_use: sa.Column[int] = sa.Column("in_use", sa.Integer(), nullable=False, server_default="0")
    op.add_column("public_key", in_use)
    _work_out()
    for name, columns, condition in _PARTIAL:
        op.create_index(
            name,
            name.removeprefix("ix_").rpartition("_")[0],
            list(columns),
            sqlite_where=sa.text(condition.format(true="1", false="0")),
            postgresql_where=sa.text(condition.format(true="true", false="false")),
        )
    if op.get_bind().dialect.name == "postgresql":
        # Without these a third of all certificates is expected to stand somewhere.
        for table in ("certificate", "public_key"):
            for of, expression in _COUNTED.items():
                op.execute(f"CREATE STATISTICS st_{table}_{of} ON ({expression}) FROM {table}")


def _work_out() -> None:
    counts = ("live_places", "retained_places")
    of_certificates = ("sha256", "key_id", "self_signed", "key_found", "issuer_found", *counts)
    certificate = sa.table("certificate", *map(sa.column, of_certificates))
    key = sa.table("public_key", *map(sa.column, ("key_id", "certified", "in_use", *counts)))
    edge = sa.table("issuer_edge", sa.column("child"))
    holding = sa.table("holding", *map(sa.column, ("artifact", "kind", "live")))
    held = sa.select(sa.func.coalesce(sa.func.sum(holding.c.live), 0)).where(
        holding.c.artifact == key.c.key_id, holding.c.kind == "private-key"
    )
    with_certificate = sa.exists().where(
        certificate.c.key_id == key.c.key_id,
        certificate.c.live_places + certificate.c.retained_places > 0,
    )
    op.execute(sa.update(key).values(certified=with_certificate, in_use=held.scalar_subquery()))
    with_key = sa.exists().where(
        key.c.key_id == certificate.c.key_id, key.c.live_places + key.c.retained_places > 0
    )
    issued = sa.exists().where(edge.c.child == certificate.c.sha256)
    with_issuer = sa.or_(certificate.c.self_signed == sa.true(), issued)
    op.execute(sa.update(certificate).values(key_found=with_key, issuer_found=with_issuer))
