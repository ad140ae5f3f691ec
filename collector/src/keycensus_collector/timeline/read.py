"""A page of the time line of what an ID names."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.paging import BIGGEST_INTEGER
from keycensus_collector.inventory.places import PRIVATE_KINDS
from keycensus_collector.inventory.results import Match
from keycensus_collector.inventory.values import time_text
from keycensus_collector.store.schema import certificate, host
from keycensus_collector.timeline.artifact import happenings_of
from keycensus_collector.timeline.model import Event, Happening, TimeLine
from keycensus_collector.timeline.of_host import happenings_on

_KINDS = {"certificate": ("certificate",), "key": (*PRIVATE_KINDS, "public-key")}


def time_line(
    connection: Connection, match: Match, *, before_ms: int | None, limit: int
) -> TimeLine:
    """Return events before a moment, the newest first: `limit`, and those of the last one's moment."""
    bound = BIGGEST_INTEGER if before_ms is None else before_ms
    since: int | None = None
    if match.kind == "host":
        number = connection.execute(
            select(host.c.host_no).where(host.c.host_id == match.id)
        ).scalar_one()
        found, since = happenings_on(connection, number, match.name, before_ms=bound, limit=limit)
    elif match.kind in _KINDS:
        identity = bytes.fromhex(match.id)
        key_id = identity
        if match.kind == "certificate":
            own = select(certificate.c.key_id).where(certificate.c.sha256 == identity)
            key_id = connection.execute(own).scalar_one()
        found = happenings_of(connection, identity, _KINDS[match.kind], key_id)
    else:
        raise UsageError(f"certificates, keys and hosts have a time line, and no {match.kind}")
    ordered = sorted((each for each in found if each.at_ms < bound), key=lambda each: each.order)
    page = _whole_moments(ordered, limit)
    next_ = page[-1].at_ms if len(page) < len(ordered) else since
    return TimeLine(match.kind, match.id, match.name, [_event(each) for each in page], next_)


def _whole_moments(ordered: Sequence[Happening], limit: int) -> list[Happening]:
    if len(ordered) <= limit:
        return list(ordered)
    last = ordered[limit - 1].at_ms
    return [each for each in ordered if each.at_ms >= last]


def _event(each: Happening) -> Event:
    return Event(time_text(each.at_ms), each.what, each.host, each.path, each.detail, each.cause)
