"""The audit log is a chain of hashes. Rows that are there already are its beginning."""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0045_audit_chain"
down_revision = "0044_scope"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the end of the chain, and link what is there."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    chain = op.create_table(
        "audit_chain",
        sa.Column("chain_no", number, nullable=False),
        sa.Column("last_no", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("chain_no", name="pk_audit_chain"),
    )
    op.add_column("audit", sa.Column("hash", sa.LargeBinary(length=32), nullable=True))
    op.create_index("ix_audit_at_ms", "audit", ["at_ms"])
    audit = sa.table(
        "audit",
        *(sa.column(name) for name in ("audit_no", "at_ms", "actor", "action", "subject")),
        sa.column("detail"),
        sa.column("hash", sa.LargeBinary()),
    )
    connection = op.get_bind()
    last_no, hash_ = 0, bytes(32)
    for row in connection.execute(sa.select(audit).order_by(audit.c.audit_no)).all():
        last_no = row.audit_no
        content = [last_no, row.at_ms, row.actor, row.action, row.subject, row.detail]
        hash_ = hashlib.sha256(hash_ + json.dumps(content).encode()).digest()
        connection.execute(sa.update(audit).where(audit.c.audit_no == last_no).values(hash=hash_))
    connection.execute(sa.insert(chain).values(chain_no=1, last_no=last_no, hash=hash_))
