"""Who issued what, by verified signature: candidates by name from the database, verdicts by the child.

The library's verification asks for equal names, so the hash of the issuer's name is the selective
side; key identifiers only say whom to ask first. Both directions are looked up when a certificate
arrives, so the order in which a chain is seen does not matter.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection, case, select

from keycensus_collector.catalogue.parse import CERTIFICATE
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import blob, certificate, issuer_edge

# Certificates of one name that are asked whether they issued another. A hostile host can make any
# number of them; a real authority has a handful.
PARENTS = 32
# Certificates of one issuer that are looked at in one step; the rest is queued again.
CHILDREN = 200

_HASH_BYTES = 32
_EMPTY_NAME = hashlib.sha256(b"\x30\x00").digest()


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs to verify around one certificate: (hash, DER) each. `next_subject` queues the rest."""

    own: bytes
    own_der: bytes
    parents: tuple[tuple[bytes, bytes], ...]
    children: tuple[tuple[bytes, bytes], ...]
    next_subject: bytes


def find_candidates(connection: Connection, subject: bytes) -> Candidates | None:
    """Return whom to ask about a certificate; None if there is none of this hash.

    `subject` is the work's: the certificate's hash, and when children are gone through in steps the
    hash of the last one.
    """
    own, after = subject[:_HASH_BYTES], subject[_HASH_BYTES:]
    row = connection.execute(
        select(certificate, blob.c.data)
        .join(blob, (blob.c.hash == certificate.c.sha256) & (blob.c.kind == CERTIFICATE))
        .where(certificate.c.sha256 == own)
    ).one_or_none()
    if row is None:
        return None
    parents: tuple[tuple[bytes, bytes], ...] = ()
    if not after and row.issuer_der_hash not in {b"", _EMPTY_NAME}:
        parents = _parents(connection, own, row.issuer_der_hash, row.authority_key_identifier)
    children: tuple[tuple[bytes, bytes], ...] = ()
    if row.subject_der_hash not in {b"", _EMPTY_NAME}:
        children = _children(connection, own, row.subject_der_hash, after)
    more = own + children[-1][0] if len(children) == CHILDREN else b""
    return Candidates(own, row.data, parents, children, more)


def _parents(
    connection: Connection, own: bytes, name: bytes, key_identifier: bytes
) -> tuple[tuple[bytes, bytes], ...]:
    named_first = case((certificate.c.subject_key_identifier == key_identifier, 0), else_=1)
    rows = connection.execute(
        select(certificate.c.sha256, blob.c.data)
        .join(blob, (blob.c.hash == certificate.c.sha256) & (blob.c.kind == CERTIFICATE))
        .where(certificate.c.subject_der_hash == name, certificate.c.sha256 != own)
        .order_by(named_first, certificate.c.is_ca.desc(), certificate.c.sha256)
        .limit(PARENTS)
    )
    return tuple((row.sha256, row.data) for row in rows)


def _children(
    connection: Connection, own: bytes, name: bytes, after: bytes
) -> tuple[tuple[bytes, bytes], ...]:
    known = select(issuer_edge.c.child).where(issuer_edge.c.parent == own)
    rows = connection.execute(
        select(certificate.c.sha256, blob.c.data)
        .join(blob, (blob.c.hash == certificate.c.sha256) & (blob.c.kind == CERTIFICATE))
        .where(
            certificate.c.issuer_der_hash == name,
            certificate.c.sha256 != own,
            certificate.c.sha256 > after,
            certificate.c.sha256.not_in(known),
        )
        .order_by(certificate.c.sha256)
        .limit(CHILDREN)
    )
    return tuple((row.sha256, row.data) for row in rows)


def write_edges(connection: Connection, edges: set[tuple[bytes, bytes]], now_ms: int) -> None:
    """Insert (child, parent) pairs whose signature was verified."""
    if edges:
        rows = [
            {"child": child, "parent": parent, "verified_ms": now_ms}
            for child, parent in sorted(edges)
        ]
        connection.execute(upsert(connection, issuer_edge).on_conflict_do_nothing(), rows)
