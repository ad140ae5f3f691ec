"""What PostgreSQL is to know of words that queries ask for in any case: without it, it takes them for rare."""

from __future__ import annotations

from alembic import op

revision = "0063_word_statistics"
down_revision = "0062_first_use"
branch_labels = None
depends_on = None

_WORDS = {
    "place": ("role", "status", "format"),
    "certificate": ("algorithm", "signature_algorithm"),
    "public_key": ("algorithm",),
}


def upgrade() -> None:
    """Make statistics of the words in lower case; they are filled by the next ANALYZE."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, columns in _WORDS.items():
        for column in columns:
            op.execute(f"CREATE STATISTICS st_{table}_{column} ON lower({column}) FROM {table}")
