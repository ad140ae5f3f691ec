"""What a team holds, and how it moves to another one: transfer, dissolution."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Table,
    func,
    insert,
    literal,
    select,
    update,
)

from keycensus_collector.access import audit
from keycensus_collector.errors import UsageError
from keycensus_collector.ownership import queue
from keycensus_collector.ownership.assignments import Thing, follow
from keycensus_collector.ownership.intervals import at
from keycensus_collector.ownership.rule_file import rename_owner
from keycensus_collector.ownership.settings import FALLBACK, change_setting, fallback_no
from keycensus_collector.ownership.teams import team_name, team_no
from keycensus_collector.recertification.handing import hand_over
from keycensus_collector.store.tables.ownership import (
    CERTIFICATE,
    KEY,
    artifact_owner,
    host_owner,
    membership,
    owner_assignment,
    owner_rule,
    person,
    place_owner,
    team,
)
from keycensus_collector.text import safe_text

# Of more than so many decisions, what follows is found by looking at everything.
_MOST_FOLLOWED = 5_000


@dataclass(frozen=True, slots=True)
class Held:
    """What a team holds now: given to it, said by rules, and owned for whatever reason."""

    given: dict[str, int]  # by scope: "line", "certificate", "key", "place", "host"
    rules: tuple[str, ...]
    certificates: int
    keys: int
    hosts: int
    places: int  # by themselves; those of its hosts are not counted here
    members: int

    @property
    def is_nothing(self) -> bool:
        """Whether nothing would be without an owner if the team went."""
        return not self.given and not self.rules


def held_by(connection: Connection, number: int, as_of_ms: int | None = None) -> Held:
    """Return what a team holds, or held at a past moment."""
    given, rules = owner_assignment.c, owner_rule.c
    by_scope = connection.execute(
        select(given.scope, func.count())
        .where(given.team_no == number, at(owner_assignment, as_of_ms))
        .group_by(given.scope)
        .order_by(given.scope)
    )
    names = connection.execute(
        select(rules.name)
        .where(rules.team_no == number, at(owner_rule, as_of_ms))
        .order_by(rules.name)
    ).scalars()

    def count(table: Table, *conditions: ColumnElement[bool]) -> int:
        statement = select(func.count()).where(
            table.c.team_no == number, at(table, as_of_ms), *conditions
        )
        return connection.execute(statement).scalar_one()

    owned = artifact_owner.c.owns.is_(True)
    return Held(
        given={row[0]: row[1] for row in by_scope},
        rules=tuple(names),
        certificates=count(artifact_owner, artifact_owner.c.kind == CERTIFICATE, owned),
        keys=count(artifact_owner, artifact_owner.c.kind == KEY, owned),
        hosts=count(host_owner),
        places=count(place_owner),
        members=count(membership),
    )


def move_all(
    connection: Connection, source: int, target: int, *, reason: str, actor: str, now_ms: int
) -> None:
    """Give everything that was given to one team, by hand or by rule, to another.

    What it has left open in campaigns of recertification goes along.
    """
    given = owner_assignment.c
    open_ = given.team_no == source, given.to_ms.is_(None)
    rows = connection.execute(
        select(given.scope, given.number, given.artifact)
        .where(*open_)
        .order_by(given.assignment_no)
    ).all()
    names = ["scope", "number", "artifact", "team_no", "reason", "actor", "from_ms"]
    moved = select(
        given.scope,
        given.number,
        given.artifact,
        literal(target, BigInteger()),
        literal(safe_text(reason)),
        literal(safe_text(actor)),
        literal(now_ms, BigInteger()),
    ).where(*open_)
    connection.execute(insert(owner_assignment).from_select(names, moved))
    connection.execute(update(owner_assignment).where(*open_).values(to_ms=now_ms))
    rules = owner_rule.c
    columns = [rules.name, rules.what, rules.query, rules.note]
    mine = rules.team_no == source, rules.to_ms.is_(None)
    has_rules = connection.execute(select(rules.rule_no).where(*mine).limit(1)).first() is not None
    connection.execute(
        insert(owner_rule).from_select(
            [column.name for column in columns] + ["team_no", "from_ms"],
            select(*columns, literal(target, BigInteger()), literal(now_ms, BigInteger())).where(
                *mine
            ),
        )
    )
    connection.execute(update(owner_rule).where(*mine).values(to_ms=now_ms))
    hand_over(connection, source, target, now_ms)
    if has_rules:
        old, new = (team_name(connection, number) for number in (source, target))
        rename_owner(connection, old, new, actor=actor, now_ms=now_ms)
    if has_rules or len(rows) > _MOST_FOLLOWED:
        queue.ask_for_sweep(connection, now_ms)
    else:
        follow(connection, [Thing(row.scope, row.number, row.artifact) for row in rows])


@dataclass(frozen=True, slots=True)
class Dissolution:
    """What ends with a team. `moves_to`: who takes what it held; empty: nobody, it held nothing."""

    held: Held
    members: tuple[str, ...]
    moves_to: str


def preview_dissolution(connection: Connection, name: str, *, into: str = "") -> Dissolution:
    """Return what dissolving a team would do; UsageError as of `dissolve_team`."""
    number, held, target = _dissolving(connection, name, into)
    members = connection.execute(
        select(person.c.name)
        .join(membership, membership.c.person_no == person.c.person_no)
        .where(membership.c.team_no == number, membership.c.to_ms.is_(None))
        .order_by(person.c.name)
    ).scalars()
    moves_to = "" if target is None else team_name(connection, target)
    return Dissolution(held, tuple(members), moves_to)


def dissolve_team(
    connection: Connection, name: str, *, into: str = "", actor: str, now_ms: int
) -> Held:
    """End a team and return what it held; that moves to `into`, else to the fallback team.

    UsageError if there is no such team, or it holds something and there is nobody to take it.
    """
    number, held, target = _dissolving(connection, name, into)
    if number == fallback_no(connection):
        change_setting(
            connection, FALLBACK, str(target) if into else "", actor=actor, now_ms=now_ms
        )
    if target is not None:
        move_all(
            connection,
            number,
            target,
            reason=f"team {name} was dissolved",
            actor=actor,
            now_ms=now_ms,
        )
    connection.execute(
        update(membership)
        .where(membership.c.team_no == number, membership.c.to_ms.is_(None))
        .values(to_ms=now_ms)
    )
    connection.execute(update(team).where(team.c.team_no == number).values(dissolved_ms=now_ms))
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="team.dissolve",
        subject=name,
        detail={"into": into or "fallback", "held": {**held.given, "rules": len(held.rules)}},
    )
    return held


def _dissolving(connection: Connection, name: str, into: str) -> tuple[int, Held, int | None]:
    """Return a team's number, what it holds, and the number of the team that takes it, if any."""
    number = team_no(connection, name)
    held = held_by(connection, number)
    target = team_no(connection, into) if into else fallback_no(connection)
    if target == number:
        raise UsageError(f"{name} can't take what it held itself; name another: --into TEAM")
    if target is None and not held.is_nothing:
        raise UsageError(
            f"{name} holds something: say who takes it (--into TEAM), or set a fallback team"
        )
    return number, held, target
