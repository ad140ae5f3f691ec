"""What the revocation worker is to look at: noted in the transaction that made it necessary."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlalchemy import Connection, delete, or_, select, update

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import certificate, revocation_list
from keycensus_collector.store.tables.revocation import (
    list_in_force,
    revocation_issuer,
    revocation_work,
)

_STAMP_BITS = 62


class Item(NamedTuple):
    """One thing to look at; `stamp` changes when it is asked for again."""

    kind: str  # "list", "certificate", "series", "forget"
    number: int
    subject: bytes
    after: bytes
    stamp: int


def note_lists(connection: Connection, lists: Iterable[bytes]) -> None:
    """Ask that revocation lists be verified and taken."""
    _put(connection, [("list", 0, sha256) for sha256 in lists])


def note_authorities(connection: Connection, certificates: Collection[bytes]) -> None:
    """Ask that lists be looked at whose issuer may be among certificates that were just read."""
    if not certificates:
        return
    waiting = (
        select(revocation_list.c.sha256)
        .join(certificate, certificate.c.subject_der_hash == revocation_list.c.issuer_der_hash)
        .where(certificate.c.sha256.in_(certificates), revocation_list.c.state == "unverified")
    )
    note_lists(connection, set(connection.execute(waiting).scalars()))


def note_statuses(connection: Connection, certificates: Collection[bytes]) -> None:
    """Ask for the status of certificates whose issuer was just verified, if any list may tell it."""
    if not certificates:
        return
    told = select(revocation_issuer.c.issuer_der_hash)
    found = connection.execute(
        select(certificate.c.sha256).where(
            certificate.c.sha256.in_(certificates),
            or_(certificate.c.issuer_der_hash.in_(told), certificate.c.crl_issuers != b""),
        )
    ).scalars()
    _put(connection, [("certificate", 0, sha256) for sha256 in found])
    signed = select(list_in_force.c.series_no).where(
        list_in_force.c.signer.in_(certificates), list_in_force.c.to_ms.is_(None)
    )
    note_series(connection, set(connection.execute(signed).scalars()))


def note_series(connection: Connection, numbers: Iterable[int]) -> None:
    """Ask for the status of every certificate that a series of lists may tell of."""
    _put(connection, [("series", number, b"") for number in numbers])


def note_forgotten(connection: Connection, lists: Iterable[int]) -> None:
    """Ask that the entries of lists be removed."""
    _put(connection, [("forget", number, b"") for number in lists])


def _put(connection: Connection, items: Iterable[tuple[str, int, bytes]]) -> None:
    ordered = sorted(items)
    statement = upsert(connection, revocation_work)
    names = ("kind", "number", "subject")
    changed = {"after": statement.excluded.after, "stamp": statement.excluded.stamp}
    statement = statement.on_conflict_do_update(index_elements=names, set_=changed)
    for chunk in chunked(ordered):
        rows = [
            dict(zip(names, each, strict=True))
            | {"after": b"", "stamp": secrets.randbits(_STAMP_BITS)}
            for each in chunk
        ]
        connection.execute(statement, rows)


def take(connection: Connection, kind: str, limit: int) -> list[Item]:
    """Return what is to be done of one kind."""
    rows = connection.execute(
        select(revocation_work)
        .where(revocation_work.c.kind == kind)
        .order_by(revocation_work.c.number, revocation_work.c.subject)
        .limit(limit)
    )
    return [Item(row.kind, row.number, row.subject, row.after, row.stamp) for row in rows]


def done(connection: Connection, items: Iterable[Item]) -> None:
    """Strike out what was done, but for what was asked for again meanwhile."""
    stamps = [item.stamp for item in items]
    for chunk in chunked(stamps):
        connection.execute(
            delete(revocation_work).where(
                revocation_work.c.kind.in_({item.kind for item in items}),
                revocation_work.c.stamp.in_(chunk),
            )
        )


def go_on(connection: Connection, item: Item, after: bytes) -> None:
    """Note how far a series has been gone through, unless it was asked for again meanwhile."""
    connection.execute(
        update(revocation_work)
        .where(revocation_work.c.kind == item.kind, revocation_work.c.stamp == item.stamp)
        .values(after=after)
    )
