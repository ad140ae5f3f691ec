"""What is to be worked out again: noted in the transaction that made it necessary."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, select, union

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import (
    agent,
    holding,
    intake_batch,
    manifest_entry,
    manifest_part,
    place,
    place_version,
)
from keycensus_collector.store.tables.ownership import (
    CERTIFICATE,
    KEY,
    fact_rule,
    owner_sweep,
    owner_work,
    team,
)

KINDS = {"certificate": CERTIFICATE, "key": KEY}
_WORD = {number: word for word, number in KINDS.items()}
# What an entry's artifact is, of those that can be owned.
_ENTRY_KINDS = {
    "certificate": CERTIFICATE,
    "private-key": KEY,
    "sealed-key": KEY,
    "sealed-container": KEY,
}
SWEEPS = ("host", "certificate", "key")
_STAMP_BITS = 62


class Item(NamedTuple):
    """One thing to work out: a host by number, a certificate or key by hash."""

    kind: str
    number: int
    artifact: bytes
    stamp: int = 0


def stamp() -> int:
    """Return a number that nobody had before."""
    return secrets.randbits(_STAMP_BITS)


def is_used(connection: Connection) -> bool:
    """Whether there is anybody who could own anything, or a rule about anything."""
    statements = select(team.c.team_no).limit(1), select(fact_rule.c.rule_no).limit(1)
    return any(connection.execute(statement).first() for statement in statements)


def put_hosts(connection: Connection, hosts: Iterable[int]) -> None:
    """Ask that the owners of hosts and of their places be worked out."""
    _put(connection, [Item("host", number, b"") for number in sorted(set(hosts))])


def put_artifacts(connection: Connection, artifacts: Iterable[tuple[int, bytes]]) -> None:
    """Ask that the owners of certificates and keys be worked out: (kind, hash) each."""
    items = [Item(_WORD[kind], 0, artifact) for kind, artifact in sorted(set(artifacts))]
    _put(connection, items)


def put_artifacts_on(connection: Connection, hosts: Iterable[int]) -> None:
    """Ask that the certificates in use on hosts be worked out: what rules say may follow from a host."""
    for chunk in chunked(sorted(hosts)):
        held = select(holding.c.artifact).where(
            holding.c.host_no.in_(chunk), holding.c.kind == "certificate"
        )
        found = connection.execute(held.distinct()).scalars()
        put_artifacts(connection, [(CERTIFICATE, artifact) for artifact in found])


def _put(connection: Connection, items: Sequence[Item]) -> None:
    statement = upsert(connection, owner_work)
    statement = statement.on_conflict_do_update(
        index_elements=["kind", "number", "artifact"], set_={"stamp": statement.excluded.stamp}
    )
    new = stamp()
    for chunk in chunked(items):
        connection.execute(statement, [item._replace(stamp=new)._asdict() for item in chunk])


def note_batches(
    connection: Connection, batches: Sequence[int], manifests: Iterable[bytes]
) -> None:
    """Ask for what batches of agents changed: their hosts, and what these manifests hold."""
    if not is_used(connection):
        return
    # A batch of usages alone writes no versions, and what names a place may be in a rule.
    of_agents = (
        select(agent.c.host_no)
        .join(intake_batch, intake_batch.c.agent_no == agent.c.agent_no)
        .where(intake_batch.c.batch_no.in_(batches))
    )
    of_places = (
        select(place.c.host_no)
        .join(place_version, place_version.c.place_no == place.c.place_no)
        .where(place_version.c.batch_no.in_(batches))
    )
    put_hosts(connection, connection.execute(union(of_agents, of_places)).scalars())
    put_artifacts(connection, artifacts_in(connection, manifests))


def artifacts_in(connection: Connection, manifests: Iterable[bytes]) -> set[tuple[int, bytes]]:
    """Return the certificates and keys that manifests name, parts included: (kind, hash) each."""
    entry, part = manifest_entry.c, manifest_part.c
    meant = and_(entry.kind.in_(list(_ENTRY_KINDS)), entry.artifact != b"")
    found: set[tuple[int, bytes]] = set()
    for chunk in chunked(sorted(set(manifests) - {b""})):
        whole = select(entry.kind, entry.artifact).where(entry.manifest.in_(chunk), meant)
        in_parts = (
            select(entry.kind, entry.artifact)
            .join(manifest_part, part.part == entry.manifest)
            .where(part.manifest.in_(chunk), meant)
        )
        rows = connection.execute(union(whole, in_parts))
        found.update((_ENTRY_KINDS[row.kind], row.artifact) for row in rows)
    return found


def ask_for_sweep(connection: Connection, now_ms: int, kinds: Iterable[str] = SWEEPS) -> None:
    """Ask for a look at everything of these kinds, from the start."""
    statement = upsert(connection, owner_sweep)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["kind"],
            set_={
                "number": new.number,
                "artifact": new.artifact,
                "asked_ms": new.asked_ms,
                "stamp": new.stamp,
            },
        ),
        [
            {"kind": kind, "number": 0, "artifact": b"", "asked_ms": now_ms, "stamp": stamp()}
            for kind in kinds
        ],
    )


def take(connection: Connection, kinds: Sequence[str], limit: int) -> list[Item]:
    """Read some of what is asked for; `done` removes it."""
    rows = connection.execute(
        select(owner_work)
        .where(owner_work.c.kind.in_(kinds))
        .order_by(owner_work.c.kind, owner_work.c.number, owner_work.c.artifact)
        .limit(limit)
    )
    return [Item(row.kind, row.number, row.artifact, row.stamp) for row in rows]


def done(connection: Connection, items: Sequence[Item]) -> None:
    """Remove what was worked out, but not what was asked for again meanwhile."""
    work = owner_work.c
    for chunk in chunked(items):
        by_stamp: dict[tuple[str, int], list[Item]] = {}
        for item in chunk:
            by_stamp.setdefault((item.kind, item.stamp), []).append(item)
        for (kind, mark), same in by_stamp.items():
            numbers, artifacts = [i.number for i in same], [i.artifact for i in same]
            which = work.number.in_(numbers) if kind == "host" else work.artifact.in_(artifacts)
            connection.execute(
                delete(owner_work).where(work.kind == kind, work.stamp == mark, which)
            )


def is_waiting(connection: Connection) -> bool:
    """Whether anything is still to be worked out."""
    work, sweep = select(owner_work.c.kind).limit(1), select(owner_sweep.c.kind).limit(1)
    return bool(connection.execute(work).first() or connection.execute(sweep).first())
