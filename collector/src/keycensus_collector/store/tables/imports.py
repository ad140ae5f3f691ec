"""What people brought in files: by whom, when, from where.

An import is an interval: it stands until the next one of the same source replaces it, or somebody
removes it. What it brought is shown as imported, since nobody tells of a change.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
)

from keycensus_collector.store.schema import Number, metadata

import_record = Table(
    "import_record",
    metadata,
    Column("import_no", Number, primary_key=True),
    Column("kind", Text, nullable=False),  # "bundle", "hosts"
    Column("source", Text, nullable=False),  # a host's name; what people call the list
    Column("sha256", LargeBinary(32), nullable=False),  # of the file
    Column("size", BigInteger, nullable=False),
    Column("items", Integer, nullable=False),  # rows that it holds
    Column("imported_by", Text, nullable=False),
    Column("taken_ms", BigInteger),  # when what it says was so, by its maker's clock
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Column("host_no", Number, ForeignKey("host.host_no")),  # that a bundle is of
    Index(None, "kind", "source", "from_ms"),
    Index(None, "host_no", "from_ms"),
)
