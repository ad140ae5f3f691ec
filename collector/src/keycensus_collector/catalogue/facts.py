"""What one blob says, as plain frozen data: the result of `parse`, the input of `rows`.

All text is escaped and capped. Times are milliseconds since the epoch in UTC, None if they could not
be read. `problem` says why less is known than could be; empty if everything was read.
"""

from __future__ import annotations

from dataclasses import dataclass

from keycensus_collector.catalogue.names import NameFact

# Raised when parsing learns something: what was parsed under an older number is parsed again.
CATALOGUE_VERSION = 1


@dataclass(frozen=True, slots=True)
class PublicKeyFacts:
    """A SubjectPublicKeyInfo. `key_id` is empty if there is none to be read."""

    key_id: bytes = b""
    algorithm: str = ""
    bits: int = 0
    curve: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """A certificate (RFC 5280). `serial` is lower-case hexadecimal."""

    key: PublicKeyFacts = PublicKeyFacts()
    subject: str = ""
    subject_der_hash: bytes = b""
    common_name: str = ""
    issuer: str = ""
    issuer_der_hash: bytes = b""
    serial: str = ""
    not_before_ms: int | None = None
    not_after_ms: int | None = None
    names: tuple[NameFact, ...] = ()
    is_ca: bool = False
    self_signed: bool = False
    signature_algorithm: str = ""
    subject_key_identifier: bytes = b""
    authority_key_identifier: bytes = b""
    extended_key_usage: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """A certification request (RFC 2986)."""

    key: PublicKeyFacts = PublicKeyFacts()
    subject: str = ""
    names: tuple[NameFact, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RevocationListFacts:
    """A certificate revocation list (RFC 5280, section 5)."""

    issuer: str = ""
    issuer_der_hash: bytes = b""
    this_update_ms: int | None = None
    next_update_ms: int | None = None
    revoked_count: int = 0
    problem: str = ""


Facts = CertificateFacts | PublicKeyFacts | RequestFacts | RevocationListFacts
