"""Teams, and who belongs to them. A person who owns something by themselves is a team of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.errors import UsageError
from keycensus_collector.ownership.intervals import at, by_then, made_by
from keycensus_collector.ownership.people import check_name, person_no
from keycensus_collector.ownership.rows import number_of
from keycensus_collector.ownership.rule_file import rename_owner
from keycensus_collector.store.tables.ownership import membership, person, team
from keycensus_collector.text import safe_text

_MOST_TEXT = 500
# A company has hundreds; a script gone wrong has more.
MOST_TEAMS = 10_000


@dataclass(frozen=True, slots=True)
class Team:
    """One team with its members, now or on a past day. `person`: it is this person alone, and has their name.

    `by_groups`: those of `members` who are there by groups at a provider of OpenID Connect alone.
    """

    number: int
    name: str
    description: str
    contact: str
    members: tuple[str, ...]
    by_groups: tuple[str, ...]
    person: str
    dissolved_ms: int | None


def create_team(
    connection: Connection,
    name: str,
    *,
    actor: str,
    now_ms: int,
    description: str = "",
    contact: str = "",
) -> int:
    """Make a team and return its number; UsageError if the name is taken or none."""
    check_name(name)
    _check_free(connection, name)
    _check_text(description, contact)
    if len(connection.execute(select(team.c.team_no).limit(MOST_TEAMS)).all()) == MOST_TEAMS:
        raise UsageError(f"there are {MOST_TEAMS:,} teams; dissolve some first")
    number = _insert(connection, name, now_ms, description=description, contact=contact)
    _By(connection, actor, now_ms).record("team.create", name)
    return number


def describe_team(
    connection: Connection,
    name: str,
    *,
    actor: str,
    now_ms: int,
    description: str | None = None,
    contact: str | None = None,
) -> None:
    """Change what is said of a team; None leaves it."""
    number = team_no(connection, name)
    _check_text(description or "", contact or "")
    said = {"description": description, "contact": contact}
    values = {key: safe_text(text) for key, text in said.items() if text is not None}
    if values:
        connection.execute(update(team).where(team.c.team_no == number).values(values))
        _By(connection, actor, now_ms).record("team.change", name, values)


def rename_team(connection: Connection, name: str, new: str, *, actor: str, now_ms: int) -> None:
    """Give a team another name: what it owns stays its own. Not for a person's team of one."""
    number = team_no(connection, name)
    check_name(new)
    _check_free(connection, new)
    if connection.execute(select(team.c.person_no).where(team.c.team_no == number)).scalar_one():
        raise UsageError(f"{name} is a person: a team of one has the person's name")
    connection.execute(update(team).where(team.c.team_no == number).values(name=new))
    rename_owner(connection, name, new, actor=actor, now_ms=now_ms)
    _By(connection, actor, now_ms).record("team.rename", name, {"name": new})


def add_member(connection: Connection, name: str, who: str, *, actor: str, now_ms: int) -> bool:
    """Let a person belong to a team, by hand; False if so already, UsageError if they have left."""
    number, member = team_no(connection, name), person_no(connection, who)
    state = connection.execute(
        select(person.c.state).where(person.c.person_no == member)
    ).scalar_one()
    if state != "active":
        raise UsageError(f"{who} has left; add them again with: keycensus people add {who}")
    now = (
        membership.c.team_no == number,
        membership.c.person_no == member,
        membership.c.to_ms.is_(None),
    )
    if connection.execute(select(membership).where(*now, membership.c.source == "")).first():
        return False
    # Who is there by a group stays when that ends, since somebody says so now.
    connection.execute(update(membership).where(*now).values(to_ms=now_ms))
    connection.execute(
        insert(membership).values(team_no=number, person_no=member, from_ms=now_ms, to_ms=None)
    )
    _By(connection, actor, now_ms).record("team.member.add", name, {"person": who})
    return True


def remove_member(connection: Connection, name: str, who: str, *, actor: str, now_ms: int) -> bool:
    """Take a person out of a team; False if they are not in it."""
    number, member = team_no(connection, name), person_no(connection, who)
    ended = connection.execute(
        update(membership)
        .where(
            membership.c.team_no == number,
            membership.c.person_no == member,
            membership.c.to_ms.is_(None),
        )
        .values(to_ms=now_ms)
    ).rowcount
    if ended:
        _By(connection, actor, now_ms).record("team.member.remove", name, {"person": who})
    return bool(ended)


def team_no(connection: Connection, name: str) -> int:
    """Return the number of a team that is there; UsageError if there is none of that name."""
    row = connection.execute(
        select(team.c.team_no, team.c.dissolved_ms).where(team.c.name == name)
    ).one_or_none()
    if row is None:
        raise UsageError(f"there is no team {name!r}; list them with: keycensus owners teams")
    if row.dissolved_ms is not None:
        raise UsageError(f"team {name} was dissolved; create one of another name")
    return int(row.team_no)


def team_name(connection: Connection, number: int) -> str:
    """Return the name of a team by its number."""
    name = connection.execute(select(team.c.name).where(team.c.team_no == number)).scalar_one()
    return str(name)


def owner_no(connection: Connection, name: str, *, actor: str, now_ms: int) -> int:
    """Return the team that a name means as an owner: a team's, or a person's, who becomes one."""
    alone = check_owner(connection, name)
    if alone is None:
        return team_no(connection, name)
    number = _insert(connection, name, now_ms, person_number=alone)
    _By(connection, actor, now_ms).record("team.create", name, {"person": name})
    return number


def check_owner(connection: Connection, name: str) -> int | None:
    """Return the number of a person who could own something and does not; None: it is a team's name.

    UsageError if it is neither a team's nor a person's, or that one is no more.
    """
    if connection.execute(select(team.c.team_no).where(team.c.name == name)).first():
        team_no(connection, name)
        return None
    row = connection.execute(
        select(person.c.person_no, person.c.state).where(person.c.name == name)
    ).one_or_none()
    if row is None:
        raise UsageError(
            f"there is no team or person {name!r}; list them with: keycensus owners teams"
        )
    if row.state != "active":
        raise UsageError(f"{name} has left and can own nothing")
    return int(row.person_no)


def names_of_teams(connection: Connection, most: int) -> list[str] | None:
    """Return the names of teams that are there, without people who own alone; None: more than `most`."""
    statement = select(team.c.name).where(team.c.dissolved_ms.is_(None), team.c.person_no.is_(None))
    return _at_most(connection, statement, most)


def names_of_people(connection: Connection, most: int) -> list[str] | None:
    """Return the names of people who have not left; None: more than `most`."""
    statement = select(person.c.name).where(person.c.state == "active")
    return _at_most(connection, statement, most)


def _at_most(connection: Connection, names: Select[Any], most: int) -> list[str] | None:
    found = list(connection.execute(names.limit(most + 1)).scalars())
    return None if len(found) > most else sorted(found)


def list_teams(connection: Connection, as_of_ms: int | None = None) -> list[Team]:
    """Return all teams, dissolved ones too, by name; or those that had been made by a past moment.

    Of then are members and whether a team was dissolved; what it is called and said of it, of today.
    """
    members: dict[int, dict[str, str]] = {}
    for row in connection.execute(
        select(membership.c.team_no, person.c.name, membership.c.source)
        .join(person, person.c.person_no == membership.c.person_no)
        .where(at(membership, as_of_ms))
        .order_by(person.c.name)
    ):
        members.setdefault(row.team_no, {})[row.name] = row.source
    rows = connection.execute(
        select(team, person.c.name.label("person_name"))
        .outerjoin(person, person.c.person_no == team.c.person_no)
        .where(*made_by(team, as_of_ms))
        .order_by(team.c.name)
    )
    return [
        Team(
            number=row.team_no,
            name=row.name,
            description=row.description,
            contact=row.contact,
            members=tuple(members.get(row.team_no, {})),
            by_groups=tuple(
                name for name, source in members.get(row.team_no, {}).items() if source
            ),
            person=row.person_name or "",
            dissolved_ms=by_then(row.dissolved_ms, as_of_ms),
        )
        for row in rows
    ]


def _insert(
    connection: Connection,
    name: str,
    now_ms: int,
    *,
    description: str = "",
    contact: str = "",
    person_number: int | None = None,
) -> int:
    result = connection.execute(
        insert(team).values(
            name=name,
            description=safe_text(description),
            contact=safe_text(contact),
            person_no=person_number,
            created_ms=now_ms,
            dissolved_ms=None,
        )
    )
    return number_of(result)


def _check_free(connection: Connection, name: str) -> None:
    if connection.execute(select(team.c.team_no).where(team.c.name == name)).first():
        raise UsageError(f"there is a team {name} already, or was one that is dissolved")
    if connection.execute(select(person.c.person_no).where(person.c.name == name)).first():
        raise UsageError(f"{name} is a person: owners are found by name, so take another")


def _check_text(*texts: str) -> None:
    if any(len(text) > _MOST_TEXT for text in texts):
        raise UsageError(f"description and contact have at most {_MOST_TEXT} characters")


@dataclass(frozen=True, slots=True)
class _By:
    """Who does it, and when."""

    connection: Connection
    actor: str
    now_ms: int

    def record(self, action: str, name: str, detail: dict[str, Any] | None = None) -> None:
        audit.record(
            self.connection,
            at_ms=self.now_ms,
            actor=self.actor,
            action=action,
            subject=name,
            detail=detail,
        )
