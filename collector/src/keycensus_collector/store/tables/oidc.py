"""Accounts at providers of OpenID Connect, and what of a sign-in there must count once only."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, Table, Text

from keycensus_collector.store.schema import Number, metadata

# Whose account is whose user. An account is known by issuer and subject and by nothing else: providers
# change names and give an address to somebody else later (OpenID Connect Core 1.0, section 5.7).
oidc_account = Table(
    "oidc_account",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user_no", Number, ForeignKey("user.user_no"), nullable=False),
    Column("person_no", Number),  # who that was found to be; null: nobody of the list
    Column("created_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger),  # the last sign-in
    Index(None, "user_no"),
    Index(None, "person_no"),
)

# States that came back from a provider: each counts once. Kept until it would be too old anyway.
oidc_state = Table(
    "oidc_state",
    metadata,
    Column("state_hash", LargeBinary(32), primary_key=True),
    Column("expires_ms", BigInteger, nullable=False),
    Index(None, "expires_ms"),
)

# Codes that a browser brought to the `keycensus` command, until it has exchanged them.
oidc_code = Table(
    "oidc_code",
    metadata,
    Column("code_hash", LargeBinary(32), primary_key=True),
    Column("user_no", Number, ForeignKey("user.user_no"), nullable=False),
    Column("challenge", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Index(None, "expires_ms"),
)
