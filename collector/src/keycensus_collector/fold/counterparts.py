"""Which certificates have a private key somewhere and a known issuer, and which keys a certificate.

Kept in the rows, so that those without one are found in an index: nearly all have one, and to ask for
each would take a look per certificate of the fleet. Written by the fold when something came to a place
or went from its last one, by the catalogue when a certificate was read or a signature verified, and
when blobs are collected.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, exists, or_, select, update

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.store.schema import certificate, issuer_edge, public_key

_KEY_STANDS: ColumnElement[bool] = exists().where(
    public_key.c.key_id == certificate.c.key_id,
    public_key.c.live_places + public_key.c.retained_places > 0,
)
_ISSUER_STANDS: ColumnElement[bool] = or_(
    certificate.c.self_signed.is_(True),
    exists().where(issuer_edge.c.child == certificate.c.sha256),
)
_CERTIFICATE_STANDS: ColumnElement[bool] = exists().where(
    certificate.c.key_id == public_key.c.key_id,
    certificate.c.live_places + certificate.c.retained_places > 0,
)


def note_counterparts(
    connection: Connection, certificates: Iterable[bytes], keys: Iterable[bytes]
) -> None:
    """Look whether these certificates have a key and these keys a certificate, both ways."""
    for chunk in chunked(list(certificates)):
        own = certificate.c.sha256.in_(chunk)
        of = select(certificate.c.key_id).where(own, certificate.c.key_id != b"")
        _note_certified(connection, public_key.c.key_id.in_(of))
        _note_key_found(connection, own)
    for chunk in chunked(list(keys)):
        _note_certified(connection, public_key.c.key_id.in_(chunk))
        _note_key_found(connection, certificate.c.key_id.in_(chunk))


def note_found(connection: Connection, certificates: Iterable[bytes]) -> None:
    """Look whether these certificates, which were just read, have a key and an issuer."""
    for chunk in chunked(list(certificates)):
        _note_key_found(connection, certificate.c.sha256.in_(chunk))
    note_issuers(connection, certificates)


def note_issuers(connection: Connection, certificates: Iterable[bytes]) -> None:
    """Look whether the issuers of these certificates are known."""
    for chunk in chunked(list(certificates)):
        connection.execute(
            update(certificate)
            .where(certificate.c.sha256.in_(chunk), certificate.c.issuer_found != _ISSUER_STANDS)
            .values(issuer_found=_ISSUER_STANDS)
        )


def _note_certified(connection: Connection, which: ColumnElement[bool]) -> None:
    """Write only what has changed: nearly nothing has."""
    connection.execute(
        update(public_key)
        .where(which, public_key.c.certified != _CERTIFICATE_STANDS)
        .values(certified=_CERTIFICATE_STANDS)
    )


def _note_key_found(connection: Connection, which: ColumnElement[bool]) -> None:
    connection.execute(
        update(certificate)
        .where(which, certificate.c.key_found != _KEY_STANDS)
        .values(key_found=_KEY_STANDS)
    )
