"""Who issued what, by verified signature: candidates by name from the database, verdicts by the child.

The library's verification asks for equal names, so the hash of the issuer's name is the selective
side. Where both sides name a key and the names differ, they are no pair (RFC 5280, section 4.2.1.1); one
that signed itself needs no other issuer. Both directions are looked up when a certificate
arrives, so the order in which a chain is seen does not matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from keycensus_collector.catalogue.parse import CERTIFICATE
from keycensus_collector.fold.counterparts import note_issuers
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import blob, certificate, issuer_edge

# Certificates of one name that are asked whether they issued another. A hostile host can make any
# number of them; a real authority has a handful.
PARENTS = 32
# Certificates of one issuer that are looked at in one step; the rest is queued again.
CHILDREN = 200

_HASH_BYTES = 32
_NO_NAME = frozenset({b"", hashlib.sha256(b"\x30\x00").digest()})

Pair = tuple[bytes, bytes]  # child and parent, SHA-256 each


@dataclass(slots=True)
class Candidates:
    """Pairs to verify for each row of work, and the subjects under which to queue the rest."""

    pairs: dict[int, list[Pair]] = field(default_factory=dict)
    more: dict[int, bytes] = field(default_factory=dict)


def find_candidates(connection: Connection, subjects: Mapping[int, bytes]) -> Candidates:
    """Return whom to ask about certificates, by number of work.

    A subject is a certificate's hash; behind it, when children are gone through in steps, stands the
    hash of the last one.
    """
    own = {number: subject[:_HASH_BYTES] for number, subject in subjects.items()}
    rows = {
        row.sha256: row
        for row in connection.execute(
            select(
                certificate.c.sha256,
                certificate.c.subject_der_hash,
                certificate.c.issuer_der_hash,
                certificate.c.subject_key_identifier,
                certificate.c.authority_key_identifier,
                certificate.c.self_signed,
            ).where(certificate.c.sha256.in_(set(own.values())))
        )
    }
    with_children = _with_children(connection, {row.subject_der_hash for row in rows.values()})
    # Leaves of one issuer ask for the same parents.
    asked: dict[tuple[bytes, bytes], list[bytes]] = {}
    found = Candidates()
    for number, sha256 in own.items():
        row = rows.get(sha256)
        if row is None:
            continue
        pairs = found.pairs[number] = []
        after = subjects[number][_HASH_BYTES:]
        if not (after or row.self_signed or row.issuer_der_hash in _NO_NAME):
            key = (row.issuer_der_hash, row.authority_key_identifier)
            if key not in asked:
                asked[key] = _parents(connection, *key)
            pairs += [(sha256, parent) for parent in asked[key] if parent != sha256]
        if row.subject_der_hash in with_children:
            children = _children(connection, row, after)
            pairs += [(child, sha256) for child in children]
            if len(children) == CHILDREN:
                found.more[number] = sha256 + children[-1]
    return found


def _with_children(connection: Connection, names: set[bytes]) -> set[bytes]:
    """Return those names that some certificate calls its issuer."""
    statement = (
        select(certificate.c.issuer_der_hash)
        .where(certificate.c.issuer_der_hash.in_(names - _NO_NAME))
        .distinct()
    )
    return set(connection.execute(statement).scalars())


def _parents(connection: Connection, name: bytes, key_identifier: bytes) -> list[bytes]:
    statement = (
        select(certificate.c.sha256)
        .where(certificate.c.subject_der_hash == name)
        .order_by(certificate.c.is_ca.desc(), certificate.c.sha256)
        .limit(PARENTS)
    )
    if key_identifier:
        own = certificate.c.subject_key_identifier
        statement = statement.where(own.in_((key_identifier, b"")))
    return list(connection.execute(statement).scalars())


def _children(
    connection: Connection,
    own: Any,  # noqa: ANN401 - a row of the statement above
    after: bytes,
) -> list[bytes]:
    known = select(issuer_edge.c.child).where(issuer_edge.c.parent == own.sha256)
    statement = (
        select(certificate.c.sha256)
        .where(
            certificate.c.issuer_der_hash == own.subject_der_hash,
            certificate.c.sha256 != own.sha256,
            certificate.c.self_signed.is_(False),
            certificate.c.sha256 > after,
            certificate.c.sha256.not_in(known),
        )
        .order_by(certificate.c.sha256)
        .limit(CHILDREN)
    )
    if own.subject_key_identifier:
        named = certificate.c.authority_key_identifier
        statement = statement.where(named.in_((own.subject_key_identifier, b"")))
    return list(connection.execute(statement).scalars())


def load_certificates(connection: Connection, hashes: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the DER of certificates by hash."""
    rows = connection.execute(
        select(blob.c.hash, blob.c.data).where(
            blob.c.kind == CERTIFICATE, blob.c.hash.in_(set(hashes))
        )
    )
    return {row.hash: row.data for row in rows}


def write_edges(connection: Connection, edges: Iterable[Pair], now_ms: int) -> None:
    """Insert pairs whose signature was verified."""
    rows = [
        {"child": child, "parent": parent, "verified_ms": now_ms}
        for child, parent in sorted(set(edges))
    ]
    if rows:
        connection.execute(upsert(connection, issuer_edge).on_conflict_do_nothing(), rows)
        note_issuers(connection, sorted({child for child, _ in edges}))
