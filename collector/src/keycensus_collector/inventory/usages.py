"""Who uses an artifact: bindings of the places that hold it, and listeners that presented it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    union_all,
)

from keycensus_collector.inventory import results
from keycensus_collector.inventory.places import entries, is_now
from keycensus_collector.inventory.server_names import uncovered
from keycensus_collector.inventory.values import lines_of, time_text
from keycensus_collector.store.schema import (
    certificate,
    host,
    manifest_entry,
    manifest_part,
    place,
    usage,
    usage_place,
)

VERDICTS = ("served", "not-reloaded", "served-but-not-on-disk", "served-another")
# Of the usages of one certificate, what is told first.
_WORST = {verdict: rank for rank, verdict in enumerate(("", "served", *reversed(VERDICTS[1:])))}
# Usages in one answer, and paths of one usage.
USAGES_LIMIT = 200
_PATHS_EACH = 20
# Directives whose certificate is the one that clients see.
_OWN = frozenset({"certificate", "store", "handshake"})


def _stands() -> ColumnElement[bool]:
    return usage.c.to_ms.is_(None)


def _at_places(*conditions: ColumnElement[bool]) -> Select[int]:
    """Return numbers of usages that name a place which satisfies the conditions."""
    return (
        select(usage.c.usage_no)
        .join(usage_place, usage_place.c.usage_no == usage.c.usage_no)
        .join(
            place,
            and_(place.c.host_no == usage.c.host_no, place.c.path_hash == usage_place.c.path_hash),
        )
        .where(_stands(), is_now(), *conditions)
    )


def usages_of(
    connection: Connection, artifact: bytes, kinds: Sequence[str], *, names: Sequence[str] = ()
) -> list[results.Usage]:
    """Return usages of the places that hold an artifact, and of listeners that presented it.

    `names`: those of the certificate; configured names that are not among them are told.
    """
    found = entries(manifest_entry.c.artifact == artifact, manifest_entry.c.kind.in_(kinds))
    manifests = select(found.c.manifest)
    rows = _rows(
        connection,
        or_(
            usage.c.usage_no.in_(_at_places(place.c.manifest.in_(manifests))),
            usage.c.manifest.in_(manifests),
        ),
    )
    usages = _usages(connection, rows)
    if not names:
        return usages
    return [
        replace(each, uncovered=uncovered(each.server_names, names))
        if each.directive in _OWN
        else each
        for each in usages
    ]


def usages_on(connection: Connection, host_no: int) -> list[results.Usage]:
    """Return the usages of one host."""
    return _usages(connection, _rows(connection, usage.c.host_no == host_no))


def _rows(connection: Connection, condition: ColumnElement[bool]) -> Sequence[Row[Any]]:
    return connection.execute(
        select(usage, host.c.host_id, host.c.name.label("host_name"))
        .join(host, host.c.host_no == usage.c.host_no)
        .where(_stands(), condition)
        .order_by(
            host.c.name, usage.c.service, usage.c.configuration, usage.c.line, usage.c.usage_no
        )
        .limit(USAGES_LIMIT)
    ).all()


def _usages(connection: Connection, rows: Sequence[Row[Any]]) -> list[results.Usage]:
    paths = _paths(connection, [row.usage_no for row in rows])
    return [_usage(row, paths.get(row.usage_no, [])) for row in rows]


def _paths(connection: Connection, numbers: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for number, path in connection.execute(
        select(usage_place.c.usage_no, place.c.path)
        .join(usage, usage.c.usage_no == usage_place.c.usage_no)
        .join(
            place,
            and_(place.c.host_no == usage.c.host_no, place.c.path_hash == usage_place.c.path_hash),
        )
        .where(usage_place.c.usage_no.in_(numbers), is_now())
        .order_by(usage_place.c.usage_no, place.c.path)
    ):
        if len(found[number]) < _PATHS_EACH:
            found[number].append(path)
    return found


def _usage(row: Row[Any], paths: list[str]) -> results.Usage:
    return results.Usage(
        host_id=row.host_id,
        host=row.host_name,
        service=row.service,
        unit=row.unit,
        configuration=row.configuration,
        line=row.line,
        directive=row.directive,
        paths=paths,
        server_names=lines_of(row.server_names),
        uncovered=[],
        listen=lines_of(row.listen),
        password_source=row.password_source,
        processes=lines_of(row.processes),
        verdict=row.verdict,
        handshakes=[results.Handshake(**each) for each in json.loads(row.handshakes)],
        asked=time_text(row.asked_ms),
        renewal_tool=row.renewal_tool,
        renewed=time_text(row.renewal_success_ms),
        renewal_overdue=row.renewal_overdue,
        renewal_schedule=row.renewal_schedule,
        renewal_reason=row.renewal_reason,
        since=time_text(row.from_ms),
    )


# --- a page of certificates -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """What usages say of one certificate in a list."""

    verdict: str = ""
    renewed_by: str = ""
    renewal_overdue: bool = False


NOTHING_TOLD = Told()
# An authority that every host has is used by nobody in particular; asking each of its places takes seconds.
MOST_PLACES_TOLD = 1_000


def is_told(row: Row[Any]) -> bool:
    """Whether it is told of a certificate: of those that listeners present, not of who issued them."""
    few = row.live_places + row.retained_places <= MOST_PLACES_TOLD
    return few and (not row.is_ca or row.self_signed)


def worst_verdict() -> ColumnElement[int]:
    """Return the verdict that `told_of` tells of each row of `certificate`, the worst before the others."""
    own, spot = certificate.c, place.alias("spot")
    used, entry, part = usage.alias("used"), manifest_entry.c, manifest_part.c
    whole = select(entry.manifest).where(entry.artifact == own.sha256, entry.kind == "certificate")
    in_parts = (
        select(part.manifest)
        .join(manifest_entry, entry.manifest == part.part)
        .where(entry.artifact == own.sha256, entry.kind == "certificate")
    )
    manifests = union_all(whole.correlate(certificate), in_parts.correlate(certificate))
    at_places = (
        select(used.c.usage_no)
        .join(usage_place, usage_place.c.usage_no == used.c.usage_no)
        .join(
            spot,
            and_(
                spot.c.host_no == used.c.host_no,
                spot.c.path_hash == usage_place.c.path_hash,
            ),
        )
        .where(spot.c.manifest.in_(manifests), spot.c.gone_ms.is_(None))
    )
    presented = select(used.c.usage_no).where(used.c.manifest.in_(manifests))
    found = union_all(at_places.correlate(certificate), presented.correlate(certificate))
    weight = case(_WORST, value=usage.c.verdict, else_=0)
    worst = (
        select(func.max(weight))
        .where(_stands(), usage.c.usage_no.in_(found))
        .correlate(certificate)
        .scalar_subquery()
    )
    told = and_(
        own.live_places + own.retained_places <= MOST_PLACES_TOLD,
        or_(own.is_ca.is_(False), own.self_signed.is_(True)),
    )
    return -func.coalesce(case((told, worst), else_=0), 0)


def told_of(connection: Connection, artifacts: Iterable[bytes]) -> dict[bytes, Told]:
    """Return the worst verdict of each certificate, and who renews it."""
    found = entries(
        manifest_entry.c.artifact.in_(list(artifacts)), manifest_entry.c.kind == "certificate"
    )
    said = (usage.c.verdict, usage.c.renewal_tool, usage.c.renewal_overdue)
    at_places = (
        select(found.c.artifact, *said)
        .join(place, place.c.manifest == found.c.manifest)
        .join(usage_place, usage_place.c.path_hash == place.c.path_hash)
        .join(
            usage,
            and_(usage.c.usage_no == usage_place.c.usage_no, usage.c.host_no == place.c.host_no),
        )
        .where(is_now(), _stands())
    )
    presented = (
        select(found.c.artifact, *said)
        .join(usage, usage.c.manifest == found.c.manifest)
        .where(_stands())
    )
    told: dict[bytes, Told] = {}
    for artifact, verdict, tool, overdue in connection.execute(
        at_places.union(presented).order_by(literal_column("1"), literal_column("3"))
    ):
        before = told.get(artifact, NOTHING_TOLD)
        told[artifact] = Told(
            max(before.verdict, verdict, key=lambda each: _WORST.get(each, 0)),
            before.renewed_by or tool,
            before.renewal_overdue or bool(overdue),
        )
    return told
