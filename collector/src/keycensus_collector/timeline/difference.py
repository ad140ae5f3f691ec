"""What differs between two dates in what a query lists: come, gone, changed.

Both sides are the query itself, asked as of each date, so a difference and two lists agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Row, select

from keycensus_collector.errors import UsageError
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.inventory.past import Counted, counted
from keycensus_collector.inventory.revocation import statuses_of
from keycensus_collector.inventory.values import certificate_name, time_text
from keycensus_collector.query.ask import Asked, ask
from keycensus_collector.query.model import Query
from keycensus_collector.store.schema import certificate, gap, host, place, public_key

# Rows of one side that are held against each other; more are to be asked for in parts.
MOST_ROWS = 50_000
# Of what stands at more places, such as an authority, counts are not held against each other.
MOST_PLACES = 1_000
# Shown of each kind of difference; the totals are of all.
SHOWN = 1_000
_PRIVATE = ("private-key", "sealed-key", "sealed-container")
_COMPARED = (
    "manifest",
    "status",
    "mode",
    "owner",
    "group",
    "role",
    "use",
    "readable_by",
    "package",
)


@dataclass(frozen=True, slots=True)
class Differing:
    """One thing that differs. `detail`: of what changed, from what to what."""

    id: str
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What came, went and changed from one moment to another; at most 1,000 shown of each."""

    since: str | None
    until: str | None
    came_total: int
    gone_total: int
    changed_total: int
    came: list[Differing]
    gone: list[Differing]
    changed: list[Differing]


def difference(
    connection: Connection, query: Query, target: str, days: tuple[str, str], now_ms: int
) -> Difference:
    """Return what differs; UsageError if the days are not in order or too much is asked for."""
    sides = [_Side(connection, query, target, day, now_ms) for day in days]
    first, second = sides
    if first.moment_ms >= second.moment_ms:
        raise UsageError(f"{days[0]} is not before {days[1]}: the earlier date comes first")
    came, gone = (
        sorted(second.states.keys() - first.states.keys()),
        sorted(first.states.keys() - second.states.keys()),
    )
    changed = [
        key
        for key in sorted(first.states.keys() & second.states.keys())
        if first.states[key] != second.states[key]
    ]
    shown = {*came[:SHOWN], *gone[:SHOWN], *changed[:SHOWN]}
    names = _NAMES[target](connection, sorted(shown))

    def told(keys: Sequence[Any], *, both: bool = False) -> list[Differing]:
        return [
            Differing(
                *names.get(key, ("", "")),
                _what(first.states[key], second.states[key]) if both else "",
            )
            for key in keys[:SHOWN]
        ]

    return Difference(
        since=time_text(first.moment_ms),
        until=time_text(second.moment_ms),
        came_total=len(came),
        gone_total=len(gone),
        changed_total=len(changed),
        came=told(came),
        gone=told(gone),
        changed=told(changed, both=True),
    )


State = tuple[tuple[str, str], ...]  # what of a thing is compared: a word and its value


class _Side:
    """What the query lists on one day: each identity with what is compared of it."""

    def __init__(
        self, connection: Connection, query: Query, target: str, day: str, now_ms: int
    ) -> None:
        if query.as_of:
            raise UsageError("a difference has two dates of its own: leave as-of: out of the query")
        self.states: dict[Any, State] = {}
        self.moment_ms = now_ms
        for sealed in (False, True) if target == "keys" else (False,):
            asked = ask(connection, replace(query, as_of=day), target, now_ms, sealed=sealed)
            self.moment_ms = now_ms if asked.as_of_ms is None else asked.as_of_ms
            self.states |= _STATES[target](connection, asked)
        _check_number(len(self.states), target)


def _check_number(number: int, target: str) -> None:
    if number > MOST_ROWS:
        raise UsageError(
            f"more than {MOST_ROWS:,} {target} are asked for: narrow the query, as to some hosts"
        )


def _what(before: State, after: State) -> str:
    was = dict(before)
    return ", ".join(
        "content" if word == "manifest" else f"{word} {was.get(word, '') or '-'} to {value or '-'}"
        for word, value in after
        if was.get(word, "") != value
    )


def _artifacts(
    connection: Connection, asked: Asked, column: ColumnElement[Any], kinds: Sequence[str]
) -> dict[Any, State]:
    found = select(column).where(asked.condition).limit(MOST_ROWS + 1)
    identities = sorted(connection.execute(found).scalars())
    _check_number(len(identities), asked.bindings.target)  # before each is counted
    states: dict[Any, State] = dict.fromkeys(identities, ())
    few = _at_few_places(connection, asked.own, column, identities)
    for chunk in chunked(few):
        counts = counted(connection, asked.tables, chunk, kinds)
        for identity in chunk:
            live, retained, hosts = counts.get(identity, Counted())
            states[identity] = (
                ("live places", str(live)),
                ("retained places", str(retained)),
                ("hosts", str(hosts)),
            )
    return states


def _at_few_places(
    connection: Connection, own: FromClause, column: ColumnElement[Any], identities: Sequence[Any]
) -> list[Any]:
    """Return which of them stand at no more than `MOST_PLACES` places now: on both sides the same."""
    places = own.c.live_places + own.c.retained_places
    many: set[Any] = set()
    for chunk in chunked(identities):
        found = select(column).where(column.in_(chunk), places > MOST_PLACES)
        many |= set(connection.execute(found).scalars())
    return [identity for identity in identities if identity not in many]


def _certificates(connection: Connection, asked: Asked) -> dict[Any, State]:
    states = _artifacts(connection, asked, asked.tables.certificate.c.sha256, ("certificate",))
    said = statuses_of(connection, list(states), asked.as_of_ms)
    return {
        identity: (*state, ("revoked", "yes" if _is_revoked(said.get(identity)) else "no"))
        for identity, state in states.items()
    }


def _is_revoked(row: Row[Any] | None) -> bool:
    return row is not None and row.status == "revoked"


def _keys(connection: Connection, asked: Asked) -> dict[Any, State]:
    return _artifacts(connection, asked, asked.tables.key.c.key_id, _PRIVATE)


def _places(connection: Connection, asked: Asked) -> dict[Any, State]:
    spot = asked.tables.place.c
    columns = [spot[name] for name in _COMPARED]
    rows = connection.execute(
        select(spot.place_no, *columns).where(asked.condition).limit(MOST_ROWS + 1)
    )
    return {row[0]: tuple(zip(_COMPARED, map(_shown, row[1:]), strict=True)) for row in rows}


def _shown(value: object) -> str:
    if isinstance(value, int):
        return f"{value & 0o7777:04o}"
    return value.hex() if isinstance(value, bytes) else str(value)


def _hosts(connection: Connection, asked: Asked) -> dict[Any, State]:
    found = select(asked.tables.host.c.host_no).where(asked.condition).limit(MOST_ROWS + 1)
    return dict.fromkeys(connection.execute(found).scalars(), ())


def _gaps(connection: Connection, asked: Asked) -> dict[Any, State]:
    """Return gaps by host and what they are known by there: one that comes again is the same."""
    there = asked.tables.gap.c
    rows = connection.execute(
        select(there.host_no, there.key, there.reason, there.detail)
        .where(asked.condition)
        .limit(MOST_ROWS + 1)
    )
    return {(row.host_no, row.key): (("why", row.reason), ("detail", row.detail)) for row in rows}


def _name_certificates(connection: Connection, keys: Sequence[Any]) -> dict[Any, tuple[str, str]]:
    names: dict[Any, tuple[str, str]] = {}
    c = certificate.c
    for chunk in chunked(keys):
        rows = connection.execute(
            select(c.sha256, c.common_name, c.names_text, c.subject).where(c.sha256.in_(chunk))
        )
        for row in rows:
            names[row[0]] = row[0].hex(), certificate_name(row[1], row[2], row[3], row[0])
    return names


def _name_keys(connection: Connection, keys: Sequence[Any]) -> dict[Any, tuple[str, str]]:
    names = {key: (key.hex(), "sealed") for key in keys}
    for chunk in chunked(keys):
        rows = connection.execute(
            select(public_key.c.key_id, public_key.c.algorithm, public_key.c.bits).where(
                public_key.c.key_id.in_(chunk)
            )
        )
        names |= {row[0]: (row[0].hex(), f"{row[1]} {row[2] or ''}".strip()) for row in rows}
    return names


def _name_places(connection: Connection, keys: Sequence[Any]) -> dict[Any, tuple[str, str]]:
    names: dict[Any, tuple[str, str]] = {}
    for chunk in chunked(keys):
        rows = connection.execute(
            select(place.c.place_no, host.c.host_id, host.c.name, place.c.path)
            .join(host, host.c.host_no == place.c.host_no)
            .where(place.c.place_no.in_(chunk))
        )
        names |= {row[0]: (row[1], f"{row[2]}:{row[3]}") for row in rows}
    return names


def _name_hosts(connection: Connection, keys: Sequence[Any]) -> dict[Any, tuple[str, str]]:
    names: dict[Any, tuple[str, str]] = {}
    for chunk in chunked(keys):
        rows = connection.execute(
            select(host.c.host_no, host.c.host_id, host.c.name).where(host.c.host_no.in_(chunk))
        )
        names |= {row[0]: (row[1], row[2]) for row in rows}
    return names


def _name_gaps(connection: Connection, keys: Sequence[Any]) -> dict[Any, tuple[str, str]]:
    names: dict[Any, tuple[str, str]] = {}
    for chunk in chunked([key for _, key in keys]):
        rows = connection.execute(
            select(gap.c.host_no, gap.c.key, host.c.host_id, host.c.name, gap.c.prefix)
            .join(host, host.c.host_no == gap.c.host_no)
            .where(gap.c.key.in_(chunk))
        )
        names |= {(row[0], row[1]): (row[2], f"{row[3]}:{row[4]}") for row in rows}
    return names


_STATES = {
    "certificates": _certificates,
    "keys": _keys,
    "places": _places,
    "hosts": _hosts,
    "gaps": _gaps,
}
_NAMES = {
    "certificates": _name_certificates,
    "keys": _name_keys,
    "places": _name_places,
    "hosts": _name_hosts,
    "gaps": _name_gaps,
}
