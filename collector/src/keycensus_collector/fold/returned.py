"""Where what is marked came back: what places began to hold, for `marks.appearing`.

Two moments can tell. A batch is folded: its versions say what places hold from then on. Or the issuer
of a certificate is found, which may come later: then the places that hold it now are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from sqlalchemy import Connection, func, select

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.fold.contents import Contents, load_contents
from keycensus_collector.fold.versions import Version, version_of
from keycensus_collector.inventory.places import entries
from keycensus_collector.marks.appearing import (
    Holding,
    marks_reaching,
    note_appearances,
    standing_marks,
)
from keycensus_collector.store.schema import manifest_entry, place, place_version

# Places of one certificate that are looked at when its issuer is found late; on more of them it was not
# news.
_PLACES = 1_000


def note_returned(connection: Connection, versions: Sequence[Version], contents: Contents) -> None:
    """Note what these versions (of some batches, in order) began to hold that a mark reaches."""
    marks = standing_marks(connection)
    if not marks:
        return
    keys = {key for listed in contents.keys.values() for key in listed}
    reached = marks_reaching(connection, contents.certificates, keys, marks)
    if not reached:
        return
    marked = frozenset(reached)
    holding = {v.version_no: _held(v, contents) & marked for v in versions}
    touching = {version.place_no for version in versions if holding[version.version_no]}
    last = _last_before(connection, versions[0].version_no, touching)
    held = {number: _held(version, contents) for number, version in last.items()}
    holdings = []
    for version in versions:
        now = holding[version.version_no]
        if now:
            holdings.append(_holding(version, now, held.get(version.place_no, frozenset())))
        held[version.place_no] = now
    note_appearances(connection, holdings, reached)


def note_issued(connection: Connection, children: set[bytes]) -> None:
    """Note where certificates stand, whose issuer was just found, if a mark above reaches them so."""
    marks = standing_marks(connection) if children else None
    if not marks:
        return
    reached = marks_reaching(connection, children, (), marks)
    certificates = [artifact for _, artifact in reached]
    for artifact in certificates:
        chains = _chains(connection, artifact)
        contents = load_contents(connection, {v.manifest for chain in chains for v in chain})
        thing = ("certificate", artifact)
        holdings = []
        for chain in chains:
            held = [thing in _held(version, contents) for version in chain]
            if not held[0]:
                continue
            # Newest first: it began where the version before did not hold it.
            began = next(
                (i for i, (_, earlier) in enumerate(pairwise(held)) if not earlier), len(held) - 1
            )
            holdings.append(_holding(chain[began], frozenset({thing}), frozenset()))
        note_appearances(connection, holdings, {thing: reached[thing]})


def _holding(
    version: Version,
    held: frozenset[tuple[str, bytes]],
    before: frozenset[tuple[str, bytes]],
) -> Holding:
    return Holding(version.place_no, version.from_ms, version.cause, held, before)


def _held(version: Version, contents: Contents) -> frozenset[tuple[str, bytes]]:
    if not version.is_live:
        return frozenset()
    certificates = {("certificate", sha256) for sha256 in contents.of(version.manifest)}
    return frozenset(certificates | {("key", key) for key in contents.keys_of(version.manifest)})


def _last_before(connection: Connection, first: int, places: Iterable[int]) -> dict[int, Version]:
    """Return per place its last version before number `first`, whether it held anything or not."""
    found: dict[int, Version] = {}
    for chunk in chunked(sorted(places)):
        last = (
            select(func.max(place_version.c.version_no))
            .where(place_version.c.place_no.in_(chunk), place_version.c.version_no < first)
            .group_by(place_version.c.place_no)
        )
        rows = connection.execute(select(place_version).where(place_version.c.version_no.in_(last)))
        found |= {row.place_no: version_of(row) for row in rows}
    return found


def _chains(connection: Connection, sha256: bytes) -> list[list[Version]]:
    """Return the versions, newest first, of each place that holds a certificate now."""
    found = entries(manifest_entry.c.artifact == sha256, manifest_entry.c.kind == "certificate")
    holding = (
        select(place.c.place_no)
        .join(found, found.c.manifest == place.c.manifest)
        .where(place.c.gone_ms.is_(None))
        .order_by(place.c.place_no)
        .limit(_PLACES)
    )
    numbers = sorted(set(connection.execute(holding).scalars()))
    chains: dict[int, list[Version]] = {}
    for chunk in chunked(numbers):
        rows = connection.execute(
            select(place_version)
            .where(place_version.c.place_no.in_(chunk))
            .order_by(place_version.c.place_no, place_version.c.version_no.desc())
        )
        for row in rows:
            chains.setdefault(row.place_no, []).append(version_of(row))
    return list(chains.values())
