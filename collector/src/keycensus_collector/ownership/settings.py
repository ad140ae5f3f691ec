"""Settings of ownership that people change while the collector runs; kept as intervals."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.ownership.intervals import at
from keycensus_collector.store.tables.ownership import owner_setting, team

# The team that answers for what nobody owns.
FALLBACK = "fallback"
# Keys of labels of which rules believe the host's own word.
TRUSTED = "trusted-host-labels"


def setting(connection: Connection, name: str, as_of_ms: int | None = None) -> str:
    """Return a setting's value, now or at a past moment; empty if it was not set."""
    return (
        connection.execute(
            select(owner_setting.c.value).where(
                owner_setting.c.name == name, at(owner_setting, as_of_ms)
            )
        ).scalar_one_or_none()
        or ""
    )


def change_setting(
    connection: Connection, name: str, value: str, *, actor: str, now_ms: int
) -> None:
    """Set a value, or remove it by an empty one."""
    connection.execute(
        update(owner_setting)
        .where(owner_setting.c.name == name, owner_setting.c.to_ms.is_(None))
        .values(to_ms=now_ms)
    )
    if value:
        connection.execute(
            insert(owner_setting).values(name=name, value=value, from_ms=now_ms, to_ms=None)
        )
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="owner.setting",
        subject=name,
        detail={"value": value},
    )


def fallback_name(connection: Connection, as_of_ms: int | None = None) -> str:
    """Return the name of the fallback team; empty if there is none."""
    number = fallback_no(connection, as_of_ms)
    if number is None:
        return ""
    name = connection.execute(select(team.c.name).where(team.c.team_no == number)).scalar_one()
    return str(name)


def fallback_no(connection: Connection, as_of_ms: int | None = None) -> int | None:
    """Return the number of the fallback team; None if there is none."""
    number = setting(connection, FALLBACK, as_of_ms)
    if not number:
        return None
    return connection.execute(
        select(team.c.team_no).where(team.c.team_no == int(number))
    ).scalar_one_or_none()


def trusted_labels(connection: Connection) -> frozenset[str]:
    """Return the keys of labels of which rules believe what a host says of itself."""
    return frozenset(setting(connection, TRUSTED).split())
