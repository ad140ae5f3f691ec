"""From an account at a provider to a user here: made at the first sign-in, brought up to date at each.

1. The account is looked up by issuer and subject, never by name or e-mail. One that is new becomes a new
   user; a user of that name who is there already is somebody else until an admin links the two.
2. Who is disabled here stays out, and so does a person who has left, whatever the provider says.
3. The role follows the groups, if the configuration maps any to roles.
4. The account is found to be a person of the list of people, by what the configuration trusts.
5. That person's memberships follow the groups; where there is no such person and the groups give
   teams, one is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.access.sessions import end_all
from keycensus_collector.access.users import add_user, change_user, user_no
from keycensus_collector.errors import ConflictError, UsageError
from keycensus_collector.oidc.claims import MOST_SUBJECT, Account
from keycensus_collector.oidc.refusals import SignInError, Whose, provider_trouble
from keycensus_collector.oidc.settings import Provider
from keycensus_collector.ownership.groups import follow_groups
from keycensus_collector.ownership.people import Person, add_person, persons_of_user
from keycensus_collector.store.schema import user
from keycensus_collector.store.tables.oidc import oidc_account
from keycensus_collector.store.tables.ownership import person
from keycensus_collector.text import safe_text

_log = structlog.get_logger(__name__)


def signed_in(connection: Connection, account: Account, provider: Provider, now_ms: int) -> int:
    """Return the number of the user that an account is, made or brought up to date; SignInError."""
    known = _known(connection, account.issuer, account.subject)
    if known is not None and known.disabled_ms is not None:
        raise SignInError(
            Whose.PERSON, "disabled", f"user {known.name} is disabled here", user=known.name
        )
    found = _person(connection, account, provider, known)  # 4
    if found is not None and found.state != "active":
        raise SignInError(
            Whose.PERSON,
            "left",
            f"{found.name} has left; who comes back is added again with: keycensus people add",
            user=found.name,
        )
    if known is None:
        known = _add(connection, account, provider, now_ms)  # 1
    elif account.role not in (None, known.role):
        change_user(  # 3
            connection,
            name=known.name,
            role=account.role,
            actor=provider.how,
            now_ms=now_ms,
            even_last=True,
        )
    number = None if found is None else int(found.person_no)
    if known.person_no not in (None, number):
        follow_groups(connection, known.person_no, (), source=provider.how, now_ms=now_ms)
    if number is None and account.teams:
        number = _add_person(connection, account, provider, known.name, now_ms)
    connection.execute(
        update(oidc_account)
        .where(_is(account.issuer, account.subject))
        .values(person_no=number, last_ms=now_ms)
    )
    if number is not None:
        missing = follow_groups(  # 5
            connection, number, account.teams, source=provider.how, now_ms=now_ms
        )
        if missing:
            _log.warning("oidc.teams_missing", provider=provider.name, teams=missing)
    return int(known.user_no)


def _is(issuer: str, subject: str) -> ColumnElement[bool]:
    columns = oidc_account.c
    return (columns.issuer == issuer) & (columns.subject == subject)


def _known(connection: Connection, issuer: str, subject: str) -> Row[Any] | None:
    return connection.execute(
        select(user, oidc_account.c.person_no)
        .join(oidc_account, oidc_account.c.user_no == user.c.user_no)
        .where(_is(issuer, subject))
    ).one_or_none()


def _add(connection: Connection, account: Account, provider: Provider, now_ms: int) -> Row[Any]:
    role = provider.default_role if account.role is None else account.role
    if not account.name:
        raise provider_trouble(
            "claim",
            f"the provider does not say the name of the user: the claim {provider.user_claim} is "
            "missing; add its scope, or name another user_claim",
        )
    name = account.name
    try:
        add_user(connection, name=name, role=role, now_ms=now_ms, actor=provider.how)
    except ConflictError:
        raise SignInError(
            Whose.PERSON,
            "name-taken",
            f"there is a user {name} already, who is not known to be this account; if it is, an admin "
            f"says so: keycensus-collector user link {name} {provider.name} {account.subject}",
            user=name,
        ) from None
    except UsageError as error:
        raise provider_trouble("claim", f"the claim {provider.user_claim}: {error}") from None
    if provider.sees != "all":
        connection.execute(update(user).where(user.c.name == name).values(sees=provider.sees))
    link(
        connection,
        issuer=account.issuer,
        subject=account.subject,
        user_name=name,
        actor=provider.how,
        now_ms=now_ms,
    )
    added = _known(connection, account.issuer, account.subject)
    if added is None:
        raise TypeError("the account that was just added is not there")
    return added


def link(
    connection: Connection, *, issuer: str, subject: str, user_name: str, actor: str, now_ms: int
) -> None:
    """Let an account be a user's; ConflictError if it is one's already, UsageError for no such user."""
    number = user_no(connection, user_name)
    if not 0 < len(subject) <= MOST_SUBJECT:
        raise UsageError(f"a subject has 1 to {MOST_SUBJECT} characters")
    known = _known(connection, issuer, subject)
    if known is not None:
        raise ConflictError(f"this account is user {known.name}'s already")
    people = persons_of_user(connection, user_name)
    connection.execute(
        insert(oidc_account).values(
            issuer=issuer,
            subject=subject,
            user_no=number,
            person_no=people[0] if len(people) == 1 else None,
            created_ms=now_ms,
        )
    )
    _record(connection, "user.link", user_name, issuer, subject, actor=actor, now_ms=now_ms)


def unlink(connection: Connection, *, user_name: str, actor: str, now_ms: int) -> int:
    """Let a user have no account at a provider any more, nor a session; return how many they had."""
    number = user_no(connection, user_name)
    rows = connection.execute(
        delete(oidc_account)
        .where(oidc_account.c.user_no == number)
        .returning(oidc_account.c.issuer, oidc_account.c.subject)
    ).all()
    for row in rows:
        _record(connection, "user.unlink", user_name, *row, actor=actor, now_ms=now_ms)
    end_all(connection, number, name=user_name, actor=actor, now_ms=now_ms)
    return len(rows)


def _record(
    connection: Connection,
    action: str,
    user_name: str,
    issuer: str,
    subject: str,
    *,
    actor: str,
    now_ms: int,
) -> None:
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action=action,
        subject=user_name,
        detail={"issuer": issuer, "subject": safe_text(subject)},
    )


def _person(
    connection: Connection, account: Account, provider: Provider, known: Row[Any] | None
) -> Row[Any] | None:
    """Return who of the list an account is: as somebody said, as it was found before, or as found now."""
    for condition in _ways(account, provider, known):
        rows = connection.execute(select(person).where(condition).limit(3)).all()
        rows = [row for row in rows if row.state == "active"] or rows
        if len(rows) == 1:
            return rows[0]
        if rows:
            _log.warning("oidc.several_people", names=[row.name for row in rows])
    return None


def _ways(
    account: Account, provider: Provider, known: Row[Any] | None
) -> Iterator[ColumnElement[bool]]:
    name = account.name if known is None else known.name
    if name:
        yield person.c.user_name == name
    if known is not None and known.person_no is not None:
        yield person.c.person_no == known.person_no
    # Whom somebody has said to be another user is not found to be this one.
    nobody = person.c.user_name == ""
    for way in provider.link_people:
        if way == "subject":
            yield nobody & (person.c.subject == safe_text(account.subject))
        elif way == "email" and account.email:
            yield nobody & (person.c.email == account.email)
        elif way == "name":
            yield nobody & (person.c.name == name)


def _add_person(
    connection: Connection, account: Account, provider: Provider, name: str, now_ms: int
) -> int | None:
    """Make a person for who gets teams; None if the name is another person's or a team's."""
    wanted = Person(name, full_name=account.full_name, email=account.email)
    try:
        return add_person(connection, wanted, actor=provider.how, now_ms=now_ms)
    except UsageError as error:
        _log.warning("oidc.no_person", user=name, why=str(error))
        return None
