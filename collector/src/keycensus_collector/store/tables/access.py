"""Who is signed in, and who tried to."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from keycensus_collector.store.schema import Number, metadata

user_session = Table(
    "user_session",
    metadata,
    Column("session_hash", LargeBinary(32), primary_key=True),  # SHA-256 of what the cookie holds
    Column("user_no", Number, ForeignKey("user.user_no"), nullable=False),
    Column("how", Text, nullable=False),  # "password", "oidc:NAME"
    Column("address", Text, nullable=False),  # from where it was begun
    Column("browser", Text, nullable=False),  # what that said of itself
    Column("created_ms", BigInteger, nullable=False),
    Column("last_used_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Index(None, "user_no"),
    Index(None, "expires_ms"),
)

# What failed of late, by what was tried: an account, an address, or that account from that address.
login_failure = Table(
    "login_failure",
    metadata,
    Column("subject", LargeBinary(32), primary_key=True),  # a hash: what people type may be secret
    Column("failures", Integer, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("blocked_until_ms", BigInteger, nullable=False),
    Index(None, "last_ms"),
)

# From where users signed in before: there, nobody else's failures keep them out.
login_address = Table(
    "login_address",
    metadata,
    Column("user_no", Number, ForeignKey("user.user_no"), primary_key=True),
    Column("address", LargeBinary(32), primary_key=True),  # its hash
    Column("last_ms", BigInteger, nullable=False),
    Index(None, "last_ms"),
)

# The link with which the first admin sets a password, until it is used or not needed: at most one row.
first_use = Table(
    "first_use",
    metadata,
    Column("secret_hash", LargeBinary(32), primary_key=True),
    Column("user_no", Number, ForeignKey("user.user_no"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)

# The end of the audit log's chain: one row.
audit_chain = Table(
    "audit_chain",
    metadata,
    Column("chain_no", Number, primary_key=True),
    Column("last_no", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
)

# How far it was sent to a syslog server: one row.
audit_sent = Table(
    "audit_sent",
    metadata,
    Column("sent_id", Integer, primary_key=True, autoincrement=False),
    Column("sent_no", BigInteger, nullable=False),
)
