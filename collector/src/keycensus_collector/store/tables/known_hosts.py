"""Hosts that people's lists name, and which of ours each of them is."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Table, Text

from keycensus_collector.store.schema import Number, metadata

# Of the import that stands. `host_no`: a host that reports, or one in state "known", made for it.
known_host = Table(
    "known_host",
    metadata,
    Column("known_no", Number, primary_key=True),
    Column("import_no", Number, ForeignKey("import_record.import_no"), nullable=False),
    Column("name", Text, nullable=False),
    Column("addresses", Text, nullable=False),  # one a line
    Column("groups", Text, nullable=False),  # one a line
    Column("host_no", Number, ForeignKey("host.host_no"), nullable=False),
    Column(
        "matched", Text, nullable=False
    ),  # "name", "short-name", "address"; empty: without agent
    Index(None, "import_no", "name"),
    Index(None, "host_no"),
)
