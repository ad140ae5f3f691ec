"""Groups of everything that are kept: what dashboards ask all the time and a large inventory takes long for.

They are counted by the same function as any group, and say when. Somebody who sees less than everything is
never shown them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, func, select

from keycensus_collector.inventory.groups import MOST_GROUPS, Group, Groups, counted_now, groups_of
from keycensus_collector.query.model import EVERYTHING, Query
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import host, place
from keycensus_collector.store.tables.figures import figure
from keycensus_collector.store.tables.ownership import label

# Counted anew when they are asked for: a figure, or all of a page, that costs no more is always of now.
CHEAP_MS = 100
# Older ones are not shown where counting is soon done. More than the keeper rests at the largest size.
OLDEST_MS = 4 * 3_600_000
# Of so many places everything is counted within what a page may take; of more, whoever asks does not wait.
FEW_PLACES = 50_000
# Among the figures that are kept: says that the overview's were counted.
_OVERVIEW = "overview"
# A page that is not cheap shows those as they are kept that take this share of what is.
_OF_A_PAGE = 0.15
# Labels whose groups are kept, of those that hosts and certificates have.
MOST_LABELS = 20

WEEKS = "expires-week"
# The groups of certificates that the overview shows.
OVERVIEW = (WEEKS, "issuer", "key-size", "owner", "label.environment")
_ALWAYS = {
    "certificates": ("key", "signature", "expires-month", "state", "renewal", "host"),
    "keys": ("key", "key-size", "owner", "host"),
    "places": ("role", "status", "format", "owner"),
    "hosts": ("state", "os", "owner"),
}


def group(
    connection: Connection, query: Query, target: str, by: str, now_ms: int, *, limit: int = 100
) -> Groups:
    """Return what a query lists, in groups; of everything, as they are kept. Errors as `counted_now`."""
    if query == EVERYTHING:
        known = kept_groups(connection, target, by, now_ms, limit=limit)
        if known is not None:
            return known
    return counted_now(connection, query, target, by, now_ms, limit=limit)


def kept_groups(
    connection: Connection, target: str, by: str, now_ms: int, *, limit: int
) -> Groups | None:
    """Return the groups of everything as they are kept; None if they are not."""
    plain = kept(connection, target, by, now_ms)
    if plain is None:
        return None
    known = Groups(**(plain | {"groups": [Group(**each) for each in plain["groups"]]}))
    left_out = known.left_out + max(0, len(known.groups) - limit)
    return replace(known, groups=known.groups[:limit], left_out=left_out)


def kept(connection: Connection, what: str, by: str, now_ms: int) -> dict[str, Any] | None:
    """Return a figure as it was kept, with `as_of` in it; None if none is, or an old one of few places."""
    row = connection.execute(
        select(figure.c.content, figure.c.at_ms).where(figure.c.what == what, figure.c.by == by)
    ).one_or_none()
    if row is None or (row.at_ms < now_ms - OLDEST_MS and not _is_large(connection)):
        return None
    content: dict[str, Any] = json.loads(row.content)
    return content


def _is_large(connection: Connection) -> bool:
    return (connection.execute(select(func.max(place.c.place_no))).scalar() or 0) > FEW_PLACES


def are_awaited(connection: Connection) -> bool:
    """Return whether the overview's figures, of many places, were never counted yet: what is not kept is not known.

    Somebody who sees less than everything is shown none that are kept, and so waits for none.
    """
    which = select(figure.c.at_ms).where(figure.c.what == _OVERVIEW)
    return connection.execute(which).first() is None and _is_large(connection)


def kept_dimensions(connection: Connection) -> list[tuple[str, str]]:
    """Return the lists and dimensions of which figures are kept, besides those of the overview."""
    keys: set[str] = set(connection.execute(select(label.c.key).distinct()).scalars())
    for text in connection.execute(select(host.c.labels).distinct()).scalars():
        for values in json.loads(text or "{}").values():
            keys |= values.keys()
    labels = [f"label.{key}" for key in sorted(keys)[:MOST_LABELS] if groups_of(f"label.{key}")]
    return [
        (target, by)
        for target, always in _ALWAYS.items()
        for by in (*always, *(labels if target in {"certificates", "hosts"} else ()))
        if target != "certificates" or by not in OVERVIEW
    ]


def count_one(connection: Connection, target: str, by: str, now_ms: int) -> Groups:
    """Return all groups of everything."""
    return counted_now(connection, EVERYTHING, target, by, now_ms, limit=MOST_GROUPS)


@dataclass(frozen=True, slots=True)
class Counted:
    """A figure that was counted: of what, by what, when, how long that took, and what it is."""

    what: str
    by: str
    at_ms: int
    took_ms: int
    found: Any  # a dataclass


def keep(connection: Connection, counted: Counted, cheap_ms: float | None = None) -> None:
    """Keep a figure if it cost something; else let it be counted when it is asked for."""
    if counted.took_ms < (CHEAP_MS if cheap_ms is None else cheap_ms):
        which = (figure.c.what == counted.what, figure.c.by == counted.by)
        connection.execute(delete(figure).where(*which))
        return
    values = {
        "at_ms": counted.at_ms,
        "took_ms": counted.took_ms,
        "content": json.dumps(asdict(counted.found)),
    }
    statement = upsert(connection, figure).values(what=counted.what, by=counted.by, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["what", "by"], set_=values))


def keep_page(connection: Connection, page: Sequence[Counted]) -> None:
    """Keep those figures of one page that make it slow: none, if all of them together are cheap."""
    is_cheap = sum(each.took_ms for each in page) < CHEAP_MS
    for each in page:
        keep(connection, each, math.inf if is_cheap else CHEAP_MS * _OF_A_PAGE)


def keep_that_counted(connection: Connection, now_ms: int) -> None:
    """Keep that the overview's figures were counted: one that is not kept was cheap then."""
    values = {"at_ms": now_ms, "took_ms": 0, "content": "{}"}
    statement = upsert(connection, figure).values(what=_OVERVIEW, by="", **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["what", "by"], set_=values))


def forget_old(connection: Connection, now_ms: int) -> None:
    """Delete figures that were not counted again, as of views that are deleted."""
    connection.execute(delete(figure).where(figure.c.at_ms < now_ms - OLDEST_MS))
