"""People: who they are, how they are reached, which user of the collector they are.

A person is known to the collector's users by the name of a user, or by an account of OpenID Connect
that was found to be theirs at its sign-in. Leaving is in `leaving`, since it moves what they held.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from keycensus_collector.access import audit
from keycensus_collector.errors import UsageError
from keycensus_collector.ownership.intervals import at, by_then, made_by
from keycensus_collector.ownership.rows import number_of
from keycensus_collector.store.schema import user
from keycensus_collector.store.tables.oidc import oidc_account
from keycensus_collector.store.tables.ownership import membership, person, team
from keycensus_collector.text import safe_text

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}\Z")
_EMAIL = re.compile(r"[^\s@<>\"',;]{1,64}@[A-Za-z0-9.-]{1,190}\Z")
_MOST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Person:
    """One person. `user`: the user whose tokens and sessions are theirs.

    `by_groups`: those of `teams` that groups at a provider of OpenID Connect give, and take.
    """

    name: str
    full_name: str = ""
    email: str = ""
    contact: str = ""
    user: str = ""
    subject: str = ""
    state: str = "active"
    teams: tuple[str, ...] = ()
    by_groups: tuple[str, ...] = ()
    left_ms: int | None = None


def check_name(name: str) -> str:
    """Return a name that a person or team can have; UsageError says what would be one."""
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} can't name a person or team: use 1 to 64 of a-z, 0-9 and . _ @ - , a letter "
            "or digit first"
        )
    return name


def is_email(text: str) -> bool:
    """Say whether a text can be the e-mail address of a person."""
    return _EMAIL.match(text) is not None


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
    if wanted.email and not is_email(wanted.email):
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


def list_people(
    connection: Connection, name: str = "", as_of_ms: int | None = None
) -> list[Person]:
    """Return everybody, those who left too, by name; or the one of a name; or who was known at a past moment.

    Of then are their teams and whether they had left, unless they came back since; all else is of today.
    """
    teams: dict[int, dict[str, str]] = {}
    belong = (
        select(membership.c.person_no, team.c.name, membership.c.source)
        .join(team, team.c.team_no == membership.c.team_no)
        .where(at(membership, as_of_ms), team.c.person_no.is_(None))
        .order_by(team.c.name)
    )
    people = select(person).where(*made_by(person, as_of_ms)).order_by(person.c.name)
    if name:
        numbers = select(person.c.person_no).where(person.c.name == name)
        belong = belong.where(membership.c.person_no.in_(numbers))
        people = people.where(person.c.name == name)
    for row in connection.execute(belong):
        teams.setdefault(row.person_no, {})[row.name] = row.source
    rows = connection.execute(people)
    return [_person(row, teams.get(row.person_no, {}), as_of_ms) for row in rows]


def _person(row: Row[Any], teams: dict[str, str], as_of_ms: int | None) -> Person:
    left_ms = by_then(row.left_ms, as_of_ms)
    return Person(
        name=row.name,
        full_name=row.full_name,
        email=row.email,
        contact=row.contact,
        user=row.user_name,
        subject=row.subject,
        state=row.state if left_ms == row.left_ms else "active",
        teams=tuple(teams),
        by_groups=tuple(name for name, source in teams.items() if source),
        left_ms=left_ms,
    )


def persons_of_user(connection: Connection, user_name: str) -> list[int]:
    """Return the numbers of the people who sign in as a user: as a rule one, or none.

    1. Whoever is said to (`user_name` of a person) is it.
    2. Else the person that an account of OpenID Connect was found to be at its last sign-in.
    3. Else, for a user without such an account, the person of the same name: what names an account
       gives itself is the provider's business.
    """
    said = select(person.c.person_no).where(person.c.user_name == user_name)
    accounts = (
        select(oidc_account.c.person_no)
        .join(user, user.c.user_no == oidc_account.c.user_no)
        .where(user.c.name == user_name)
    )
    for statement in (said, accounts):
        if found := list(connection.execute(statement).scalars()):
            return [number for number in found if number is not None]
    same = select(person.c.person_no).where(person.c.name == user_name, person.c.user_name == "")
    return list(connection.execute(same).scalars())


def users_of_person(connection: Connection, number: int) -> list[str]:
    """Return the names of the users that a person is: what `persons_of_user` says, from the other side."""
    row = connection.execute(
        select(person.c.name, person.c.user_name).where(person.c.person_no == number)
    ).one()
    candidates = (
        select(user.c.name)
        .outerjoin(oidc_account, oidc_account.c.user_no == user.c.user_no)
        .where(
            or_(
                user.c.name.in_([row.user_name, row.name]),
                oidc_account.c.person_no == number,
            )
        )
        .distinct()
        .order_by(user.c.name)
    )
    names = connection.execute(candidates).scalars().all()
    return [name for name in names if number in persons_of_user(connection, name)]


def teams_of_user(
    connection: Connection, user_name: str, *, as_of_ms: int | None = None
) -> frozenset[int]:
    """Return the numbers of the teams of whoever signs in as a user: their own team of one included.

    A person who has left is in no team.
    """
    people = persons_of_user(connection, user_name)
    own = select(team.c.team_no).join(person, person.c.person_no == team.c.person_no)
    member = select(membership.c.team_no).join(person, person.c.person_no == membership.c.person_no)
    numbers: set[int] = set()
    for statement in (own, member.where(at(membership, as_of_ms))):
        found = statement.where(person.c.state == "active", person.c.person_no.in_(people))
        numbers.update(connection.execute(found).scalars())
    return frozenset(numbers)
