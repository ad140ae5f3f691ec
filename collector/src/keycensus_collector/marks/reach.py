"""What a mark reaches now: certificates, keys, places and hosts, by the query that lists them."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from keycensus_collector.inventory import results
from keycensus_collector.inventory.counts import count_bounded
from keycensus_collector.inventory.place_list import list_places
from keycensus_collector.inventory.places import PLACES_LIMIT
from keycensus_collector.inventory.values import time_text
from keycensus_collector.marks.stored import Mark
from keycensus_collector.query.model import Query
from keycensus_collector.query.parse import parse
from keycensus_collector.store.schema import certificate, host, place
from keycensus_collector.store.tables.marks import reappearance

# Old copies and trust stores count, too.
_EVERYWHERE = " use:any role:any"


@dataclass(frozen=True, slots=True)
class Reappearance:
    """A place that began to hold what a mark reaches while the mark stood."""

    kind: str  # "certificate", "key"
    id: str
    host: str
    path: str
    at: str | None
    cause: str


@dataclass(frozen=True, slots=True)
class MarkDetail:
    """A mark with all that it reaches. Totals are exact to 10,000."""

    mark: Mark
    certificates: int
    keys: int
    hosts: int
    places_total: int
    places: list[results.Place]  # live and retained ones, trust stores too, by host and path
    key_id: str = ""  # of a certificate that is marked itself; empty: not known
    of_same_key: int = 0  # other certificates of that key, which this mark does not reach
    reappearances: list[Reappearance] = field(default_factory=list)  # the newest first


def reach_of(connection: Connection, mark: Mark, now_ms: int) -> MarkDetail:
    """Return what a mark reaches now, with at most PLACES_LIMIT places."""
    query = parse(mark.query + _EVERYWHERE)

    def total(target: str, query: Query) -> int:
        return count_bounded(connection, query, target, now_ms)[0]

    # Of a certificate's mark the key is not meant: nobody said that it got out.
    keys = 0
    if mark.kind == "key":
        keys = total("keys", parse(f"key-id:{mark.id}{_EVERYWHERE}"))
    key_id, of_same_key = _others_of_key(connection, mark)
    places = list_places(connection, query, now_ms, limit=PLACES_LIMIT)
    return MarkDetail(
        mark=mark,
        certificates=total("certificates", query),
        keys=keys,
        hosts=total("hosts", query),
        places_total=places.total,
        places=sorted(places.items, key=lambda each: (each.use == "retained", each.host)),
        key_id=key_id,
        of_same_key=of_same_key,
        reappearances=_reappearances(connection, mark.number),
    )


def _others_of_key(connection: Connection, mark: Mark) -> tuple[str, int]:
    """Return the key of a certificate that is marked, and how many others have it."""
    if mark.kind != "certificate":
        return "", 0
    own, sha256 = certificate.c, bytes.fromhex(mark.id)
    key_id = connection.execute(select(own.key_id).where(own.sha256 == sha256)).scalar()
    if not key_id:
        return "", 0
    others = select(func.count()).where(own.key_id == key_id, own.sha256 != sha256)
    return key_id.hex(), connection.execute(others).scalar_one()


def _reappearances(connection: Connection, number: int) -> list[Reappearance]:
    rows = connection.execute(
        select(reappearance, host.c.name, place.c.path)
        .join(place, place.c.place_no == reappearance.c.place_no)
        .join(host, host.c.host_no == place.c.host_no)
        .where(reappearance.c.mark_no == number)
        .order_by(reappearance.c.at_ms.desc(), reappearance.c.reappearance_no.desc())
        .limit(PLACES_LIMIT)
    )
    return [
        Reappearance(
            row.kind, row.artifact.hex(), row.name, row.path, time_text(row.at_ms), row.cause
        )
        for row in rows
    ]
