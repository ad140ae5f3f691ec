"""Fold batches into certificates, keys and lines: the transaction's plan.

1. The versions that the batches wrote, and for each place the content that it had before.
2. What those contents name. If a certificate or key among it has not been read yet, nothing is
   folded now: the caller has it read and comes again.
3. Steps: where a place's certificate followed another one.
4. Lines: a successor continues the line of its predecessor with most live places; a certificate
   that is live somewhere and follows nothing starts one.
5. Counts of all that is named, before and now.
6. What owners may follow from it is asked for (`ownership.queue`).
7. Where a place began to hold what a mark reaches.

Everything is set-based: the number of statements does not grow with the number of places.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, func, select

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.fold.contents import Contents, load_contents, unread_blobs
from keycensus_collector.fold.counts import fold_counts
from keycensus_collector.fold.lineage import Step, find_steps, is_news
from keycensus_collector.fold.lines import Known, assign_lines, load_known
from keycensus_collector.fold.returned import note_returned
from keycensus_collector.fold.versions import Version, version_of
from keycensus_collector.ownership import queue
from keycensus_collector.store.schema import place_version


def fold_batches(
    connection: Connection, batches: Sequence[int], now_ms: int
) -> set[tuple[bytes, int]]:
    """Fold what these batches changed; return blobs (hash, kind) to be read before, if any.

    If it returns any, nothing was written.
    """
    versions = _versions_of(connection, batches)
    if not versions:
        queue.note_batches(connection, batches, [])
        return set()
    before = _contents_before(connection, versions)
    manifests = {version.manifest for version in [*versions, *before.values()] if version.manifest}
    contents = load_contents(connection, manifests)
    unread = unread_blobs(connection, contents)
    if unread:
        return unread
    known = load_known(connection, contents.certificates)
    steps = _steps(versions, before, contents, known)
    assign_lines(connection, steps, _live(versions, contents), known, now_ms)
    fold_counts(connection, contents.certificates, contents.private_keys, now_ms)
    queue.note_batches(connection, batches, manifests)
    note_returned(connection, versions, contents)
    return set()


def _versions_of(connection: Connection, batches: Sequence[int]) -> list[Version]:
    rows = connection.execute(
        select(place_version)
        .where(place_version.c.batch_no.in_(batches))
        .order_by(place_version.c.version_no)
    )
    return [version_of(row) for row in rows]


def _contents_before(connection: Connection, versions: Sequence[Version]) -> dict[int, Version]:
    """Return per place its last content before these versions.

    A time without content in between is passed over: a file that is removed and written anew
    follows itself.
    """
    first = versions[0].version_no
    found: dict[int, Version] = {}
    for places in chunked(sorted({version.place_no for version in versions})):
        last = (
            select(func.max(place_version.c.version_no))
            .where(
                place_version.c.place_no.in_(places),
                place_version.c.version_no < first,
                place_version.c.manifest != b"",
            )
            .group_by(place_version.c.place_no)
        )
        rows = connection.execute(select(place_version).where(place_version.c.version_no.in_(last)))
        found |= {row.place_no: version_of(row) for row in rows}
    return found


def _steps(
    versions: Sequence[Version],
    before: dict[int, Version],
    contents: Contents,
    known: dict[bytes, Known],
) -> list[tuple[Step, int]]:
    """Return the steps at all places in the order of the versions, each with its time.

    Where the same content followed the same content at many places, the first is the evidence.
    """
    steps: list[tuple[Step, int]] = []
    seen: set[tuple[bytes, bytes]] = set()
    current = dict(before)
    for version in versions:
        if not version.manifest:
            continue
        previous = current.get(version.place_no)
        current[version.place_no] = version
        if previous is None or previous.manifest == version.manifest:
            continue
        if not is_news(version.cause, previous.use, version.use, roles=(version.role,)):
            continue
        pair = (previous.manifest, version.manifest)
        if pair in seen:
            continue
        seen.add(pair)
        old = [known[hash_].leaf for hash_ in contents.of(previous.manifest) if hash_ in known]
        new = [known[hash_].leaf for hash_ in contents.of(version.manifest) if hash_ in known]
        steps += [
            (replace(step, place_no=version.place_no), version.from_ms)
            for step in find_steps(old, new)
        ]
    return steps


def _live(versions: Iterable[Version], contents: Contents) -> list[bytes]:
    """Return the certificates that these versions show live, trust stores apart; in order."""
    manifests = dict.fromkeys(
        version.manifest
        for version in versions
        if version.manifest and version.use == "live" and version.role != "trust-store"
    )
    return contents.of(*manifests)
