"""Groups of everything that are kept: what dashboards ask all the time and a large inventory takes long for.

They are counted by the same function as any group, and say when. Somebody who sees less than everything is
never shown them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from sqlalchemy import Connection, delete, select

from keycensus_collector.inventory.groups import MOST_GROUPS, Group, Groups, counted_now, groups_of
from keycensus_collector.query.model import EVERYTHING, Query
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import host
from keycensus_collector.store.tables.figures import figure
from keycensus_collector.store.tables.ownership import label

# Counted anew when they are asked for: what costs no more than this is always of now.
CHEAP_MS = 100
# Older ones are not shown: whoever keeps them has trouble.
OLDEST_MS = 900_000
# Labels whose groups are kept, of those that hosts and certificates have.
MOST_LABELS = 20

_ALWAYS = {
    "certificates": (
        *("issuer", "key", "key-size", "signature", "expires-week", "expires-month", "state"),
        *("renewal", "owner", "host"),
    ),
    "keys": ("key", "key-size", "owner", "host"),
    "places": ("role", "status", "format", "owner"),
    "hosts": ("state", "os", "owner"),
}


def group(
    connection: Connection, query: Query, target: str, by: str, now_ms: int, *, limit: int = 100
) -> Groups:
    """Return what a query lists, in groups; of everything, as they are kept. Errors as `counted_now`."""
    if query == EVERYTHING:
        kept = _kept(connection, target, by, now_ms)
        if kept is not None:
            return replace(
                kept,
                groups=kept.groups[:limit],
                left_out=kept.left_out + max(0, len(kept.groups) - limit),
            )
    return counted_now(connection, query, target, by, now_ms, limit=limit)


def _kept(connection: Connection, target: str, by: str, now_ms: int) -> Groups | None:
    content = connection.execute(
        select(figure.c.content).where(
            figure.c.what == target, figure.c.by == by, figure.c.at_ms >= now_ms - OLDEST_MS
        )
    ).scalar_one_or_none()
    if content is None:
        return None
    plain = json.loads(content)
    return Groups(**(plain | {"groups": [Group(**each) for each in plain["groups"]]}))


def kept_dimensions(connection: Connection) -> list[tuple[str, str]]:
    """Return the lists and dimensions of which figures are kept."""
    keys: set[str] = set(connection.execute(select(label.c.key).distinct()).scalars())
    for text in connection.execute(select(host.c.labels).distinct()).scalars():
        for values in json.loads(text or "{}").values():
            keys |= values.keys()
    labels = [f"label.{key}" for key in sorted(keys)[:MOST_LABELS] if groups_of(f"label.{key}")]
    return [
        (target, by)
        for target, always in _ALWAYS.items()
        for by in (*always, *(labels if target in {"certificates", "hosts"} else ()))
    ]


def count_one(connection: Connection, target: str, by: str, now_ms: int) -> Groups:
    """Return all groups of everything."""
    return counted_now(connection, EVERYTHING, target, by, now_ms, limit=MOST_GROUPS)


def keep(connection: Connection, target: str, found: Groups, *, at_ms: int, took_ms: int) -> None:
    """Keep groups of everything if they cost something; else let them be counted when asked for."""
    if took_ms < CHEAP_MS:
        connection.execute(delete(figure).where(figure.c.what == target, figure.c.by == found.by))
        return
    values = {"at_ms": at_ms, "took_ms": took_ms, "content": json.dumps(asdict(found))}
    statement = upsert(connection, figure).values(what=target, by=found.by, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["what", "by"], set_=values))
