"""Many things at once: which are meant, what a change would do to each, and how it is told before it is done.

A change by hand of owners, labels or marks is planned here first, whatever it is about: what is as wanted
already stays, what may not be changed is refused with the reason, the rest changes. The same plan is
told and done; its digest says that what was told is what is done.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, and_, select

from keycensus_collector.errors import UsageError
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.ownership import scope
from keycensus_collector.ownership.assignments import Thing, given_now, scopes_of
from keycensus_collector.ownership.telling import told
from keycensus_collector.query.ask import ask
from keycensus_collector.query.model import Query
from keycensus_collector.store.schema import host, place
from keycensus_collector.store.tables.ownership import CERTIFICATE, KEY, artifact_owner, team

# By hand, so many at once; more is what rules are for.
MOST_THINGS = 10_000
SAMPLES = 20
NOT_YOURS = "belongs to none of your teams"
_KINDS = {
    "certificates": ("certificate", "certificate", "sha256"),
    "keys": ("key", "key", "key_id"),
    "places": ("place", "place", "place_no"),
    "hosts": ("host", "host", "host_no"),
}


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that can't be changed, as it was named, and why not."""

    name: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a change does: to `changed` things, which have `before` now; the others stay or are refused."""

    wanted: str  # what they are to have, in words; of another wish the digest is another
    changed: tuple[Thing, ...]
    unchanged: tuple[Thing, ...]
    before: Mapping[Thing, str]  # of those that have something now
    refused: tuple[Refused, ...]

    @cached_property
    def digest(self) -> str:
        """Return what stands for the plan: another one if any line of it is another."""
        lines = [
            self.wanted,
            *sorted(f"{each.name}\0{self.before.get(each, '')}" for each in self.changed),
            "",
            *sorted(each.name for each in self.unchanged),
            "",
            *sorted(f"{each.name}\0{each.reason}" for each in self.refused),
        ]
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:32]

    def taken_from(self) -> dict[str, int]:
        """Return what changed things have now, with how many have it."""
        return dict(
            sorted(Counter(self.before[e] for e in self.changed if e in self.before).items())
        )

    def why_refused(self) -> dict[str, int]:
        """Return the reasons, with how many were refused for each."""
        return dict(sorted(Counter(each.reason for each in self.refused).items()))


def plan(
    scopes: Iterable[Thing],
    now: Mapping[Thing, str],
    value: str | None,
    *,
    wanted: str,
    refused: Sequence[Refused] = (),
) -> Plan:
    """Plan that these have a value, of which `now` says what they have; None: that they have none."""
    changed: list[Thing] = []
    unchanged: list[Thing] = []
    for each in scopes:
        (unchanged if now.get(each) == value else changed).append(each)
    return Plan(wanted, tuple(changed), tuple(unchanged), now, tuple(refused))


def samples(connection: Connection, made: Plan) -> list[str]:
    """Return some of what changes as people call it, with what it has now."""
    return [
        told(connection, each.kind, each.artifact or each.number)
        + (f" ({made.before[each]} now)" if each in made.before else "")
        for each in made.changed[:SAMPLES]
    ]


def things_of(connection: Connection, what: str, query: Query, now_ms: int) -> list[Thing]:
    """Return what a query lists, as things to change; UsageError for more than MOST_THINGS."""
    kind, table_name, column_name = _KINDS[what]
    things: list[Thing] = []
    for sealed in (False, True) if what == "keys" else (False,):
        asked = ask(connection, query, what, now_ms, sealed=sealed)
        if asked.as_of_ms is not None:
            raise UsageError("what is changed is what there is now: leave as-of out")
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


def owners_given(connection: Connection, things: Sequence[Thing]) -> dict[Thing, str]:
    """Return who has what by hand: the names of teams, by what decisions hang on."""
    given = given_now(connection, scopes_of(connection, things))
    names = _names(connection, {number for _, number in given.values()})
    return {each: names[number] for each, (_, number) in given.items() if number in names}


def own_ones(
    connection: Connection, things: Sequence[Thing], teams: Collection[int]
) -> tuple[list[Thing], list[Thing]]:
    """Return those that are owned by, or stand at a place of, one of these teams, and the others."""
    own: set[Thing] = set()
    by_kind: dict[str, list[Thing]] = {}
    for each in things:
        by_kind.setdefault(each.kind, []).append(each)
    for kind, same in by_kind.items():
        for chunk in chunked(same):
            own |= _own(connection, kind, chunk, teams)
    return [each for each in things if each in own], [each for each in things if each not in own]


def _own(
    connection: Connection, kind: str, things: Sequence[Thing], teams: Collection[int]
) -> set[Thing]:
    if kind in {"certificate", "key"}:
        number = CERTIFICATE if kind == "certificate" else KEY
        column = artifact_owner.c.artifact
        hashes = select(column).where(
            column.in_([each.artifact for each in things]),
            artifact_owner.c.kind == number,
            artifact_owner.c.to_ms.is_(None),
            artifact_owner.c.team_no.in_(sorted(teams)),
        )
        return {Thing(kind, artifact=each) for each in connection.execute(hashes).scalars()}
    table = place if kind == "place" else host
    owned = scope.place_owned_by if kind == "place" else scope.host_owned_by
    key = table.primary_key.columns[0]
    numbers = select(key).where(
        and_(key.in_([each.number for each in things]), owned(table, teams))
    )
    return {Thing(kind, number=each) for each in connection.execute(numbers).scalars()}


def _names(connection: Connection, numbers: Collection[int]) -> dict[int, str]:
    rows = connection.execute(
        select(team.c.team_no, team.c.name).where(team.c.team_no.in_(sorted(numbers)))
    )
    return {row.team_no: row.name for row in rows}
