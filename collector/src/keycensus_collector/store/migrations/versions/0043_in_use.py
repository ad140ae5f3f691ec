"""How many live places outside trust stores a certificate has, folded: lists and charts look at no places for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0043_in_use"
down_revision = "0042_labels"
branch_labels = None
depends_on = None

_BY_END = (
    *("not_after_ms", "sha256", "is_ca", "self_signed", "live_places", "retained_places"),
    *("hosts", "key_id", "in_use", "algorithm", "bits"),
)


def upgrade() -> None:
    """Add the column, count for it, and put it into the index of lists."""
    in_use = sa.Column("in_use", sa.Integer(), nullable=False, server_default="0")
    op.add_column("certificate", in_use)
    certificate = sa.table("certificate", sa.column("sha256"), sa.column("in_use"))
    names = ("artifact", "kind", "live")
    holding = sa.table("holding", *(sa.column(name) for name in names))
    held = sa.select(sa.func.coalesce(sa.func.sum(holding.c.live), 0)).where(
        holding.c.artifact == certificate.c.sha256, holding.c.kind == "certificate"
    )
    op.execute(sa.update(certificate).values(in_use=held.scalar_subquery()))
    op.drop_index("ix_certificate_by_end", "certificate")
    op.create_index("ix_certificate_by_end", "certificate", list(_BY_END))
    if op.get_bind().dialect.name == "sqlite":
        op.create_index("ix_certificate_issuer", "certificate", ["issuer", "in_use"])
