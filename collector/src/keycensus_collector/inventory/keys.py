"""Lists of private keys: those whose public half is known, and sealed ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, FromClause, Row, select, union_all

from keycensus_collector.inventory import results
from keycensus_collector.inventory.known_keys import known_key
from keycensus_collector.inventory.owners import with_owners
from keycensus_collector.inventory.paging import DEFAULT_LIMIT
from keycensus_collector.inventory.past import Counted, counted
from keycensus_collector.inventory.places import PRIVATE_KINDS, places_of
from keycensus_collector.inventory.sorting import Order, counted_rows, order_of
from keycensus_collector.inventory.values import certificate_name
from keycensus_collector.query.ask import Asked, ask
from keycensus_collector.query.model import Query, Term, both
from keycensus_collector.query.relations import Tables
from keycensus_collector.store.schema import certificate, place

# Places and certificate names shown with each key of a list; `show` has them all.
_PLACES_EACH = 20
_NAMES_EACH = 5


def list_keys(
    connection: Connection,
    query: Query,
    now_ms: int,
    *,
    limit: int = DEFAULT_LIMIT,
    cursor: str = "",
    exactly: bool = False,
    sort: str = "",
) -> results.KeyPage:
    """Return keys in the order of their identities, or by `sort`. `exactly`: count all, however many there are."""
    halves = [ask(connection, query, "keys", now_ms, sealed=sealed) for sealed in (False, True)]
    fewest = min(halves, key=lambda half: (not half.are_more, half.most))
    tables = halves[0].tables if halves[0].as_of_ms is not None else None
    to_count = union_all(
        *(half.key_columns(half.condition if exactly else half.counted) for half in halves)
    ).subquery("keys")
    order = _order(halves[0], sort, to_count)
    total, exact, rows = counted_rows(
        connection,
        order,
        select(to_count, *order.columns),
        fewest,
        limit=limit,
        cursor=cursor,
        exactly=exactly,
    )
    if rows is None:
        # Each half in its own order, which of identities an index has: together they would be sorted.
        pages = []
        for half in halves:
            columns = half.key_columns().subquery()
            own = _order(half, sort, columns)
            pages.append(own.statement(select(columns), cursor, limit + 1))
        keys = union_all(*(select(page.subquery()) for page in pages)).subquery("keys")
        order = _order(halves[0], sort, keys)
        rows = order.rows(connection, select(keys, *order.columns), cursor, limit + 1)
    page = rows[:limit]
    return results.KeyPage(
        order.next_of(rows, limit), total, exact, keys_of(connection, page, tables)
    )


def _order(asked: Asked, sort: str, keys: FromClause) -> Order:
    return order_of(asked, sort, keys, (keys.c.id, keys.c.kind))


def find_key(connection: Connection, identity: bytes, kinds: Sequence[str]) -> results.Key | None:
    """Return one private key; None if its private half stands nowhere."""
    term = Term("key-id", ":", identity.hex())
    for sealed in (False, True):
        query = Query(both(term, *_WHEREVER))
        rows = connection.execute(ask(connection, query, "keys", 0, sealed=sealed).key_columns())
        found = [row for row in rows if row.kind in kinds]
        if found:
            return keys_of(connection, found[:1])[0]
    return None


_WHEREVER = (Term("use", ":", "any"), Term("role", ":", "any"))


def keys_of(
    connection: Connection, rows: Sequence[Row[Any]], tables: Tables | None = None
) -> list[results.Key]:
    """Return rows of keys as people see them, with some of their places and certificates.

    `tables`: those of a past day, for places and counts of that day.
    """
    identities = [row.id for row in rows]
    spot = place if tables is None else tables.place
    as_of_ms = None if tables is None else tables.as_of_ms
    places = places_of(
        connection, identities, PRIVATE_KINDS, each=_PLACES_EACH, spot=spot, as_of_ms=as_of_ms
    )
    names = _certificate_names(connection, identities)
    then = {} if tables is None else counted(connection, tables, identities, PRIVATE_KINDS)
    counts = {row.id: then.get(row.id, Counted()) for row in rows}
    if tables is None:
        counts = {row.id: Counted(row.live, row.retained, row.hosts) for row in rows}
    keys = [
        results.Key(
            id=row.id.hex(),
            kind=row.kind,
            algorithm=row.algorithm,
            bits=row.bits,
            curve=row.curve,
            live_places=counts[row.id].live,
            retained_places=counts[row.id].retained,
            hosts=counts[row.id].hosts,
            certificates=names[row.id],
            problem=row.problem,
            places=[found for found in places.get(row.id, []) if row.kind in found.kinds],
            known_key=known_key(row.id),
        )
        for row in rows
    ]
    return with_owners(connection, keys, as_of_ms)


def _certificate_names(
    connection: Connection, identities: Iterable[bytes]
) -> dict[bytes, list[str]]:
    rows = connection.execute(
        select(
            certificate.c.key_id,
            certificate.c.common_name,
            certificate.c.names_text,
            certificate.c.subject,
            certificate.c.sha256,
        )
        .where(
            certificate.c.key_id.in_(list(identities)),
            certificate.c.live_places + certificate.c.retained_places > 0,
        )
        .order_by(certificate.c.live_places == 0, certificate.c.not_after_ms.desc())
    )
    names: dict[bytes, list[str]] = defaultdict(list)
    for row in rows:
        name = certificate_name(row.common_name, row.names_text, row.subject, row.sha256)
        if name not in names[row.key_id] and len(names[row.key_id]) < _NAMES_EACH:
            names[row.key_id].append(name)
    return names
