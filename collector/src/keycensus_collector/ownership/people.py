"""People: who they are, how they are reached, which user of the collector they are.

A person is known to the collector's users by the name of a local user, or by the e-mail or subject of
an OpenID Connect login. Leaving is in `leaving`, since it moves what they held.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from keycensus_collector.access import audit
from keycensus_collector.errors import UsageError
from keycensus_collector.ownership.intervals import at
from keycensus_collector.ownership.rows import number_of
from keycensus_collector.store.tables.ownership import membership, person, team
from keycensus_collector.text import safe_text

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}\Z")
_EMAIL = re.compile(r"[^\s@<>\"',;]{1,64}@[A-Za-z0-9.-]{1,190}\Z")
_MOST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Person:
    """One person. `user`: the local user whose tokens and sessions are theirs."""

    name: str
    full_name: str = ""
    email: str = ""
    contact: str = ""
    user: str = ""
    subject: str = ""
    state: str = "active"
    teams: tuple[str, ...] = ()
    left_ms: int | None = None


def check_name(name: str) -> str:
    """Return a name that a person or team can have; UsageError says what would be one."""
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} can't name a person or team: use 1 to 64 of a-z, 0-9 and . _ @ - , a letter "
            "or digit first"
        )
    return name


def add_person(connection: Connection, wanted: Person, *, actor: str, now_ms: int) -> int:
    """Add a person and return the number; UsageError if the name or an address can't be."""
    check_name(wanted.name)
    values = _values(wanted)
    known = connection.execute(
        select(person.c.state).where(person.c.name == wanted.name)
    ).scalar_one_or_none()
    if known is not None:
        raise UsageError(f"there is a person {wanted.name} already ({known})")
    if connection.execute(select(team.c.team_no).where(team.c.name == wanted.name)).first():
        raise UsageError(
            f"{wanted.name} is a team's name: owners are found by name, so take another"
        )
    result = connection.execute(
        insert(person).values(
            values | {"name": wanted.name, "state": "active", "created_ms": now_ms}
        )
    )
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="person.add",
        subject=wanted.name,
        detail=values,
    )
    return number_of(result)


def change_person(connection: Connection, wanted: Person, *, actor: str, now_ms: int) -> None:
    """Change what is known of a person, who may come back by it; UsageError if there is none."""
    number = person_no(connection, wanted.name)
    values = _values(wanted) | {"state": "active", "left_ms": None}
    connection.execute(update(person).where(person.c.person_no == number).values(values))
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="person.change",
        subject=wanted.name,
        detail=values,
    )


def _values(wanted: Person) -> dict[str, Any]:
    if wanted.email and not _EMAIL.match(wanted.email):
        raise UsageError(f"{wanted.email!r} is no e-mail address")
    if wanted.user:
        check_name(wanted.user)
    for text in (wanted.full_name, wanted.contact, wanted.subject):
        if len(text) > _MOST_TEXT:
            raise UsageError(f"name, contact and subject have at most {_MOST_TEXT} characters")
    return {
        "full_name": safe_text(wanted.full_name),
        "email": wanted.email.lower(),
        "contact": safe_text(wanted.contact),
        "user_name": wanted.user,
        "subject": safe_text(wanted.subject),
    }


def person_no(connection: Connection, name: str) -> int:
    """Return a person's number; UsageError if there is none of that name."""
    number = connection.execute(
        select(person.c.person_no).where(person.c.name == name)
    ).scalar_one_or_none()
    if number is None:
        raise UsageError(f"there is no person {name!r}; list them with: keycensus people list")
    return int(number)


def list_people(connection: Connection) -> list[Person]:
    """Return everybody, those who left too, by name."""
    teams: dict[int, list[str]] = {}
    for row in connection.execute(
        select(membership.c.person_no, team.c.name)
        .join(team, team.c.team_no == membership.c.team_no)
        .where(membership.c.to_ms.is_(None), team.c.person_no.is_(None))
        .order_by(team.c.name)
    ):
        teams.setdefault(row.person_no, []).append(row.name)
    rows = connection.execute(select(person).order_by(person.c.name))
    return [_person(row, teams.get(row.person_no, [])) for row in rows]


def _person(row: Row[Any], teams: list[str]) -> Person:
    return Person(
        name=row.name,
        full_name=row.full_name,
        email=row.email,
        contact=row.contact,
        user=row.user_name,
        subject=row.subject,
        state=row.state,
        teams=tuple(teams),
        left_ms=row.left_ms,
    )


def teams_of_user(
    connection: Connection,
    user: str,
    *,
    email: str = "",
    subject: str = "",
    as_of_ms: int | None = None,
) -> frozenset[int]:
    """Return the numbers of the teams of whoever signs in as a user: their own team of one included.

    Found by the linked user's name, else a person of the same name, the e-mail, or the subject.
    A person who has left is in no team.
    """
    same = [person.c.user_name == user, (person.c.user_name == "") & (person.c.name == user)]
    if email:
        same.append(person.c.email == email.lower())
    if subject:
        same.append(person.c.subject == subject)
    own = select(team.c.team_no).join(person, person.c.person_no == team.c.person_no)
    member = select(membership.c.team_no).join(person, person.c.person_no == membership.c.person_no)
    numbers: set[int] = set()
    for statement in (own, member.where(at(membership, as_of_ms))):
        found = statement.where(person.c.state == "active", or_(*same))
        numbers.update(connection.execute(found).scalars())
    return frozenset(numbers)
