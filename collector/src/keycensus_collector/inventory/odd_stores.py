"""Trust stores that differ from the fleet: not the certificates that most hosts have at the same path.

Two files are the same if they hold the same set of certificates, whatever their order and form. A path that
fewer than three hosts have, or whose two most frequent sets are on as many hosts, has no usual set.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from sqlalchemy import Connection, delete, func, insert, select, union_all

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.store.schema import manifest_entry, manifest_part, place
from keycensus_collector.store.tables.figures import odd_trust_store

FEWEST_HOSTS = 3

Pair = tuple[bytes, bytes]  # hash of a path, and manifest


def odd_pairs(connection: Connection) -> set[Pair]:
    """Return the paths and contents of trust stores in use that differ from what is usual there."""
    stores = (
        place.c.role == "trust-store",
        place.c.scope_kind == "host",
        place.c.use != "retained",
        place.c.gone_ms.is_(None),
        func.length(place.c.manifest) > 0,
    )
    rows = connection.execute(
        select(place.c.path_hash, place.c.manifest, func.count().label("hosts"))
        .where(*stores)
        .group_by(place.c.path_hash, place.c.manifest)
    )
    by_path: dict[bytes, dict[bytes, int]] = defaultdict(dict)
    for path_hash, manifest, hosts in rows:
        by_path[path_hash][manifest] = hosts
    several = {
        path: hosts
        for path, hosts in by_path.items()
        if len(hosts) > 1 and sum(hosts.values()) >= FEWEST_HOSTS
    }
    sets = _sets(connection, {manifest for hosts in several.values() for manifest in hosts})
    found: set[Pair] = set()
    for path, hosts in several.items():
        usual = _usual(hosts, sets)
        if usual is not None:
            found |= {(path, manifest) for manifest in hosts if sets[manifest] != usual}
    return found


def _usual(hosts: dict[bytes, int], sets: dict[bytes, frozenset[bytes]]) -> frozenset[bytes] | None:
    by_set = Counter[frozenset[bytes]]()
    for manifest, number in hosts.items():
        by_set[sets[manifest]] += number
    first, *others = by_set.most_common(2)
    return None if others and others[0][1] == first[1] else first[0]


def _sets(connection: Connection, manifests: Iterable[bytes]) -> dict[bytes, frozenset[bytes]]:
    """Return the certificates that each manifest holds, itself or in its parts."""
    wanted = sorted(manifests)
    held: dict[bytes, set[bytes]] = {manifest: set() for manifest in wanted}
    entry, part = manifest_entry.c, manifest_part.c
    for chunk in chunked(wanted):
        whole = select(entry.manifest, entry.artifact).where(
            entry.manifest.in_(chunk), entry.kind == "certificate"
        )
        in_parts = (
            select(part.manifest, entry.artifact)
            .join(manifest_part, part.part == entry.manifest)
            .where(part.manifest.in_(chunk), entry.kind == "certificate")
        )
        for manifest, artifact in connection.execute(union_all(whole, in_parts)):
            held[manifest].add(artifact)
    return {manifest: frozenset(artifacts) for manifest, artifacts in held.items()}


def known_pairs(connection: Connection) -> set[Pair]:
    """Return the pairs that were found last."""
    rows = connection.execute(select(odd_trust_store))
    return {(row.path_hash, row.manifest) for row in rows}


def keep_pairs(connection: Connection, pairs: Iterable[Pair]) -> None:
    """Keep these pairs instead of those that were found last."""
    connection.execute(delete(odd_trust_store))
    rows = [{"path_hash": path, "manifest": manifest} for path, manifest in sorted(pairs)]
    if rows:
        connection.execute(insert(odd_trust_store), rows)
