"""The owners of certificates and keys, worked out for a chunk of them at a time.

Read first, written after: nothing slow stands in a writing transaction. Places are asked by manifest,
so a bundle on ten thousand hosts is looked at once, not once for each of its certificates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, case, func, select, union, update

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.ownership import queue
from keycensus_collector.ownership.following import followers, through_certificates
from keycensus_collector.ownership.resolve import Said, Standing, of_artifact
from keycensus_collector.ownership.rows import Changes
from keycensus_collector.store.schema import (
    certificate,
    manifest_entry,
    manifest_part,
    place,
    public_key,
)
from keycensus_collector.store.tables.ownership import (
    CERTIFICATE,
    artifact_owner,
    host_owner,
    owner_assignment,
    place_owner,
)

_ENTRIES = {1: ("certificate",), 2: ("private-key", "sealed-key", "sealed-container")}
_COLUMNS = ("owns", "how", "source_no")


@dataclass(slots=True)
class Plan:
    """What changes for the certificates or keys of a chunk."""

    kind: int
    rows: Changes
    owned: list[bytes] = field(default_factory=list)  # have an owner, and had none
    ownerless: list[bytes] = field(default_factory=list)
    changed: set[bytes] = field(default_factory=set)


def plan(
    connection: Connection, kind: int, artifacts: Sequence[bytes], rules: Mapping[bytes, Said]
) -> Plan:
    """Work out the owners of these. `rules`: what rules say of some of them."""
    said = dict(rules) | _explicit(connection, kind, artifacts)
    through = {} if kind == CERTIFICATE else through_certificates(connection, artifacts)
    installers, others = _teams_of_places(connection, kind, artifacts)
    wanted: dict[object, tuple[object, ...]] = {}
    owners: set[bytes] = set()
    for artifact in artifacts:
        standings = of_artifact(
            said.get(artifact), installers[artifact], others[artifact], through.get(artifact)
        )
        for standing in standings:
            wanted[artifact, standing.team_no] = _values(standing)
        if any(standing.owns for standing in standings):
            owners.add(artifact)
    now: dict[object, tuple[int, tuple[object, ...]]] = {}
    for chunk in chunked(artifacts):
        rows = connection.execute(
            select(artifact_owner).where(
                artifact_owner.c.kind == kind,
                artifact_owner.c.artifact.in_(chunk),
                artifact_owner.c.to_ms.is_(None),
            )
        )
        for row in rows:
            values = (row.owns, row.how, row.source_no)
            now[row.artifact, row.team_no] = (row.artifact_owner_no, values)
    made = Plan(kind, Changes(artifact_owner))
    changed = made.rows.compare(now, wanted, _COLUMNS, ("artifact", "team_no"))
    made.changed = {key[0] for key in changed if isinstance(key, tuple)}
    made.owned, made.ownerless = _flags(connection, kind, artifacts, owners)
    return made


def write(connection: Connection, made: Plan, now_ms: int) -> None:
    """Write what a plan changes."""
    for row in made.rows.begun:
        row["kind"] = made.kind
    made.rows.write(connection, now_ms)
    if made.kind == CERTIFICATE:
        queue.put_artifacts(connection, followers(connection, made.changed))
    table = certificate if made.kind == CERTIFICATE else public_key
    key = table.primary_key.columns[0]
    for flag, hashes in ((True, made.owned), (False, made.ownerless)):
        for chunk in chunked(hashes):
            connection.execute(update(table).where(key.in_(chunk)).values(owned=flag))


def _values(standing: Standing) -> tuple[object, ...]:
    return (standing.owns, standing.how, standing.source_no)


def _flags(
    connection: Connection, kind: int, artifacts: Sequence[bytes], owners: set[bytes]
) -> tuple[list[bytes], list[bytes]]:
    table = certificate if kind == CERTIFICATE else public_key
    key = table.primary_key.columns[0]
    owned: list[bytes] = []
    ownerless: list[bytes] = []
    for chunk in chunked(artifacts):
        for hash_, flag in connection.execute(
            select(key, table.c.owned).where(key.in_(chunk)).order_by(key)
        ):
            if flag != (hash_ in owners):
                (ownerless if flag else owned).append(hash_)
    return owned, ownerless


def _explicit(connection: Connection, kind: int, artifacts: Sequence[bytes]) -> dict[bytes, Said]:
    """Return who was given each, itself or by its line; itself goes before its line."""
    given = owner_assignment.c
    said: dict[bytes, Said] = {}
    for chunk in chunked(artifacts):
        if kind == CERTIFICATE:
            lines = (
                select(certificate.c.sha256.label("artifact"), given.team_no, given.assignment_no)
                .join(
                    owner_assignment,
                    and_(given.scope == "line", given.number == certificate.c.line_no),
                )
                .where(certificate.c.sha256.in_(chunk), given.to_ms.is_(None))
            )
            for row in connection.execute(lines):
                said[row.artifact] = Said(row.team_no, "explicit", row.assignment_no)
        own = select(given.artifact, given.team_no, given.assignment_no).where(
            given.scope == ("certificate" if kind == CERTIFICATE else "key"),
            given.artifact.in_(chunk),
            given.to_ms.is_(None),
        )
        for row in connection.execute(own):
            said[row.artifact] = Said(row.team_no, "explicit", row.assignment_no)
    return said


_Teams = dict[bytes, set[int]]


def _teams_of_places(
    connection: Connection, kind: int, artifacts: Sequence[bytes]
) -> tuple[_Teams, _Teams]:
    """Return the teams of the live places of each outside trust stores, and of all its places."""
    holders: dict[bytes, set[bytes]] = defaultdict(set)
    entry, part = manifest_entry.c, manifest_part.c
    for chunk in chunked(artifacts):
        named = entry.artifact.in_(chunk), entry.kind.in_(_ENTRIES[kind])
        whole = select(entry.artifact, entry.manifest).where(*named)
        in_parts = (
            select(entry.artifact, part.manifest)
            .join(manifest_part, part.part == entry.manifest)
            .where(*named)
        )
        for artifact, manifest in connection.execute(union(whole, in_parts)):
            holders[artifact].add(manifest)
    by_manifest = _teams_of_manifests(connection, sorted(set().union(*holders.values())))
    installers: _Teams = {artifact: set() for artifact in artifacts}
    others: _Teams = {artifact: set() for artifact in artifacts}
    for artifact, manifests in holders.items():
        for manifest in manifests:
            for number, installs in by_manifest.get(manifest, ()):
                others[artifact].add(number)
                if installs:
                    installers[artifact].add(number)
    return installers, others


def _teams_of_manifests(
    connection: Connection, manifests: Sequence[bytes]
) -> dict[bytes, list[tuple[int, bool]]]:
    """Return the teams of the places of each manifest, and whether one of those counts as in use."""
    number = func.coalesce(place_owner.c.team_no, host_owner.c.team_no)
    in_use = and_(place.c.use != "retained", place.c.role != "trust-store")
    own = and_(place_owner.c.place_no == place.c.place_no, place_owner.c.to_ms.is_(None))
    of_host = and_(host_owner.c.host_no == place.c.host_no, host_owner.c.to_ms.is_(None))
    found: dict[bytes, list[tuple[int, bool]]] = defaultdict(list)
    for chunk in chunked(manifests):
        rows = connection.execute(
            select(
                place.c.manifest,
                number.label("team_no"),
                func.max(case((in_use, 1), else_=0)).label("installs"),
            )
            .select_from(place)
            .outerjoin(place_owner, own)
            .outerjoin(host_owner, of_host)
            .where(place.c.manifest.in_(chunk), place.c.gone_ms.is_(None), number.is_not(None))
            .group_by(place.c.manifest, number)
        )
        for row in rows:
            found[row.manifest].append((row.team_no, bool(row.installs)))
    return found
