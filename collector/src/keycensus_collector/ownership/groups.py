"""Memberships that follow groups at a provider: given and taken at each sign-in, those by hand stay."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.store.tables.ownership import membership, person, team


def follow_groups(
    connection: Connection,
    person_number: int,
    wanted: Collection[str],
    *,
    source: str,
    now_ms: int,
) -> list[str]:
    """Let a person belong to the teams `wanted`, as far as `source` says so, and to no other by it.

    Returns the names that no team has (any more). A team to which the person belongs by hand or by
    another source is left as it is.
    """
    rows = connection.execute(
        select(team.c.team_no, team.c.name).where(
            team.c.name.in_(wanted), team.c.dissolved_ms.is_(None), team.c.person_no.is_(None)
        )
    )
    numbers = {int(row.team_no): str(row.name) for row in rows}
    now = connection.execute(
        select(membership.c.membership_no, membership.c.team_no, membership.c.source, team.c.name)
        .join(team, team.c.team_no == membership.c.team_no)
        .where(membership.c.person_no == person_number, membership.c.to_ms.is_(None))
    ).all()
    ended = [row for row in now if row.source == source and row.team_no not in numbers]
    connection.execute(
        update(membership)
        .where(membership.c.membership_no.in_([row.membership_no for row in ended]))
        .values(to_ms=now_ms)
    )
    begun = sorted(numbers.keys() - {row.team_no for row in now})
    for number in begun:
        connection.execute(
            insert(membership).values(
                team_no=number, person_no=person_number, from_ms=now_ms, to_ms=None, source=source
            )
        )
    who = connection.execute(
        select(person.c.name).where(person.c.person_no == person_number)
    ).scalar_one()
    changes = [("team.member.remove", row.name) for row in ended]
    changes += [("team.member.add", numbers[number]) for number in begun]
    for action, name in changes:
        audit.record(
            connection,
            at_ms=now_ms,
            actor=source,
            action=action,
            subject=name,
            detail={"person": who},
        )
    return sorted(set(wanted) - set(numbers.values()))
