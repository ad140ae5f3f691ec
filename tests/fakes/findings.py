"""Findings for tests of what is shown, without files: each as small as its sentence needs."""

from __future__ import annotations

import datetime as dt
import hashlib

from keycensus_agent.model import (
    CertificateDetail,
    Entry,
    EntryKind,
    FileFacts,
    Finding,
    Package,
    Parsed,
    Place,
    Role,
    Status,
    Use,
)

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)


def after(days: float) -> str:
    """Return the RFC 3339 time so many days from NOW."""
    return (NOW + dt.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def detail(name: str = "www.example.com", days: float = 90, **other: object) -> CertificateDetail:
    """Return a certificate for `name` that expires in `days`."""
    values: dict[str, object] = {
        "sha256": hashlib.sha256(name.encode() + str(days).encode()).digest(),
        "key_id": hashlib.sha256(name.encode()).digest(),
        "subject": f"CN={name}",
        "issuer": "CN=Example R1,O=Example",
        "serial": "1f",
        "not_before": after(-10),
        "not_after": after(days),
        "san": (name,),
        "signature_algorithm": "sha256WithRSAEncryption",
        "algorithm": "rsa",
        "bits": 2048,
    }
    return CertificateDetail(**{**values, **other})  # type: ignore[arg-type]


def key(name: str = "www.example.com", **other: object) -> Entry:
    """Return the private key of the certificate for `name`."""
    values: dict[str, object] = {
        "kind": EntryKind.PRIVATE_KEY,
        "artifact": hashlib.sha256(name.encode()).digest(),
        "algorithm": "rsa",
        "bits": 2048,
    }
    return Entry(**{**values, **other})  # type: ignore[arg-type]


def finding(
    path: bytes,
    *holds: CertificateDetail | Entry,
    mode: int = 0o644,
    role: Role = Role.UNKNOWN,
    use: Use = Use.LIVE,
    status: Status = Status.READ,
    reason: str = "",
    target: bytes = b"",
    gid: int = 0,
    file_format: str = "pem",
    package: str = "",
    readable_by: str = "",
    file: bytes = b"",
) -> Finding:
    """Return a place at `path` whose file holds these certificates and keys."""
    details = tuple(item for item in holds if isinstance(item, CertificateDetail))
    entries = tuple(
        Entry(EntryKind.CERTIFICATE, item.sha256) if isinstance(item, CertificateDetail) else item
        for item in holds
    )
    place = Place(
        path=path,
        status=status,
        facts=FileFacts(1, 2, 0o100000 | mode, 0, gid, 1234, 1_700_000_000_000_000_000, 0, 1),
        reason=reason,
        format=file_format,
        owner="root",
        group="root" if gid == 0 else "tls",
        target=target,
        file_id=hashlib.sha256(file or target or path).digest()[:16],
        role=role,
        use=use,
        readable_by=readable_by or ("world" if mode & 4 else "group" if mode & 0o40 else "owner"),
        package=Package("dpkg", package, "1.2-3") if package else None,
    )
    return Finding(place, Parsed(file_format, status, reason, entries, details=details))
