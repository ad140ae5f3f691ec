"""Lists of private keys: those whose public half is known, and sealed ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select, union_all

from keycensus_collector.inventory import results
from keycensus_collector.inventory.known_keys import known_key
from keycensus_collector.inventory.owners import with_owners
from keycensus_collector.inventory.paging import (
    DEFAULT_LIMIT,
    count_up_to,
    decode_cursor,
    encode_cursor,
    first_page,
    hash_in,
)
from keycensus_collector.inventory.past import Counted, counted
from keycensus_collector.inventory.places import PRIVATE_KINDS, places_of
from keycensus_collector.inventory.values import certificate_name
from keycensus_collector.query.ask import ask
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
) -> results.KeyPage:
    """Return keys in the order of their identities. `exactly`: count all, however many there are."""
    halves = [ask(connection, query, "keys", now_ms, sealed=sealed) for sealed in (False, True)]
    tables = halves[0].tables if halves[0].as_of_ms is not None else None
    most = min(half.most for half in halves)
    to_count = select(
        union_all(
            *(half.key_columns(half.condition if exactly else half.counted) for half in halves)
        ).subquery("keys")
    )
    rows: Sequence[Row[Any]] | None = None
    if cursor or exactly:
        total, exact = count_up_to(connection, to_count, most, exactly=exactly)
    else:
        total, exact, rows = first_page(connection, to_count, ("id", "kind"), limit + 1, most)
    if rows is None:
        after = hash_in(decode_cursor(cursor, 1)[0]) if cursor else b""
        # Each half in the order of its index: together they would be sorted.
        starts = (half.key_columns() for half in halves)
        ordered = (_page(start, start.selected_columns.id, after, limit) for start in starts)
        keys = union_all(*(select(page.subquery()) for page in ordered)).subquery("keys")
        rows = connection.execute(
            _page(select(keys), keys.c.id, after, limit).order_by(keys.c.kind)
        ).all()
    page = rows[:limit]
    next_ = encode_cursor([page[-1].id.hex()]) if len(rows) > limit else None
    return results.KeyPage(next_, total, exact, keys_of(connection, page, tables))


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


def _page(
    statement: Select[Any], identity: ColumnElement[bytes], after: bytes, limit: int
) -> Select[Any]:
    """Return the rows of one page, and one more if there is one."""
    return statement.where(identity > after).order_by(identity).limit(limit + 1)


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
