"""What the collectors of one database agree on: who does the periodic work, and what was removed.

The collector's tables: whose conventions they follow is in `store/schema.py`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from keycensus_collector.store.schema import metadata

# Who does a kind of work until when, by the database's clock.
duty = Table(
    "duty",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", LargeBinary(16), nullable=False),  # random, anew at each start
    Column("until_ms", BigInteger, nullable=False),
)

# How often blobs were removed: who remembers that a manifest is complete looks whether that grew.
removal = Table(
    "removal",
    metadata,
    Column("removal_no", BigInteger, primary_key=True, autoincrement=False),  # always 1
    Column("times", BigInteger, nullable=False),
)
