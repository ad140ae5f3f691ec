"""What is worked out of everything now and then, because it is looked at often and costs much.

Nothing here is the truth: all of it can be worked out again, and is.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text

from keycensus_collector.store.schema import metadata

# All of a list by one dimension, as it was counted last. No row: it is counted when it is asked for.
figure = Table(
    "figure",
    metadata,
    Column("what", Text, primary_key=True),  # "certificates", "keys", "places", "hosts"
    Column("by", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("took_ms", Integer, nullable=False),
    Column("content", Text, nullable=False),  # JSON (inventory/figures.py)
)

# Trust stores whose certificates are not those that most hosts have at this path. Few, where there are any.
odd_trust_store = Table(
    "odd_trust_store",
    metadata,
    Column("path_hash", LargeBinary(32), primary_key=True),
    Column("manifest", LargeBinary(32), primary_key=True),
    sqlite_with_rowid=False,
)
