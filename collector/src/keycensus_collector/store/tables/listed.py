"""Certificates that lists name: what an authority says it issued, and bundles of certificates.

An entry is an interval: it holds from the list that named it first until one of the same name that names
it no more. It joins a certificate of the inventory when that is found, which may be later.
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
)

from keycensus_collector.store.schema import Number, metadata

certificate_list = Table(
    "certificate_list",
    metadata,
    Column("list_no", Number, primary_key=True),
    Column("kind", Text, nullable=False),  # "ca-list", "certificates"
    Column("name", Text, nullable=False),
    UniqueConstraint("kind", "name"),
)

# Whose certificates a list of an authority is of: by the name of the issuer, from `from_ms` on.
certificate_list_issuer = Table(
    "certificate_list_issuer",
    metadata,
    Column("list_no", Number, ForeignKey("certificate_list.list_no"), primary_key=True),
    Column("issuer_der_hash", LargeBinary(32), primary_key=True),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Index(None, "issuer_der_hash"),
)

listed_certificate = Table(
    "listed_certificate",
    metadata,
    Column("listed_no", Number, primary_key=True),
    Column("list_no", Number, ForeignKey("certificate_list.list_no"), nullable=False),
    Column(
        "identity", LargeBinary(32), nullable=False
    ),  # of the entry, over its other columns here
    Column("certificate", LargeBinary),  # of the inventory; null: not found yet
    Column("sha256", LargeBinary, nullable=False),  # what the list says: empty if nothing
    Column("sha1", LargeBinary, nullable=False),
    Column("issuer_der_hash", LargeBinary, nullable=False),
    Column("serial", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("not_after_ms", BigInteger),
    Column("state", Text, nullable=False),  # "valid", "revoked", "expired"; empty: not told
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Index(None, "list_no", "to_ms", "identity"),
    Index(None, "certificate"),
    Index(None, "sha256"),
    Index(None, "sha1"),
    Index(None, "serial"),
)
