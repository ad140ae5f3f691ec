"""Lists of certificates: order and pages of what a query means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from keycensus_collector.inventory import results
from keycensus_collector.inventory.owners import with_owners
from keycensus_collector.inventory.paging import (
    DEFAULT_LIMIT,
)
from keycensus_collector.inventory.past import Counted, counted
from keycensus_collector.inventory.places import places_of
from keycensus_collector.inventory.revocation import with_revocation
from keycensus_collector.inventory.sorting import order_of, sorted_page
from keycensus_collector.inventory.usages import NOTHING_TOLD, Told, is_told, told_of
from keycensus_collector.inventory.values import (
    certificate_name,
    lines_of,
    short_name,
    time_text,
)
from keycensus_collector.query.ask import Asked, ask
from keycensus_collector.query.model import Query
from keycensus_collector.store.schema import certificate, public_key

# Places shown with each certificate of a list; `where` has them all.
_PLACES_EACH = 50


def list_certificates(
    connection: Connection,
    query: Query,
    now_ms: int,
    *,
    limit: int = DEFAULT_LIMIT,
    cursor: str = "",
    with_places: bool = False,
    exactly: bool = False,
    sort: str = "",
) -> results.CertificatePage:
    """Return certificates by `sort` (inventory/sorting.py): those that expire first at the start, unless told.

    `exactly`: count all, however many there are.
    """
    asked = ask(connection, query, "certificates", now_ms)
    order = order_of(asked, sort, certificate, (certificate.c.sha256,))
    total, exact, found = sorted_page(
        connection,
        asked,
        order,
        [certificate.c.sha256],
        limit=limit,
        cursor=cursor,
        exactly=exactly,
    )
    page = _rows_of(connection, [row.sha256 for row in found[:limit]])
    identities = [row.sha256 for row in page]
    told = _told(connection, page) if asked.as_of_ms is None else {}
    items = [certificate_of(row, told) for row in page]
    if asked.as_of_ms is not None:
        items = _as_they_were(connection, asked, items, page)
    items = with_owners(connection, items, asked.as_of_ms)
    items = with_revocation(connection, items, now_ms, asked.as_of_ms)
    if with_places:
        spot = asked.tables.place
        places = places_of(
            connection,
            identities,
            _KINDS,
            each=_PLACES_EACH,
            spot=spot,
            as_of_ms=asked.as_of_ms,
        )
        items = [
            replace(item, places=places.get(row.sha256, []))
            for item, row in zip(items, page, strict=True)
        ]
    return results.CertificatePage(order.next_of(found, limit), total, exact, items)


_KINDS = ("certificate",)


def _told(connection: Connection, rows: Sequence[Row[Any]]) -> dict[bytes, Told]:
    """Return what usages say of the certificates that listeners can present."""
    return told_of(connection, [row.sha256 for row in rows if is_told(row)])


def _as_they_were(
    connection: Connection,
    asked: Asked,
    items: Sequence[results.Certificate],
    rows: Sequence[Row[Any]],
) -> list[results.Certificate]:
    """Return items with the counts of the day that was asked for."""
    then = counted(connection, asked.tables, [row.sha256 for row in rows], _KINDS)
    keys = counted(connection, asked.tables, [row.key_id for row in rows], ("private-key",))
    return [
        replace(
            item,
            live_places=then.get(row.sha256, Counted()).live,
            retained_places=then.get(row.sha256, Counted()).retained,
            hosts=then.get(row.sha256, Counted()).hosts,
            private_key_places=sum(keys.get(row.key_id, Counted())[:2]),
            folded=time_text(asked.as_of_ms),
        )
        for item, row in zip(items, rows, strict=True)
    ]


def _rows_of(connection: Connection, hashes: Sequence[bytes]) -> list[Row[Any]]:
    """Return the rows of certificates in the order of their hashes here."""
    rows = connection.execute(select_certificates().where(certificate.c.sha256.in_(hashes)))
    by_hash = {row.sha256: row for row in rows}
    return [by_hash[hash_] for hash_ in hashes]


def select_certificates() -> Select[*tuple[Any, ...]]:
    """Return the statement whose rows `certificate_of` takes."""
    return select(
        certificate,
        public_key.c.live_places.label("key_live"),
        public_key.c.retained_places.label("key_retained"),
    ).outerjoin(public_key, public_key.c.key_id == certificate.c.key_id)


def certificate_of(row: Row[Any], told: Mapping[bytes, Told]) -> results.Certificate:
    """Return a row of `select_certificates` as people see it.

    `told`: what usages say, by hash. They mean whom a listener presents, and not who issued it.
    """
    own = not row.is_ca or row.self_signed
    said = told.get(row.sha256, NOTHING_TOLD) if own else NOTHING_TOLD
    return results.Certificate(
        sha256=row.sha256.hex(),
        sha1=row.sha1.hex(),
        name=certificate_name(row.common_name, row.names_text, row.subject, row.sha256),
        names=lines_of(row.names_text),
        subject=row.subject,
        issuer=row.issuer,
        issuer_name=short_name(row.issuer),
        serial=row.serial,
        not_before=time_text(row.not_before_ms),
        not_after=time_text(row.not_after_ms),
        is_ca=row.is_ca,
        self_signed=row.self_signed,
        signature_algorithm=row.signature_algorithm,
        algorithm=row.algorithm,
        bits=row.bits,
        curve=row.curve,
        extended_key_usage=row.extended_key_usage.split(),
        key_id=row.key_id.hex(),
        private_key_places=(row.key_live or 0) + (row.key_retained or 0),
        line=row.line_no,
        live_places=row.live_places,
        retained_places=row.retained_places,
        hosts=row.hosts,
        problem=row.problem,
        first_seen=time_text(row.first_seen_ms),
        folded=time_text(row.folded_ms) if row.folded_ms else None,
        verdict=said.verdict,
        renewed_by=said.renewed_by,
        renewal_overdue=said.renewal_overdue,
        importance=-row.rank,
    )
