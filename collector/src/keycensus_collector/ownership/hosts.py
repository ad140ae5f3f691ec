"""The owners of hosts and of their places, worked out for a few hosts at a time; read, then written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from keycensus_collector.ownership import queue
from keycensus_collector.ownership.resolve import Said, own_row_of_place
from keycensus_collector.ownership.rows import Changes
from keycensus_collector.store.schema import place
from keycensus_collector.store.tables.ownership import (
    host_owner,
    owner_assignment,
    place_owner,
)

_COLUMNS = ("team_no", "how", "source_no")


@dataclass(slots=True)
class Plan:
    """What changes for some hosts, and the certificates and keys whose owners may follow."""

    hosts: Changes = field(default_factory=lambda: Changes(host_owner))
    places: Changes = field(default_factory=lambda: Changes(place_owner))
    artifacts: set[tuple[int, bytes]] = field(default_factory=set)


def plan(
    connection: Connection,
    hosts: Sequence[int],
    host_rules: Mapping[int, Said],
    place_rules: Mapping[int, Said],
) -> Plan:
    """Work out the owners of these hosts and their places, from what rules say of them."""
    made = Plan()
    explicit = _given(connection, "host", hosts)
    wanted = {
        number: said for number in hosts if (said := explicit.get(number) or host_rules.get(number))
    }
    rows = connection.execute(
        select(host_owner).where(host_owner.c.host_no.in_(hosts), host_owner.c.to_ms.is_(None))
    )
    now = {row.host_no: (row.host_owner_no, (row.team_no, row.how, row.source_no)) for row in rows}
    changed = made.hosts.compare(now, _values(wanted), _COLUMNS, ("host_no",))
    places = _places(connection, made, hosts, place_rules, explicit)
    made.artifacts = _affected(connection, changed, places)
    return made


def write(connection: Connection, made: Plan, now_ms: int) -> None:
    """Write what a plan changes, and ask for what follows from it."""
    made.hosts.write(connection, now_ms)
    made.places.write(connection, now_ms)
    queue.put_artifacts(connection, made.artifacts)


def _values(said: Mapping[int, Said]) -> dict[object, tuple[object, ...]]:
    return {key: (each.team_no, each.how, each.source_no) for key, each in said.items()}


def _places(
    connection: Connection,
    made: Plan,
    hosts: Sequence[int],
    rules: Mapping[int, Said],
    host_explicit: Mapping[int, Said],
) -> set[object]:
    """Compare the own rows of places on these hosts; return the places that change."""
    given = owner_assignment.c
    explicit = {
        row.number: Said(row.team_no, "explicit", row.assignment_no)
        for row in connection.execute(
            select(given.number, given.team_no, given.assignment_no)
            .join(place, place.c.place_no == given.number)
            .where(given.scope == "place", given.to_ms.is_(None), place.c.host_no.in_(hosts))
        )
    }
    numbers = sorted({*explicit, *rules})
    on_host = {
        row.place_no: row.host_no
        for start in range(0, len(numbers), 1_000)
        for row in connection.execute(
            select(place.c.place_no, place.c.host_no).where(
                place.c.place_no.in_(numbers[start : start + 1_000])
            )
        )
    }
    wanted: dict[object, tuple[object, ...]] = {}
    for number, host_no in on_host.items():
        said = own_row_of_place(
            explicit.get(number), host_is_explicit=host_no in host_explicit, rule=rules.get(number)
        )
        if said is not None:
            wanted[number, host_no] = (said.team_no, said.how, said.source_no)
    rows = connection.execute(
        select(place_owner).where(place_owner.c.host_no.in_(hosts), place_owner.c.to_ms.is_(None))
    )
    now: dict[object, tuple[int, tuple[object, ...]]] = {
        (row.place_no, row.host_no): (row.place_owner_no, (row.team_no, row.how, row.source_no))
        for row in rows
    }
    changed = made.places.compare(now, wanted, _COLUMNS, ("place_no", "host_no"))
    return {key[0] for key in changed if isinstance(key, tuple)}


def _affected(
    connection: Connection, hosts: Iterable[object], places: Iterable[object]
) -> set[tuple[int, bytes]]:
    """Return the certificates and keys on these hosts and at these places."""
    manifests: set[bytes] = set()
    for column, numbers in ((place.c.host_no, list(hosts)), (place.c.place_no, list(places))):
        for start in range(0, len(numbers), 1_000):
            found = select(place.c.manifest).where(
                column.in_(numbers[start : start + 1_000]), place.c.gone_ms.is_(None)
            )
            manifests.update(connection.execute(found.distinct()).scalars())
    return queue.artifacts_in(connection, manifests)


def _given(connection: Connection, scope: str, numbers: Sequence[int]) -> dict[int, Said]:
    given = owner_assignment.c
    rows = connection.execute(
        select(given.number, given.team_no, given.assignment_no).where(
            given.scope == scope, given.number.in_(numbers), given.to_ms.is_(None)
        )
    )
    return {row.number: Said(row.team_no, "explicit", row.assignment_no) for row in rows}
