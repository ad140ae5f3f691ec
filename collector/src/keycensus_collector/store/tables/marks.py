"""Marks that people set on certificates and keys, and where a marked thing came back.

A mark is an interval. Its subject need not be known to the inventory: what was stolen elsewhere is to
be told when it turns up here.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from keycensus_collector.store.schema import Number, metadata

STANDING = "to_ms IS NULL"

mark = Table(
    "mark",
    metadata,
    Column("mark_no", Number, primary_key=True),
    Column("kind", Text, nullable=False),  # "certificate" or "key"
    Column("subject", LargeBinary(32), nullable=False),  # SHA-256 of the DER; key_id
    Column("word", Text, nullable=False),  # "compromised", "distrusted"
    Column("reason", Text, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("set_by", Text, nullable=False),
    Column("to_ms", BigInteger),
    Column("lifted_by", Text, nullable=False, server_default=""),
    Column("lifted_reason", Text, nullable=False, server_default=""),
    Index(None, "subject"),
    # One of a kind stands at a time, also where two collectors set it at once.
    Index(
        "ix_mark_standing",
        "kind",
        "subject",
        "word",
        unique=True,
        sqlite_where=text(STANDING),
        postgresql_where=text(STANDING),
    ),
)

# A place that began to hold what a mark reaches, in use, while the mark stood.
reappearance = Table(
    "reappearance",
    metadata,
    Column("reappearance_no", Number, primary_key=True),
    Column("mark_no", Number, ForeignKey("mark.mark_no"), nullable=False),
    Column("kind", Text, nullable=False),  # "certificate" or "key"
    Column("artifact", LargeBinary(32), nullable=False),
    Column("place_no", Number, ForeignKey("place.place_no"), nullable=False),
    Column("at_ms", BigInteger, nullable=False),  # when the place began to hold it
    Column("cause", Text, nullable=False),  # of that change
    UniqueConstraint("mark_no", "artifact", "place_no", "at_ms"),
    Index(None, "artifact"),
    Index(None, "place_no"),
)
