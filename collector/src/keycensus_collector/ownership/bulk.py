"""Things by query: which a change of owner would mean, and what it would change. Told before it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, select

from keycensus_collector.errors import UsageError
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.ownership import scope
from keycensus_collector.ownership.assignments import Thing, given_now, scopes_of
from keycensus_collector.ownership.telling import told
from keycensus_collector.query.ask import ask
from keycensus_collector.query.parse import parse
from keycensus_collector.store.schema import host, place
from keycensus_collector.store.tables.ownership import CERTIFICATE, KEY, artifact_owner, team

# By hand, so many at once; more is what rules are for.
MOST_THINGS = 10_000
_SAMPLES = 20
_KINDS = {
    "certificates": ("certificate", "certificate", "sha256"),
    "keys": ("key", "key", "key_id"),
    "places": ("place", "place", "place_no"),
    "hosts": ("host", "host", "host_no"),
}


@dataclass(frozen=True, slots=True)
class Preview:
    """What would change: `things` are given, `changed` of them to another than now by hand."""

    things: int
    changed: int
    taken_from: dict[str, int]  # by the team that has them by hand now
    samples: tuple[str, ...]


def things_of(connection: Connection, what: str, query: str, now_ms: int) -> list[Thing]:
    """Return what a query lists, as things to give; UsageError for more than MOST_THINGS."""
    kind, table_name, column_name = _KINDS[what]
    things: list[Thing] = []
    for sealed in (False, True) if what == "keys" else (False,):
        asked = ask(connection, parse(query), what, now_ms, sealed=sealed)
        if asked.as_of_ms is not None:
            raise UsageError("what is given is what there is now: leave as-of out")
        column = getattr(asked.tables, table_name).c[column_name]
        rows = connection.execute(
            select(column).where(asked.condition).order_by(column).limit(MOST_THINGS + 1)
        )
        things += [thing(kind, identity) for identity in rows.scalars()]
    if len(things) > MOST_THINGS:
        raise UsageError(
            f"this means more than {MOST_THINGS:,} {what}: narrow the query, or write a rule"
        )
    return things


def thing(kind: str, identity: Any) -> Thing:  # noqa: ANN401 - a number or a hash
    """Return a thing by its number or hash."""
    if isinstance(identity, bytes):
        return Thing(kind, artifact=identity)
    return Thing(kind, number=identity)


def preview(connection: Connection, things: Sequence[Thing], owner: str | None) -> Preview:
    """Return what giving these to an owner would change; None: taking them back."""
    scopes = scopes_of(connection, things)
    given = given_now(connection, scopes)
    names = _names(connection, {number for _, number in given.values()})
    if owner is None:
        changed = [each for each in scopes if each in given]
    else:
        changed = [each for each in scopes if each not in given or names[given[each][1]] != owner]
    taken = Counter(names[given[each][1]] for each in changed if each in given)
    return Preview(
        len(scopes),
        len(changed),
        dict(sorted(taken.items())),
        tuple(
            told(connection, each.kind, each.artifact or each.number) for each in changed[:_SAMPLES]
        ),
    )


def are_of(connection: Connection, things: Sequence[Thing], teams: Collection[int]) -> bool:
    """Whether all of these things are owned by, or stand at a place of, one of these teams."""
    by_kind: dict[str, list[Thing]] = {}
    for each in things:
        by_kind.setdefault(each.kind, []).append(each)
    return all(
        _count(connection, kind, chunk, teams) == len(chunk)
        for kind, same in by_kind.items()
        for chunk in chunked(list(dict.fromkeys(same)))
    )


def _count(
    connection: Connection, kind: str, things: Sequence[Thing], teams: Collection[int]
) -> int:
    if kind in {"certificate", "key"}:
        number = CERTIFICATE if kind == "certificate" else KEY
        column = artifact_owner.c.artifact
        statement = select(func.count(column.distinct())).where(
            column.in_([each.artifact for each in things]),
            artifact_owner.c.kind == number,
            artifact_owner.c.to_ms.is_(None),
            artifact_owner.c.team_no.in_(sorted(teams)),
        )
        return connection.execute(statement).scalar_one()
    table = place if kind == "place" else host
    owned = scope.place_owned_by if kind == "place" else scope.host_owned_by
    numbers = [each.number for each in things]
    key = table.primary_key.columns[0]
    statement = select(func.count()).where(and_(key.in_(numbers), owned(table, teams)))
    return connection.execute(statement.select_from(table)).scalar_one()


def _names(connection: Connection, numbers: Collection[int]) -> dict[int, str]:
    rows = connection.execute(
        select(team.c.team_no, team.c.name).where(team.c.team_no.in_(sorted(numbers)))
    )
    return {row.team_no: row.name for row in rows}
