"""What one blob says, as plain frozen data: the result of `parse`, the input of `rows`.

All text is escaped and capped. Times are milliseconds since the epoch in UTC, None if they could not
be read. `problem` says why less is known than could be; empty if everything was read.
"""

from __future__ import annotations

from dataclasses import dataclass

from keycensus_collector.catalogue.names import NameFact

# Raised when parsing learns something: what was parsed under an older number is parsed again.
CATALOGUE_VERSION = 2


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
    # SHA-256 of each name of its CRL distribution points, and of each CRL issuer there, one after another.
    crl_points: bytes = b""
    crl_issuers: bytes = b""
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
    """A certificate revocation list (RFC 5280, section 5).

    `number` and `base_number` (of a delta) are 40 hexadecimal digits, so that they sort as numbers; empty
    if there is none. `unusable`: why no status may follow from it; empty if it may.
    """

    issuer: str = ""
    issuer_der_hash: bytes = b""
    this_update_ms: int | None = None
    next_update_ms: int | None = None
    revoked_count: int = 0
    number: str = ""
    base_number: str = ""
    authority_key_identifier: bytes = b""
    only_contains: str = ""  # "user", "ca", "attribute"; empty: all kinds of certificates
    reasons: bytes = b""  # the only ones it is about, as encoded; empty: all
    indirect: bool = False  # may tell of certificates that others issued
    points: bytes = b""  # SHA-256 of each name of its distribution point, one after another
    unusable: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RevokedEntry:
    """One entry of a revocation list. `issuer`: SHA-256 of its certificate's issuer's name."""

    issuer: bytes
    serial: str  # as of a certificate
    revoked_ms: int
    reason: str  # as RFC 5280, section 5.3.1, names it; empty: it does not say
    invalidity_ms: int | None


Facts = CertificateFacts | PublicKeyFacts | RequestFacts | RevocationListFacts
