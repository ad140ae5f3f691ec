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
    Subquery,
    exists,
    func,
    literal,
    select,
    union_all,
)

from keycensus_collector.inventory import results
from keycensus_collector.inventory.known_keys import known_key
from keycensus_collector.inventory.paging import (
    DEFAULT_LIMIT,
    count_up_to,
    decode_cursor,
    encode_cursor,
    hash_in,
)
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
from keycensus_collector.store.schema import certificate, holding, manifest_entry, public_key

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


def list_keys(
    connection: Connection, wanted: KeyFilter, *, limit: int = DEFAULT_LIMIT, cursor: str = ""
) -> results.KeyPage:
    """Return keys in the order of their identities."""
    keys = _keys()
    statement = select(keys).where(*_conditions(connection, keys, wanted))
    total, exact = count_up_to(connection, statement)
    if cursor:
        statement = statement.where(keys.c.id > hash_in(decode_cursor(cursor, 1)[0]))
    rows = list(connection.execute(statement.order_by(keys.c.id, keys.c.kind).limit(limit + 1)))
    page = rows[:limit]
    next_ = encode_cursor([page[-1].id.hex()]) if len(rows) > limit else None
    return results.KeyPage(next_, total, exact, keys_of(connection, page))


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


def keys_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[results.Key]:
    """Return rows of keys as people see them, with some of their places and certificates."""
    identities = [row.id for row in rows]
    places = places_of(connection, identities, PRIVATE_KINDS, each=_PLACES_EACH)
    names = _certificate_names(connection, identities)
    return [
        results.Key(
            id=row.id.hex(),
            kind=row.kind,
            algorithm=row.algorithm,
            bits=row.bits,
            curve=row.curve,
            live_places=row.live,
            retained_places=row.retained,
            hosts=row.hosts,
            certificates=names[row.id],
            problem=row.problem,
            places=[place for place in places.get(row.id, []) if row.kind in place.kinds],
            known_key=known_key(row.id),
        )
        for row in rows
    ]


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
