"""What an ID means that somebody pasted: fingerprint, serial, key, host.

Fingerprints come with colons, in capitals, cut short as tables show them; serials in hexadecimal or
decimal. All readings that fit are tried, and all that are found are returned.
"""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, func, or_, select

from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.results import Match
from keycensus_collector.inventory.untaken import is_over_cap
from keycensus_collector.inventory.values import certificate_name
from keycensus_collector.store.schema import (
    certificate,
    host,
    manifest_entry,
    public_key,
    request,
    revocation_list,
)

ID_CHARACTERS = 1_000
# Fewer digits of a fingerprint fit too much.
_SHORTEST_PREFIX = 8
_MATCHES = 20
_SEPARATORS = re.compile(r"[\s:]")
_HEXADECIMAL = re.compile(r"[0-9a-f]+")
_ARTIFACTS = {"sealed-key": "key", "sealed-container": "key", "private-key": "key"}


def identify(connection: Connection, text: str) -> list[Match]:
    """Return all that `text` can mean, at most 20; UsageError if it can't be an ID."""
    text = text.strip()
    if not text or len(text) > ID_CHARACTERS:
        raise UsageError("an ID is a fingerprint, a serial, a key's id, or a host's name or UUID")
    compact = _SEPARATORS.sub("", text.removeprefix("0x")).lower()
    matches: dict[tuple[str, str], Match] = {}
    if _HEXADECIMAL.fullmatch(compact):
        found = [*_certificates(connection, compact, text), *_others(connection, compact)]
        matches |= {(match.kind, match.id): match for match in found}
    matches |= {(match.kind, match.id): match for match in _hosts(connection, text)}
    return list(matches.values())[:_MATCHES]


def _certificates(connection: Connection, digits: str, text: str) -> list[Match]:
    conditions: list[ColumnElement[bool]] = [certificate.c.serial == (digits.lstrip("0") or "0")]
    if text.isdecimal():
        conditions.append(certificate.c.serial == f"{int(text):x}")
    if len(digits) == 40:
        conditions.append(certificate.c.sha1 == bytes.fromhex(digits))
    conditions += _starts_with(certificate.c.sha256, digits)
    rows = connection.execute(
        select(
            certificate.c.sha256,
            certificate.c.common_name,
            certificate.c.names_text,
            certificate.c.subject,
        )
        .where(or_(*conditions))
        .order_by(certificate.c.live_places == 0, certificate.c.not_after_ms.desc())
        .limit(_MATCHES)
    )
    return [
        Match(
            "certificate",
            row.sha256.hex(),
            certificate_name(row.common_name, row.names_text, row.subject, row.sha256),
        )
        for row in rows
    ]


def _starts_with(column: Column[Any], digits: str) -> list[ColumnElement[bool]]:
    """Return conditions for a hash that starts with these digits; none if that can't be."""
    if not _SHORTEST_PREFIX <= len(digits) <= 64:
        return []
    low = bytes.fromhex(digits.ljust(64, "0"))
    high = bytes.fromhex(digits.ljust(64, "f"))
    return [column.between(low, high)]


def _others(connection: Connection, digits: str) -> list[Match]:
    """Return keys, requests and lists whose hash starts with these digits."""
    matches: list[Match] = []
    for kind, key, name in (
        ("key", public_key.c.key_id, public_key.c.algorithm),
        ("request", request.c.sha256, request.c.subject),
        ("revocation-list", revocation_list.c.sha256, revocation_list.c.issuer),
    ):
        condition = _starts_with(key, digits)
        if condition:
            rows = connection.execute(select(key, name).where(*condition).limit(_MATCHES))
            matches += [Match(kind, row[0].hex(), row[1]) for row in rows]
    return matches + _sealed(connection, digits) + _over_cap(connection, digits)


def _sealed(connection: Connection, digits: str) -> list[Match]:
    condition = _starts_with(manifest_entry.c.artifact, digits)
    if not condition:
        return []
    rows = connection.execute(
        select(manifest_entry.c.artifact, manifest_entry.c.kind)
        .where(*condition, manifest_entry.c.kind.in_(list(_ARTIFACTS)))
        .distinct()
        .limit(_MATCHES)
    )
    return [Match(_ARTIFACTS[row.kind], row.artifact.hex(), row.kind) for row in rows]


def _over_cap(connection: Connection, digits: str) -> list[Match]:
    """Return artifacts that files name and that are never sent, for being too long."""
    condition = _starts_with(manifest_entry.c.artifact, digits)
    if not condition:
        return []
    rows = connection.execute(
        select(manifest_entry.c.artifact, manifest_entry.c.kind)
        .where(*condition, is_over_cap())
        .distinct()
        .limit(_MATCHES)
    )
    return [Match("over-cap", row.artifact.hex(), row.kind) for row in rows]


def _hosts(connection: Connection, text: str) -> list[Match]:
    conditions: list[ColumnElement[bool]] = [func.lower(host.c.name) == text.lower()]
    with suppress(ValueError):
        conditions.append(host.c.host_id == str(uuid.UUID(text)))
    rows = connection.execute(
        select(host.c.host_id, host.c.name).where(or_(*conditions)).order_by(host.c.host_no)
    )
    return [Match("host", row.host_id, row.name) for row in rows]
