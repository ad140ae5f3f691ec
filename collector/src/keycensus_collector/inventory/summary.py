"""The counts that people look at first: each is the total of the list with the same query."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from keycensus_collector.inventory.counts import count
from keycensus_collector.inventory.figures import kept
from keycensus_collector.inventory.results import Summary
from keycensus_collector.inventory.values import time_text
from keycensus_collector.query.parse import parse
from keycensus_collector.store.schema import gap, host, work


def summarise(connection: Connection, now_ms: int) -> Summary:
    """Return the counts, as they are kept where counting takes long."""
    plain = kept(connection, "summary", "", now_ms)
    return count_summary(connection, now_ms) if plain is None else Summary(**plain)


def count_summary(connection: Connection, now_ms: int) -> Summary:
    """Return the counts as of now."""

    def total(target: str, query: str = "") -> int:
        return count(connection, parse(query), target, now_ms)

    states = connection.execute(select(host.c.state, func.count()).group_by(host.c.state))
    by_state = {row[0]: row[1] for row in states}
    gaps = select(func.count()).select_from(gap).where(gap.c.to_ms.is_(None))
    return Summary(
        as_of=time_text(now_ms),
        hosts=sum(by_state.values()),
        hosts_by_state=by_state,
        places=total("places"),
        certificates=total("certificates"),
        expired=total("certificates", "expires<0d"),
        expiring_30_days=total("certificates", "expires>=0d expires<30d"),
        keys=total("keys"),
        keys_without_certificate=total("keys", "certificate:none"),
        keys_readable_by_world=total("keys", "readable-by:world"),
        locked_places=total("places", "status:locked"),
        gaps=connection.execute(gaps).scalar_one(),
        waiting=count_waiting(connection),
    )


def count_waiting(connection: Connection) -> int:
    """Return how many rows of work are not folded yet."""
    return connection.execute(select(func.count()).select_from(work)).scalar_one()
