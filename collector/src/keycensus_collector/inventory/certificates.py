"""Lists of certificates: order and pages of what a query means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select

from keycensus_collector.inventory import results
from keycensus_collector.inventory.owners import with_owners
from keycensus_collector.inventory.paging import (
    DEFAULT_LIMIT,
    Key,
    count_up_to,
    decode_cursor,
    encode_cursor,
    first_page,
    hash_in,
)
from keycensus_collector.inventory.past import Counted, counted
from keycensus_collector.inventory.places import places_of
from keycensus_collector.inventory.revocation import with_revocation
from keycensus_collector.inventory.usages import NOTHING_TOLD, Told, told_of
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
    by_importance: bool = False,
) -> results.CertificatePage:
    """Return certificates in the order in which they expire; those without a readable end last.

    `by_importance`: the most important first, and of those what expires first.

    `exactly`: count all, however many there are.
    """
    asked = ask(connection, query, "certificates", now_ms)
    statement = select(certificate.c.sha256, certificate.c.not_after_ms)
    statement = statement.where(asked.condition if exactly else asked.counted)
    rows: list[Row[Any]] | None = None
    if cursor or exactly or by_importance:
        total, exact = count_up_to(connection, statement, asked.most, exactly=exactly)
    else:
        total, exact, first = first_page(connection, statement, _ORDER, limit + 1, asked.most)
        rows = None if first is None else _rows_of(connection, [row.sha256 for row in first])
    if rows is None and by_importance:
        after = decode_cursor(cursor, 3) if cursor else None
        rows = _rows_by_importance(connection, asked.condition, after, limit + 1)
    elif rows is None:
        after = decode_cursor(cursor, 2) if cursor else None
        rows = _rows(connection, asked.condition, after, limit + 1)
    page = rows[:limit]
    identities = [row.sha256 for row in page]
    told = _told(connection, page) if asked.as_of_ms is None else {}
    items = [certificate_of(row, told) for row in page]
    if asked.as_of_ms is not None:
        items = _as_they_were(connection, asked, items, page)
    items = with_owners(connection, items, asked.as_of_ms)
    items = with_revocation(connection, items, now_ms, asked.as_of_ms)
    if with_places:
        spot = asked.tables.place
        found = places_of(
            connection,
            identities,
            _KINDS,
            each=_PLACES_EACH,
            spot=spot,
            as_of_ms=asked.as_of_ms,
        )
        items = [
            replace(item, places=found.get(row.sha256, []))
            for item, row in zip(items, page, strict=True)
        ]
    next_ = None
    if len(rows) > limit:
        last = page[-1]
        position = [last.not_after_ms, last.sha256.hex()]
        next_ = encode_cursor([last.rank, *position] if by_importance else position)
    return results.CertificatePage(next_, total, exact, items)


_KINDS = ("certificate",)
_ORDER = ("not_after_ms", "sha256")
# An authority that every host has is used by nobody in particular; asking each of its places takes seconds.
_MOST_PLACES_TOLD = 1_000


def _told(connection: Connection, rows: Sequence[Row[Any]]) -> dict[bytes, Told]:
    """Return what usages say of the certificates that listeners can present."""
    return told_of(
        connection,
        [
            row.sha256
            for row in rows
            if (not row.is_ca or row.self_signed)
            and row.live_places + row.retained_places <= _MOST_PLACES_TOLD
        ],
    )


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


def _rows(
    connection: Connection, condition: ColumnElement[bool], after: Key | None, limit: int
) -> list[Row[Any]]:
    """Return dated certificates first, then those without an end: each in the order of an index."""
    end, hash_ = certificate.c.not_after_ms, certificate.c.sha256
    dated: list[ColumnElement[bool]] = [end.is_not(None)]
    undated: list[ColumnElement[bool]] = [end.is_(None)]
    rows: list[Row[Any]] = []
    if after is not None and after[0] is None:
        undated.append(hash_ > hash_in(after[1]))
    else:
        if after is not None:
            same = and_(end == after[0], hash_ > hash_in(after[1]))
            dated.append(and_(end >= after[0], or_(end > after[0], same)))
        statement = select_certificates().where(condition, *dated)
        rows = list(connection.execute(statement.order_by(end, hash_).limit(limit)))
    if len(rows) < limit:
        statement = select_certificates().where(condition, *undated)
        rows += connection.execute(statement.order_by(hash_).limit(limit - len(rows)))
    return rows


def _rows_by_importance(
    connection: Connection, condition: ColumnElement[bool], after: Key | None, limit: int
) -> list[Row[Any]]:
    """Return dated certificates in the order of their importance, then those without an end."""
    rank, end, hash_ = certificate.c.rank, certificate.c.not_after_ms, certificate.c.sha256
    if after is not None and after[1] is None:
        return _rows(connection, condition, after[1:], limit)
    dated = [condition, end.is_not(None)]
    if after is not None:
        later = or_(end > after[1], and_(end == after[1], hash_ > hash_in(after[2])))
        dated += [rank >= after[0], or_(rank > after[0], later)]
    statement = select_certificates().where(*dated).order_by(rank, end, hash_)
    rows = list(connection.execute(statement.limit(limit)))
    if len(rows) < limit:
        undated = select_certificates().where(condition, end.is_(None)).order_by(hash_)
        rows += connection.execute(undated.limit(limit - len(rows)))
    return rows


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
