"""What formats hand to the dispatcher: entries with the public bytes behind them.

Parser side: pure. Every artifact is hashed before anything in it is looked at, so that what can't be
understood still has its identity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from keycensus_agent.model import ARTIFACT_CAPS, BlobKind, Entry, EntryKind, Status
from keycensus_agent.parser import der
from keycensus_agent.parser.key_id import canonical_spki
from keycensus_agent.parser.public_key import KeyFacts, key_facts
from keycensus_agent.parser.x509 import (
    certificate_fields,
    check_revocation_list,
    request_fields,
)

# The protocol's limit of a member name in bytes (protos/README.md, section 8).
MEMBER_LIMIT = 4096


class Confidence(IntEnum):
    """How sure a format is that some bytes are its own."""

    NO = 0
    MAYBE = 1
    SURE = 2


@dataclass(frozen=True, slots=True)
class Hint:
    """What is known of a file besides its bytes: its path, for what its name promises."""

    name: bytes = b""

    @property
    def suffix(self) -> bytes:
        """The name's last suffix in lower case, without the dot; empty if it has none."""
        _, dot, suffix = self.name.rpartition(b"/")[2].rpartition(b".")
        return suffix.lower() if dot else b""


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """What a format may use besides the bytes. Passwords are never shown."""

    hint: Hint = Hint()
    passwords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """One entry, and the public bytes that its artifact is the hash of (empty if there are none)."""

    entry: Entry
    blob_kind: BlobKind | None = None
    public: bytes = b""


class Passage(NamedTuple):
    """One piece of a text that a format takes: `start:end`, what it holds, or why it can't be read."""

    start: int
    end: int
    found: tuple[Found, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FormatResult:
    """What one format made of a file."""

    format: str
    found: tuple[Found, ...] = ()
    status: Status = Status.READ
    reason: str = ""


def conclude(name: str, found: Sequence[Found], problems: Sequence[str]) -> FormatResult:
    """Return a result whose status follows from what was found and what went wrong, in order."""
    if not problems:
        return FormatResult(name, tuple(found))
    status = Status.PARTIAL if found else Status.MALFORMED
    return FormatResult(name, tuple(found), status, problems[0])


def certificate(data: bytes, member: bytes = b"") -> Found:
    """Return the entry of a certificate; one with a malformed skeleton says so as its reason."""
    return _signed_object(EntryKind.CERTIFICATE, BlobKind.CERTIFICATE, data, member)


def request(data: bytes, member: bytes = b"") -> Found:
    """Return the entry of a certification request; else as `certificate`."""
    return _signed_object(EntryKind.CSR, BlobKind.CSR, data, member)


def revocation_list(data: bytes, member: bytes = b"") -> Found:
    """Return the entry of a certificate revocation list; else as `certificate`."""
    return _signed_object(EntryKind.CRL, BlobKind.CRL, data, member)


_CHECKS: dict[EntryKind, Callable[[bytes], object]] = {
    EntryKind.CERTIFICATE: certificate_fields,
    EntryKind.CSR: request_fields,
    EntryKind.CRL: check_revocation_list,
}


# The objects met last under their usual names: the public authorities stand in dozens of bundles on one
# machine. About 400 bytes each.
_REMEMBERED = 8192
_remembered: dict[tuple[EntryKind, bytes], Entry] = {}


def known_certificate(data: bytes) -> Found | None:
    """Return the entry of a whole certificate that was met before; None if it was not."""
    identity = hashlib.sha256(data).digest()
    entry = _remembered.get((EntryKind.CERTIFICATE, identity))
    return None if entry is None or entry.reason else Found(entry, BlobKind.CERTIFICATE, data)


def _reason(kind: EntryKind, data: bytes) -> str:
    try:
        _CHECKS[kind](data)
    except der.DerError:
        return f"malformed-{kind}"
    return ""


def _signed_object(kind: EntryKind, blob_kind: BlobKind, data: bytes, member: bytes) -> Found:
    identity = hashlib.sha256(data).digest()
    entry = _remembered.get((kind, identity))
    if entry is None:
        entry = Entry(kind, identity, size=len(data), reason=_reason(kind, data))
        if len(_remembered) >= _REMEMBERED:
            _remembered.clear()
        _remembered[kind, identity] = entry
    if member:
        entry = replace(entry, member=member[:MEMBER_LIMIT])
    return Found(entry, blob_kind, data)


def public_key(spki: bytes, member: bytes = b"") -> Found:
    """Return the entry of a public key that stands alone."""
    return _key(EntryKind.PUBLIC_KEY, spki, member, encrypted=False)


def private_key(spki: bytes, member: bytes = b"", *, encrypted: bool = False) -> Found:
    """Return the entry of a private key, known by its public half."""
    return _key(EntryKind.PRIVATE_KEY, spki, member, encrypted=encrypted)


def _key(kind: EntryKind, spki: bytes, member: bytes, *, encrypted: bool) -> Found:
    canonical = canonical_spki(spki)
    facts = key_facts(canonical)
    entry = Entry(
        kind,
        hashlib.sha256(canonical).digest(),
        member=member[:MEMBER_LIMIT],
        algorithm=facts.algorithm,
        bits=facts.bits,
        curve=facts.curve,
        encrypted=encrypted,
        # A size says that the bytes are too long to be had; those of an ordinary key are.
        size=len(canonical) if len(canonical) > ARTIFACT_CAPS[BlobKind.SPKI] else 0,
    )
    return Found(entry, BlobKind.SPKI, canonical)


def sealed_key(ciphertext: bytes, member: bytes = b"", reason: str = "password-needed") -> Found:
    """Return the entry of an encrypted private key whose public half can't be read."""
    entry = Entry(
        EntryKind.SEALED_KEY,
        hashlib.sha256(ciphertext).digest(),
        member=member[:MEMBER_LIMIT],
        encrypted=True,
        reason=reason,
    )
    return Found(entry)


def sealed_container(ciphertext: bytes, reason: str) -> Found:
    """Return the entry of a locked container, known by what is encrypted of it."""
    digest = hashlib.sha256(ciphertext).digest()
    return Found(Entry(EntryKind.SEALED_CONTAINER, digest, reason=reason))


def opaque_key(algorithm: str, member: bytes = b"", reason: str = "unknown-algorithm") -> Found:
    """Return the entry of a private key whose public half can't be computed."""
    entry = Entry(
        EntryKind.OPAQUE_KEY, member=member[:MEMBER_LIMIT], algorithm=algorithm, reason=reason
    )
    return Found(entry)


def external_key(facts: KeyFacts, location: str, reason: str, member: bytes = b"") -> Found:
    """Return the entry of a key that lives elsewhere; `location` must be free of secrets."""
    return Found(
        Entry(
            EntryKind.EXTERNAL_KEY,
            member=member[:MEMBER_LIMIT],
            algorithm=facts.algorithm,
            bits=facts.bits,
            curve=facts.curve,
            reason=reason,
            location=location[:MEMBER_LIMIT],
        )
    )


def security_key(algorithm: str, curve: str = "") -> Found:
    """Return the entry of a key file whose private half lives in a FIDO token (OpenSSH `sk-`)."""
    return Found(
        Entry(EntryKind.EXTERNAL_KEY, algorithm=algorithm, curve=curve, reason="security-key")
    )
