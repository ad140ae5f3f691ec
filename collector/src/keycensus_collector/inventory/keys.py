"""Lists of private keys: those whose public half is known, and sealed ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Subquery,
    exists,
    func,
    literal,
    select,
    union_all,
)

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
from keycensus_collector.inventory.places import (
    PRIVATE_KINDS,
    artifacts_at,
    group_readable,
    place_conditions,
    places_of,
    uses,
    world_readable,
)
from keycensus_collector.inventory.values import certificate_name
from keycensus_collector.query.ask import Asked, ask
from keycensus_collector.query.model import EVERYTHING, Query
from keycensus_collector.query.relations import Tables
from keycensus_collector.store.schema import (
    certificate,
    holding,
    manifest_entry,
    place,
    public_key,
)

STATUSES = ("live", "retained", "any")
READABLE_BY = ("world", "group")
_SEALED = ("sealed-key", "sealed-container")
# Places and certificate names shown with each key of a list; `show` has them all.
_PLACES_EACH = 20
_NAMES_EACH = 5


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Which private keys are meant. Empty text and None are no condition.

    `host`, `path`, `readable_by`, `encrypted` and a status of live or retained bind to one place.
    """

    without_certificate: bool = False
    readable_by: str = ""
    host: str = ""
    path: str = ""
    algorithm: str = ""
    encrypted: bool | None = None
    sealed: bool | None = None
    status: str = "live"
    query: Query = EVERYTHING


def list_keys(
    connection: Connection,
    wanted: KeyFilter,
    now_ms: int = 0,
    *,
    limit: int = DEFAULT_LIMIT,
    cursor: str = "",
    exactly: bool = False,
) -> results.KeyPage:
    """Return keys in the order of their identities. `exactly`: count all, however many there are."""
    keys, tables = _keys(), None
    halves: list[Asked] = []
    if wanted.query != EVERYTHING:
        halves = [
            ask(connection, wanted.query, "keys", now_ms, sealed=sealed) for sealed in (False, True)
        ]
        tables = halves[0].tables if halves[0].as_of_ms is not None else None
        keys = union_all(*(half.key_columns() for half in halves)).subquery("keys")
    is_query = bool(halves) and wanted == KeyFilter(status="any", query=wanted.query)
    statement = select(keys).where(*_conditions(connection, keys, wanted))
    to_count = statement
    if is_query and not exactly:
        to_count = select(
            union_all(*(half.key_columns(half.counted) for half in halves)).subquery("keys")
        )
    rows: Sequence[Row[Any]] | None = None
    if cursor or exactly:
        total, exact = count_up_to(connection, to_count, exactly=exactly)
    else:
        total, exact, rows = first_page(connection, to_count, ("id", "kind"), limit + 1)
    if rows is None:
        after = hash_in(decode_cursor(cursor, 1)[0]) if cursor else b""
        if is_query:
            # Each half in the order of its index: together they would be sorted.
            starts = (half.key_columns() for half in halves)
            ordered = (_page(start, start.selected_columns.id, after, limit) for start in starts)
            keys = union_all(*(select(page.subquery()) for page in ordered)).subquery("keys")
            statement = select(keys)
        rows = connection.execute(
            _page(statement, keys.c.id, after, limit).order_by(keys.c.kind)
        ).all()
    page = rows[:limit]
    next_ = encode_cursor([page[-1].id.hex()]) if len(rows) > limit else None
    return results.KeyPage(next_, total, exact, keys_of(connection, page, tables))


def count_keys(connection: Connection, wanted: KeyFilter) -> int:
    """Return how many keys the list has."""
    keys = _keys()
    listed = select(keys.c.id).where(*_conditions(connection, keys, wanted)).subquery()
    return connection.execute(select(func.count()).select_from(listed)).scalar_one()


def find_key(connection: Connection, identity: bytes, kinds: Sequence[str]) -> results.Key | None:
    """Return one private key; None if its private half stands nowhere."""
    keys = _keys()
    rows = connection.execute(
        select(keys).where(keys.c.id == identity, keys.c.kind.in_(kinds))
    ).all()
    return next(iter(keys_of(connection, rows)), None)


def _keys() -> Subquery:
    """Return all private keys with the columns that `keys_of` takes."""
    paired = select(
        public_key.c.key_id.label("id"),
        literal("private-key").label("kind"),
        public_key.c.algorithm,
        public_key.c.bits,
        public_key.c.curve,
        public_key.c.live_places.label("live"),
        public_key.c.retained_places.label("retained"),
        public_key.c.hosts,
        public_key.c.problem,
    ).where(public_key.c.live_places + public_key.c.retained_places > 0)
    sealed = (
        select(
            holding.c.artifact,
            holding.c.kind,
            literal(""),
            literal(0),
            literal(""),
            func.sum(holding.c.live),
            func.sum(holding.c.retained),
            func.count(),
            literal(""),
        )
        .where(holding.c.kind.in_(_SEALED))
        .group_by(holding.c.artifact, holding.c.kind)
    )
    return union_all(paired, sealed).subquery("keys")


def _page(
    statement: Select[Any], identity: ColumnElement[bytes], after: bytes, limit: int
) -> Select[Any]:
    """Return the rows of one page, and one more if there is one."""
    return statement.where(identity > after).order_by(identity).limit(limit + 1)


def _conditions(
    connection: Connection, keys: Subquery, wanted: KeyFilter
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.status == "live":
        conditions.append(keys.c.live > 0)
    elif wanted.status == "retained":
        conditions += [keys.c.live == 0, keys.c.retained > 0]
    if wanted.algorithm:
        conditions.append(keys.c.algorithm == wanted.algorithm.lower())
    if wanted.sealed is not None:
        conditions.append(
            keys.c.kind.in_(_SEALED) if wanted.sealed else keys.c.kind.not_in(_SEALED)
        )
    if wanted.without_certificate:
        certified = exists().where(
            certificate.c.key_id == keys.c.id,
            certificate.c.live_places + certificate.c.retained_places > 0,
        )
        # Whether a sealed key has a certificate nobody can know.
        conditions += [keys.c.kind == "private-key", ~certified]
    at = place_conditions(connection, host_name=wanted.host, path=wanted.path)
    if wanted.readable_by:
        at.append(world_readable() if wanted.readable_by == "world" else group_readable())
    of: list[ColumnElement[bool]] = [manifest_entry.c.kind.in_(PRIVATE_KINDS)]
    if wanted.encrypted is not None:
        # A sealed key is encrypted by being sealed, whatever its entry says.
        sealed = manifest_entry.c.kind.in_(_SEALED)
        encrypted = manifest_entry.c.encrypted.is_(True) | sealed
        of.append(encrypted if wanted.encrypted else ~encrypted)
    if at or wanted.encrypted is not None:
        conditions.append(keys.c.id.in_(artifacts_at(of, [*at, *uses(wanted.status)])))
    return conditions


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
