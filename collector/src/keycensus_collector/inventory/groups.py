"""A list in groups: how many of what it lists have which value. For charts, summaries and reports.

Each group says the query that lists just its members, so a chart leads to its rows and agrees with them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import Connection

from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.counts import count
from keycensus_collector.inventory.dimensions import (
    Asking,
    Dimension,
    OfColumns,
    by_conditions,
    by_period,
    by_renewal,
    by_state,
    by_week,
    equal,
    is_,
    key_size,
    word,
    yes,
)
from keycensus_collector.inventory.several import by_host, by_label, by_owner
from keycensus_collector.inventory.values import time_text
from keycensus_collector.query.fields import OF_TODAY, STATES
from keycensus_collector.query.model import Query, Term
from keycensus_collector.query.render import render

MOST_GROUPS = 1_000


@dataclass(frozen=True, slots=True)
class Group:
    """Those with one value. `query` lists them."""

    value: str
    count: int
    query: str


@dataclass(frozen=True, slots=True)
class Groups:
    """A list in groups, the largest first, or in an order of their own, as of time.

    `total`: how many the list has, whatever group they are in. `overlapping`: a thing may be in several
    groups, or in none, so that they need not add up to it.
    """

    by: str
    total: int
    groups: list[Group]
    left_out: int  # groups
    overlapping: bool
    as_of: str | None  # when they were counted


_OF_KEYS: dict[str, Dimension] = {
    "key": OfColumns(("algorithm",), equal("key")),
    "bits": OfColumns(("bits",), is_("bits")),
    "curve": OfColumns(("curve",), equal("curve")),
    "key-size": OfColumns(("algorithm", "bits"), key_size, "{} {}".format),
    "hosts": OfColumns(("hosts",), is_("hosts")),
    "owner": by_owner,
    "host": by_host,
}
BY: dict[str, dict[str, Dimension]] = {
    "certificates": {
        **_OF_KEYS,
        "issuer": OfColumns(("issuer",), equal("issuer")),
        "signature": OfColumns(("signature_algorithm",), equal("signature")),
        "ca": OfColumns(("is_ca",), yes("ca"), word),
        "self-signed": OfColumns(("self_signed",), yes("self-signed"), word),
        "expires-week": by_week,
        "expires-month": by_period("month"),
        "expires-year": by_period("year"),
        "state": by_state,
        "renewal": by_renewal,
    },
    "keys": _OF_KEYS,
    "places": {
        **{name: OfColumns((name,), equal(name)) for name in ("role", "status", "format")},
        **{name: OfColumns((name,), equal(name)) for name in ("group", "package", "reason")},
        "user": OfColumns(("owner",), equal("user")),
        "host": by_host,
        "owner": by_owner,
    },
    "gaps": {
        "reason": OfColumns(("reason",), equal("gap-reason")),
        "host": by_host,
        "owner": by_owner,
    },
    "hosts": {
        "state": by_conditions(*((word_, Term("state", ":", word_)) for word_ in STATES)),
        "os": OfColumns(("operating_system",), equal("os")),
        "agent": OfColumns(("agent_version",), equal("agent")),
        "owner": by_owner,
    },
}
_LABEL = re.compile(r"label\.([a-z0-9][a-z0-9._-]{0,62})")


def choices(target: str) -> list[str]:
    """Return what a list can be grouped by, beside `label.KEY`."""
    return list(BY[target])


def dimension(target: str, by: str) -> Dimension:
    """Return what counts a list by this; UsageError if the list has no such."""
    label = _LABEL.fullmatch(by)
    if label is not None:
        found: Dimension = by_label(label[1])
        return found
    if by not in BY[target]:
        known = ", ".join([*choices(target), "label.KEY"])
        raise UsageError(f"{target} can't be grouped by {by!r}, but by {known}")
    return BY[target][by]


def is_of_today(target: str, by: str) -> bool:
    """Return whether a list is counted by this as it is today, whatever day is asked for."""
    return by == "hosts" or (target == "hosts" and by in OF_TODAY)


def groups_of(by: str) -> bool:
    """Whether this names the values of a label."""
    return _LABEL.fullmatch(by) is not None


def counted_now(
    connection: Connection, query: Query, target: str, by: str, now_ms: int, *, limit: int = 100
) -> Groups:
    """Return what a query lists, in groups; UsageError if the list has no such."""
    if query.as_of and is_of_today(target, by):
        raise UsageError(f"{by} is counted of today: leave as-of out, or group by something else")
    asking = Asking(connection, query, target, now_ms, limit)
    counted = dimension(target, by)(asking)
    found = [each for each in counted.found if each.count]
    if not counted.in_order:
        found.sort(key=lambda each: (-each.count, each.value))
    total = sum(each.count for each in found)
    if counted.several:
        total = count(connection, query, target, now_ms)
    groups = [
        Group(each.value, each.count, render(asking.narrowed(each.node))) for each in found[:limit]
    ]
    left_out = counted.left_out + len(found) - len(groups)
    return Groups(by, total, groups, left_out, counted.several, time_text(now_ms))
