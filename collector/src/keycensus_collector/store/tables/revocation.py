"""Revocation lists that count, their entries, and what follows from them for certificates.

The lists of one issuer, key and scope are a series, in which the newest list, and the newest delta upon it, are
in force. A certificate's status is an interval that names its series: a new list that says the same as
the one before changes no row, and yet all that is good is good as of the new one.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, LargeBinary, Table, Text

from keycensus_collector.store.schema import Number, metadata

revocation_series = Table(
    "revocation_series",
    metadata,
    Column("series_no", Number, primary_key=True),
    Column("identity", LargeBinary(32), nullable=False, unique=True),  # over all of the below
    Column("signer_key", LargeBinary, nullable=False),  # key id of who signs
    Column("issuer_der_hash", LargeBinary(32), nullable=False),  # the lists' issuer
    Column("only_contains", Text, nullable=False),
    Column("reasons", LargeBinary, nullable=False),
    Column("indirect", Boolean, nullable=False),
    Column("points", LargeBinary, nullable=False),
    Index(None, "issuer_der_hash"),
)

# The issuers whose certificates a series tells of: its own, and those that entries of indirect lists name.
revocation_issuer = Table(
    "revocation_issuer",
    metadata,
    Column("issuer_der_hash", LargeBinary(32), primary_key=True),
    Column("series_no", Number, ForeignKey("revocation_series.series_no"), primary_key=True),
    sqlite_with_rowid=False,
)

# Lists whose signature was verified: in force from `from_ms` (null: its entries are just being written)
# until a newer one came.
list_in_force = Table(
    "list_in_force",
    metadata,
    Column("list_no", Number, primary_key=True),
    Column("sha256", LargeBinary(32), nullable=False, unique=True),
    Column("series_no", Number, ForeignKey("revocation_series.series_no"), nullable=False),
    Column("signer", LargeBinary(32), nullable=False),  # the certificate by which it was verified
    Column("number", Text, nullable=False),
    Column("base_number", Text, nullable=False),  # of a delta; empty: a complete list
    Column("this_update_ms", BigInteger, nullable=False),
    Column("next_update_ms", BigInteger),
    Column("from_ms", BigInteger),
    Column("to_ms", BigInteger),
    Index(None, "series_no", "from_ms"),
    Index(None, "signer"),
)

# Of lists in force only: those of former ones are removed a piece at a time.
revocation_entry = Table(
    "revocation_entry",
    metadata,
    Column("issuer_der_hash", LargeBinary(32), primary_key=True),
    Column("serial", Text, primary_key=True),
    Column("list_no", Number, primary_key=True, autoincrement=False),
    Column("revoked_ms", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("invalidity_ms", BigInteger),
    Index(None, "list_no"),
    sqlite_with_rowid=False,
)

certificate_revocation = Table(
    "certificate_revocation",
    metadata,
    Column("revocation_no", Number, primary_key=True),
    Column("certificate", LargeBinary(32), nullable=False),
    Column("status", Text, nullable=False),  # "revoked", "good"
    Column("reason", Text, nullable=False),
    Column("revoked_ms", BigInteger),
    Column("invalidity_ms", BigInteger),
    Column("series_no", Number, nullable=False),
    Column("list_no", Number, nullable=False),  # the first one that said so
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Index(None, "certificate", "from_ms"),
    Index(None, "status", "to_ms", "certificate"),
)

# What is to be done: "list" and "certificate" by SHA-256, "series" (all its certificates) and "forget" (the
# entries of a list) by number. `after`: how far a series has been gone through.
revocation_work = Table(
    "revocation_work",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("subject", LargeBinary, primary_key=True),
    Column("after", LargeBinary, nullable=False),
    Column("stamp", BigInteger, nullable=False),
)
