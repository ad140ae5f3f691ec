"""How people and teams want to see things. Of nobody else's concern, and of no weight: losing it loses nothing."""

from __future__ import annotations

from sqlalchemy import Column, Table, Text

from keycensus_collector.store.schema import Number, metadata

preference = Table(
    "preference",
    metadata,
    Column("holder_kind", Text, primary_key=True),  # "user", "team"
    Column("holder_no", Number, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("content", Text, nullable=False),  # JSON: a list of words
)
