"""Who uses places, as plain frozen data. No input or output, no protobuf.

A usage is one directive of one service, or a renewal tool's record, with what was seen of it. Text
comes from configurations and from the network: hostile, unescaped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a listener presents, held against the disk."""

    NONE = ""
    SERVED = "served"
    NOT_RELOADED = "not-reloaded"
    NOT_ON_DISK = "served-but-not-on-disk"
    ANOTHER = "served-another"


# What matters most of several answers of one usage comes first.
_ORDER = (
    Verdict.NOT_RELOADED,
    Verdict.NOT_ON_DISK,
    Verdict.ANOTHER,
    Verdict.SERVED,
    Verdict.NONE,
)

# Answers of one usage that are reported (inventory.proto: Usage.more_handshakes).
HANDSHAKES = 17
# Longer lists of names, addresses and places are cut: a usage is one row of a batch.
NAMES = 256
PLACES = 1024


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a listener presented when it was asked (protos: Handshake). `chain`: SHA-256, leaf first."""

    at_ms: int
    address: str
    server_name: str = ""
    chain: tuple[bytes, ...] = ()
    tls_version: str = ""
    cipher: str = ""
    error: str = ""
    verdict: Verdict = Verdict.NONE

    @property
    def says(self) -> tuple[object, ...]:
        """All but the time: equal if nothing changed between two looks."""
        return (
            self.address,
            self.server_name,
            self.chain,
            self.tls_version,
            self.cipher,
            self.error,
            self.verdict,
        )


@dataclass(frozen=True, slots=True)
class Renewal:
    """Which tool renews the places of a usage; `last_success_ms` 0: never or not known."""

    tool: str
    last_success_ms: int
    overdue: bool
    schedule: str
    # Why it is overdue (`context.bindings.Renewer`); empty if it is not.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """One binding and what was seen of it (protos: Usage). `places` are place keys.

    `handshakes`: what matters most first. `manifest` lists their certificates.
    """

    binding: bytes
    service: str
    unit: str
    configuration: bytes
    line: int
    directive: str
    places: tuple[bytes, ...]
    server_names: tuple[str, ...] = ()
    listen: tuple[str, ...] = ()
    password_source: str = ""
    handshakes: tuple[Handshake, ...] = ()
    manifest: bytes = b""
    renewal: Renewal | None = None
    processes: tuple[str, ...] = ()


def binding_of(
    service: str,
    unit: str,
    configuration: bytes,
    directive: str,
    *,
    server_names: Iterable[str] = (),
    listen: Iterable[str] = (),
) -> bytes:
    """Return the identity of a usage (protos/README.md, section 3.3)."""
    fields = (
        service.encode(errors="surrogateescape"),
        unit.encode(errors="surrogateescape"),
        configuration,
        directive.encode(errors="surrogateescape"),
        ",".join(sorted(server_names)).encode(errors="surrogateescape"),
        ",".join(sorted(listen)).encode(errors="surrogateescape"),
    )
    return b"\0".join(field.replace(b"\0", b"") for field in fields)


def usage_key(binding: bytes) -> bytes:
    """Return the row key of a usage (protos/README.md, section 3.1)."""
    return hashlib.sha256(b"keycensus usage v1\0" + binding).digest()


def by_weight(handshakes: Iterable[Handshake]) -> tuple[Handshake, ...]:
    """Return answers with what matters most first, as many as are reported."""
    ordered = sorted(
        handshakes,
        key=lambda each: (
            _ORDER.index(each.verdict),
            bool(each.error),
            each.address,
            each.server_name,
            each.chain,
        ),
    )
    return tuple(ordered[:HANDSHAKES])
