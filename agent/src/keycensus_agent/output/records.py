"""Findings as plain records: the field names that scripts rely on (docs/scan-output.md).

JSON, NDJSON and CSV are made of these. All text from files is escaped here, once; where the escaped
path is not the path itself, its bytes stand beside it as base64.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from keycensus_agent.context.bindings import NOTHING, Context
from keycensus_agent.known_keys import known_key
from keycensus_agent.model import (
    CertificateDetail,
    Coverage,
    Entry,
    EntryKind,
    Finding,
    Gap,
    Place,
    Status,
)
from keycensus_agent.output.around import Record, binding_record, moment_text, renewal_record
from keycensus_agent.output.completeness import is_complete
from keycensus_agent.text import safe_path, safe_text

SCHEMA_VERSION = 1

# Per key id, the SHA-256 of each certificate of the scan that holds this key.
CertificatesByKey = Mapping[bytes, Sequence[bytes]]

_HASHED = frozenset({EntryKind.CERTIFICATE, EntryKind.CSR, EntryKind.CRL})
_KEYS = frozenset(
    {
        EntryKind.PRIVATE_KEY,
        EntryKind.PUBLIC_KEY,
        EntryKind.SEALED_KEY,
        EntryKind.EXTERNAL_KEY,
        EntryKind.OPAQUE_KEY,
    }
)


def place_record(
    finding: Finding, certificates: CertificatesByKey, context: Context = NOTHING
) -> Record:
    """Return one place with its entries, and with what `context` says of it."""
    record = place_fields(finding)
    where = (finding.place.path, finding.place.target)
    bindings, renewer = context.bindings_of(*where), context.renewer_of(*where)
    if bindings:
        record["usage"] = [binding_record(binding) for binding in bindings]
    if renewer is not None:
        record["renewal"] = renewal_record(renewer)
    return {**record, "entries": entry_records(finding, certificates)}


def place_fields(finding: Finding) -> Record:
    """Return what is said of a place itself."""
    place, facts = finding.place, finding.place.facts
    record: Record = {
        **_path_fields("path", place.path),
        "format": place.format,
        "status": place.status.value,
        "reason": safe_text(place.reason),
        "mode": f"{facts.mode & 0o7777:04o}",
        "owner": owner_of(place),
        "group": group_of(place),
        "uid": facts.uid,
        "gid": facts.gid,
        "size": facts.size,
        "mtime": moment_text(facts.mtime_ns // 1_000_000_000),
    }
    if place.target:
        record |= _path_fields("target", place.target)
    record |= {
        "file": place.file_id.hex(),
        "role": place.role.value,
        "use": place.use.value,
        "readable_by": safe_text(place.readable_by),
    }
    if place.package is not None:
        record["package"] = safe_text(place.package.name)
        record["package_version"] = safe_text(place.package.version)
    return record


def entry_records(finding: Finding, certificates: CertificatesByKey) -> list[Record]:
    """Return what a place's file holds, in the file's order."""
    details = {detail.sha256: detail for detail in finding.parsed.details}
    return [
        entry_record(entry, details.get(entry.artifact), certificates)
        for entry in finding.parsed.entries
    ]


def entry_record(
    entry: Entry, detail: CertificateDetail | None, certificates: CertificatesByKey
) -> Record:
    """Return one artifact of a file; fields that don't apply are left out."""
    record: Record = {"kind": entry.kind.value}
    if entry.member:
        record["member"] = safe_path(entry.member)
    if entry.kind in _HASHED:
        record["sha256"] = entry.artifact.hex()
    if detail is not None:
        record |= _detail_fields(entry.kind, detail)
    if entry.kind in _KEYS:
        record |= _key_fields(entry, certificates)
    for name, text in (("reason", entry.reason), ("location", entry.location)):
        if text:
            record[name] = safe_text(text)
    return record


def _detail_fields(kind: EntryKind, detail: CertificateDetail) -> Record:
    record = _key_id_fields(detail.key_id)
    record["subject"] = safe_text(detail.subject)
    if kind is EntryKind.CERTIFICATE:
        record |= {
            "issuer": safe_text(detail.issuer),
            "serial": detail.serial,
            "not_before": detail.not_before,
            "not_after": detail.not_after,
            "san": [safe_text(name) for name in detail.san],
            "is_ca": detail.is_ca,
            "self_signed": detail.self_signed,
        }
    else:
        record["san"] = [safe_text(name) for name in detail.san]
    record["signature_algorithm"] = detail.signature_algorithm
    return record | _algorithm_fields(detail.algorithm, detail.bits, detail.curve)


def _key_fields(entry: Entry, certificates: CertificatesByKey) -> Record:
    record: Record = {}
    known = entry.kind in (EntryKind.PRIVATE_KEY, EntryKind.PUBLIC_KEY) and entry.artifact
    if known:
        record |= _key_id_fields(entry.artifact)
    record |= _algorithm_fields(entry.algorithm, entry.bits, entry.curve)
    record["encrypted"] = entry.encrypted
    matches = certificates.get(entry.artifact, ()) if known else ()
    if matches:
        record["matches"] = [sha256.hex() for sha256 in matches]
    return record


def _key_id_fields(key_id: bytes) -> Record:
    if not key_id:
        return {}
    record: Record = {"key_id": key_id.hex()}
    source = known_key(key_id)
    if source:
        record["known_key"] = safe_text(source)
    return record


def _algorithm_fields(algorithm: str, bits: int, curve: str) -> Record:
    record: Record = {}
    if algorithm:
        record["algorithm"] = safe_text(algorithm)
    if bits:
        record["bits"] = bits
    if curve:
        record["curve"] = safe_text(curve)
    return record


def coverage_record(coverage: Coverage, findings: Sequence[Finding]) -> Record:
    """Return what was seen, and what was not: the last object of a scan's NDJSON."""
    statuses = {status.value: 0 for status in Status}
    for finding in findings:
        statuses[finding.place.status.value] += 1
    return {
        "schema_version": SCHEMA_VERSION,
        "complete": is_complete(findings, coverage),
        "places": len(findings),
        "statuses": statuses,
        "gaps": [gap_record(gap) for gap in coverage.gaps],
        "counters": dict(sorted(coverage.counters.items())),
    }


def gap_record(gap: Gap) -> Record:
    """Return one thing that could not be looked at."""
    return {
        **_path_fields("path", gap.prefix),
        "reason": gap.reason,
        "detail": safe_text(gap.detail),
    }


def owner_of(place: Place) -> str:
    """Return the owner's name, or its number if it has none."""
    return safe_text(place.owner) or str(place.facts.uid)


def group_of(place: Place) -> str:
    """Return the group's name, or its number if it has none."""
    return safe_text(place.group) or str(place.facts.gid)


def _path_fields(name: str, path: bytes) -> Record:
    text = safe_path(path)
    if text.encode() == path:
        return {name: text}
    return {name: text, f"{name}_b64": base64.b64encode(path).decode()}
