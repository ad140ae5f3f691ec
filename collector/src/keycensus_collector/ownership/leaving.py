"""Somebody leaves: what they held is told and moves, and what let them in ends, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update

from keycensus_collector.access import audit
from keycensus_collector.access.users import change_user
from keycensus_collector.errors import UsageError
from keycensus_collector.ownership.moving import Held, held_by, move_all
from keycensus_collector.ownership.people import person_no, users_of_person
from keycensus_collector.ownership.settings import fallback_no
from keycensus_collector.ownership.teams import team_name, team_no
from keycensus_collector.store.schema import api_token, user
from keycensus_collector.store.tables.ownership import membership, person, team


@dataclass(frozen=True, slots=True)
class Leaving:
    """What goes with a person. `alone`: what they own by themselves; `last`: teams they leave empty."""

    name: str
    alone: Held | None
    teams: tuple[str, ...]
    last: dict[str, Held]
    moves_to: str  # empty: nothing moves
    users: tuple[str, ...]  # who are disabled
    tokens: int


def preview_leaving(connection: Connection, name: str, *, to: str = "") -> Leaving:
    """Return what leaving would do; UsageError if there is nobody to take what they hold."""
    return _leaving(connection, name, to)[0]


def leave(
    connection: Connection,
    name: str,
    *,
    to: str = "",
    over_admins: bool = False,
    actor: str,
    now_ms: int,
) -> Leaving:
    """Let a person leave. What they hold moves to the team `to`, else to the fallback team.

    UsageError if their user is an admin and whoever asks is not `over_admins`.
    """
    leaving, target = _leaving(connection, name, to)
    admins = [] if over_admins else _admins(connection, leaving.users)
    if admins:
        raise UsageError(
            f"{admins[0]} is an admin's user: who may change users can let {name} leave"
        )
    number = person_no(connection, name)
    if target is not None:
        for source in (*_own_team(connection, number), *_last_in(connection, number).values()):
            move_all(connection, source, target, reason=f"{name} left", actor=actor, now_ms=now_ms)
    connection.execute(
        update(membership)
        .where(membership.c.person_no == number, membership.c.to_ms.is_(None))
        .values(to_ms=now_ms)
    )
    connection.execute(update(team).where(team.c.person_no == number).values(dissolved_ms=now_ms))
    connection.execute(
        update(person).where(person.c.person_no == number).values(state="left", left_ms=now_ms)
    )
    for user_name in leaving.users:
        _shut_out(connection, user_name, actor, now_ms)
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="person.leave",
        subject=name,
        detail={
            "moves_to": leaving.moves_to,
            "teams": list(leaving.teams),
            "left_empty": list(leaving.last),
            "users": list(leaving.users),
            "tokens": leaving.tokens,
        },
    )
    return leaving


def _leaving(connection: Connection, name: str, to: str) -> tuple[Leaving, int | None]:
    number = person_no(connection, name)
    state = connection.execute(
        select(person.c.state).where(person.c.person_no == number)
    ).scalar_one()
    if state != "active":
        raise UsageError(f"{name} has left already")
    own, last = _own_team(connection, number), _last_in(connection, number)
    target = team_no(connection, to) if to else fallback_no(connection)
    held = [held_by(connection, each) for each in (*own, *last.values())]
    if target in {*own, *last.values()}:
        raise UsageError(f"{name} leaves nobody in that team: name another one, --to TEAM")
    if target is None and not all(each.is_nothing for each in held):
        raise UsageError(
            f"{name} holds something: say which team takes it (--to TEAM), or set a fallback team"
        )
    moves_to = "" if target is None else team_name(connection, target)
    teams = connection.execute(
        select(team.c.name)
        .join(membership, membership.c.team_no == team.c.team_no)
        .where(membership.c.person_no == number, membership.c.to_ms.is_(None))
        .order_by(team.c.name)
    ).scalars()
    users = tuple(users_of_person(connection, number))
    return (
        Leaving(
            name=name,
            alone=held[0] if own else None,
            teams=tuple(teams),
            last=dict(zip(last, held[len(own) :], strict=True)),
            moves_to=moves_to,
            users=users,
            tokens=_tokens(connection, users),
        ),
        target,
    )


def _own_team(connection: Connection, number: int) -> list[int]:
    return list(
        connection.execute(
            select(team.c.team_no).where(team.c.person_no == number, team.c.dissolved_ms.is_(None))
        ).scalars()
    )


def _last_in(connection: Connection, number: int) -> dict[str, int]:
    """Return the teams that have nobody else."""
    mine = select(membership.c.team_no).where(
        membership.c.person_no == number, membership.c.to_ms.is_(None)
    )
    rows = connection.execute(
        select(team.c.name, team.c.team_no)
        .join(membership, membership.c.team_no == team.c.team_no)
        .where(membership.c.to_ms.is_(None), team.c.team_no.in_(mine))
        .group_by(team.c.name, team.c.team_no)
        .having(func.count() == 1)
        .order_by(team.c.name)
    )
    return {row.name: row.team_no for row in rows}


def _tokens(connection: Connection, names: Sequence[str]) -> int:
    statement = (
        select(func.count())
        .select_from(api_token)
        .join(user, user.c.user_no == api_token.c.user_no)
        .where(user.c.name.in_(names), api_token.c.revoked_ms.is_(None))
    )
    return connection.execute(statement).scalar_one()


def _admins(connection: Connection, names: Sequence[str]) -> list[str]:
    statement = select(user.c.name).where(user.c.name.in_(names), user.c.role == "admin")
    return list(connection.execute(statement).scalars())


def _shut_out(connection: Connection, name: str, actor: str, now_ms: int) -> None:
    """Disable a user, which ends the sessions, and revoke the tokens."""
    row = connection.execute(
        select(user.c.user_no, user.c.disabled_ms).where(user.c.name == name)
    ).one_or_none()
    if row is None:
        return
    connection.execute(
        update(api_token)
        .where(api_token.c.user_no == row.user_no, api_token.c.revoked_ms.is_(None))
        .values(revoked_ms=now_ms)
    )
    if row.disabled_ms is None:
        change_user(connection, name=name, disabled=True, actor=actor, now_ms=now_ms)
