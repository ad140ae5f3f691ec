"""How many places and hosts hold a certificate or a private key: the folded columns.

Counted through manifests: a CA bundle on ten thousand hosts is one manifest, so its places are
counted once, not once for each of its certificates. A tree counts for each of its names that hold the thing: it makes no
difference whether an agent tells of a trust store name by name or as one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import (
    Connection,
    Table,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    union,
    update,
)

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.fold.counterparts import note_counterparts
from keycensus_collector.query.relations import entries_of, live, tables_for, world_readable
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import (
    certificate,
    holding,
    manifest_entry,
    manifest_part,
    place,
    public_key,
)


class Counts(NamedTuple):
    """Places that hold something now, by use, and the hosts that they are on."""

    live_places: int = 0
    retained_places: int = 0
    hosts: int = 0

    def times(self, names: int) -> Counts:
        """Return them where each place is so many names."""
        return Counts(self.live_places * names, self.retained_places * names, self.hosts)


def fold_counts(
    connection: Connection,
    certificates: Iterable[bytes],
    private_keys: Iterable[bytes],
    now_ms: int,
) -> None:
    """Count anew and write the folded columns of these certificates and keys."""
    hashes_, keys = sorted(certificates), sorted(private_keys)
    _add_claimed_keys(connection, keys, now_ms)
    for table, kind, hashes in (
        (certificate, "certificate", hashes_),
        (public_key, "private-key", keys),
    ):
        for chunk in chunked(hashes):
            _write(connection, table, count_places(connection, kind, chunk), now_ms)
            _write_in_use(connection, table, kind, chunk)
            if table is public_key:
                _write_world_readable(connection, chunk)
    note_counterparts(connection, hashes_, keys)


def count_places(
    connection: Connection, kind: str, artifacts: Iterable[bytes]
) -> dict[bytes, Counts]:
    """Return the counts of artifacts of one kind as the places are now."""
    groups: dict[_Holders, list[bytes]] = defaultdict(list)
    for artifact, holders in _holders(connection, kind, list(artifacts)).items():
        groups[frozenset(holders.items())].append(artifact)
    single = _single(connection, [manifest for group in groups for manifest, _ in _only(group)])
    counted: dict[bytes, Counts] = {}
    for group, members in groups.items():
        counts = Counts()
        for manifest, names in _only(group):
            counts = single.get(manifest, counts).times(names)
        if len(group) > 1:
            counts = _several(connection, group)
        counted |= dict.fromkeys(members, counts)
    return counted


# Manifests that hold the same things, each with how many names of a tree it is; 1 for a file.
_Holders = frozenset[tuple[bytes, int]]


def _only(group: _Holders) -> _Holders:
    """Return a group of one, nothing of a larger one."""
    return group if len(group) == 1 else frozenset()


def _holders(
    connection: Connection, kind: str, artifacts: list[bytes]
) -> dict[bytes, dict[bytes, int]]:
    """Return for each artifact the manifests that places have, each with how many names hold it."""
    holders: dict[bytes, dict[bytes, int]] = {artifact: {} for artifact in artifacts}
    named = manifest_entry.c.artifact.in_(artifacts), manifest_entry.c.kind == kind
    direct = select(
        manifest_entry.c.artifact, manifest_entry.c.manifest, literal(1).label("names")
    ).where(*named)
    in_parts = (
        select(
            manifest_entry.c.artifact,
            manifest_part.c.manifest,
            func.count(manifest_part.c.name.distinct()).label("names"),
        )
        .join(manifest_part, manifest_part.c.part == manifest_entry.c.manifest)
        .where(*named)
        .group_by(manifest_entry.c.artifact, manifest_part.c.manifest)
    )
    for row in connection.execute(union(direct, in_parts)):
        held = holders[row.artifact]
        held[row.manifest] = max(1, row.names, held.get(row.manifest, 0))
    return holders


_LIVE = func.coalesce(func.sum(case((place.c.use != "retained", 1), else_=0)), 0)
_RETAINED = func.coalesce(func.sum(case((place.c.use == "retained", 1), else_=0)), 0)
_HOSTS = func.count(place.c.host_no.distinct())


def _single(connection: Connection, manifests: list[bytes]) -> dict[bytes, Counts]:
    """Count the places of each manifest by itself."""
    rows = connection.execute(
        select(place.c.manifest, _LIVE, _RETAINED, _HOSTS)
        .where(place.c.manifest.in_(manifests), place.c.gone_ms.is_(None))
        .group_by(place.c.manifest)
    )
    return {row[0]: Counts(row[1], row[2], row[3]) for row in rows}


def _several(connection: Connection, group: _Holders) -> Counts:
    """Count the places of these manifests together; a host that has several counts once."""
    live = retained = 0
    hosts: set[int] = set()
    by_names: dict[int, list[bytes]] = defaultdict(list)
    for manifest, names in sorted(group):
        by_names[names].append(manifest)
    for names, manifests in by_names.items():
        for chunk in chunked(manifests):
            rows = connection.execute(
                select(place.c.host_no, _LIVE, _RETAINED)
                .where(place.c.manifest.in_(chunk), place.c.gone_ms.is_(None))
                .group_by(place.c.host_no)
            )
            for host_no, lives, kept in rows:
                hosts.add(host_no)
                live, retained = live + names * lives, retained + names * kept
    return Counts(live, retained, len(hosts))


def _write(connection: Connection, table: Table, counted: dict[bytes, Counts], now_ms: int) -> None:
    key = table.primary_key.columns[0]
    connection.execute(
        update(table)
        .where(key == bindparam("artifact"))
        .values(
            live_places=bindparam("live"),
            retained_places=bindparam("retained"),
            hosts=bindparam("on_hosts"),
            folded_ms=now_ms,
        ),
        [
            {
                "artifact": artifact,
                "live": counts.live_places,
                "retained": counts.retained_places,
                "on_hosts": counts.hosts,
            }
            for artifact, counts in counted.items()
        ],
    )


def _write_in_use(connection: Connection, table: Table, kind: str, hashes: Iterable[bytes]) -> None:
    """Write how many live places outside trust stores these have, which intake counts by host."""
    key = table.primary_key.columns[0]
    held = select(func.coalesce(func.sum(holding.c.live), 0)).where(
        holding.c.artifact == key, holding.c.kind == kind
    )
    connection.execute(
        update(table).where(key.in_(list(hashes))).values(in_use=held.scalar_subquery())
    )


def _write_world_readable(connection: Connection, hashes: Iterable[bytes]) -> None:
    """Write which keys everybody can read at a live place outside trust stores."""
    tables = tables_for("keys", None)
    conditions = [
        manifest_entry.c.artifact == public_key.c.key_id,
        live(tables),
        func.lower(place.c.role) != "trust-store",
        world_readable(tables),
    ]
    found = entries_of(tables, manifest_entry.c.artifact, conditions, public_key)
    connection.execute(
        update(public_key)
        .where(public_key.c.key_id.in_(list(hashes)))
        .values(world_readable=or_(*(exists(query) for query in found)))
    )


def _add_claimed_keys(connection: Connection, keys: list[bytes], now_ms: int) -> None:
    """Make rows for private keys whose public half never came, by what their entries claim."""
    for chunk in chunked(keys):
        known = select(public_key.c.key_id).where(public_key.c.key_id == manifest_entry.c.artifact)
        rows = connection.execute(
            select(
                manifest_entry.c.artifact,
                func.max(manifest_entry.c.algorithm).label("algorithm"),
                func.max(manifest_entry.c.bits).label("bits"),
                func.max(manifest_entry.c.curve).label("curve"),
            )
            .where(
                manifest_entry.c.artifact.in_(chunk),
                manifest_entry.c.kind == "private-key",
                ~known.exists(),
            )
            .group_by(manifest_entry.c.artifact)
        ).all()
        if rows:
            connection.execute(
                upsert(connection, public_key).on_conflict_do_nothing(),
                [
                    {
                        "key_id": row.artifact,
                        "algorithm": row.algorithm,
                        "bits": row.bits,
                        "curve": row.curve,
                        "problem": "its public half was not received; algorithm as claimed",
                        "catalogue_version": 0,
                        "first_seen_ms": now_ms,
                        "live_places": 0,
                        "retained_places": 0,
                        "hosts": 0,
                        "folded_ms": 0,
                    }
                    for row in rows
                ],
            )
