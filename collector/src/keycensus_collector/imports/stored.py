"""Records of imports: one that stands for each source, those before it kept as intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.values import time_text
from keycensus_collector.ownership.intervals import at
from keycensus_collector.store.schema import host
from keycensus_collector.store.tables.imports import import_record
from keycensus_collector.text import safe_text

SOURCE_CHARACTERS = 200
# As it is told: of each character at most \UNNNNNNNN.
TOLD_CHARACTERS = 10 * SOURCE_CHARACTERS
# What clients take out of addresses (RFC 3986, 5.2.4).
_DOTS = frozenset({".", ".."})


@dataclass(frozen=True, slots=True)
class Import:
    """One import, as people see it. `until` is null while it stands."""

    number: int
    kind: str  # "bundle", "hosts"
    source: str
    host_id: str  # of a bundle; else empty
    items: int
    sha256: str  # of the file
    size: int
    by: str
    taken: str | None  # when what it says was so, by its maker's clock
    since: str | None
    until: str | None


def record_import(
    connection: Connection,
    *,
    kind: str,
    source: str,
    sha256: bytes,
    size: int,
    items: int,
    actor: str,
    now_ms: int,
    taken_ms: int | None = None,
    host_no: int | None = None,
) -> int:
    """Write down an import, which replaces the former one of its source; return its number."""
    source = source.strip()
    if not source or len(source) > SOURCE_CHARACTERS:
        raise UsageError(f"a source has a name of at most {SOURCE_CHARACTERS} characters")
    if source in _DOTS:
        raise UsageError(
            f"no source is called {source}, which no address can name: call it otherwise"
        )
    same = import_record.c.host_no == host_no
    if host_no is None:
        same = import_record.c.source == safe_text(source)
    connection.execute(
        update(import_record)
        .where(import_record.c.kind == kind, same, import_record.c.to_ms.is_(None))
        .values(to_ms=now_ms)
    )
    statement = insert(import_record).values(
        kind=kind,
        source=safe_text(source),
        sha256=sha256,
        size=size,
        items=items,
        imported_by=safe_text(actor),
        taken_ms=taken_ms,
        from_ms=now_ms,
        host_no=host_no,
    )
    number = connection.execute(statement.returning(import_record.c.import_no)).scalar_one()
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="import",
        subject=source,
        detail={"kind": kind, "sha256": sha256.hex(), "items": items},
    )
    return int(number)


def imported_hosts(
    connection: Connection, numbers: Sequence[int]
) -> dict[int, tuple[str | None, str]]:
    """Return when and by whom what is known of hosts was imported, by number; others are left out."""
    rows = connection.execute(
        select(import_record.c.host_no, import_record.c.from_ms, import_record.c.imported_by).where(
            import_record.c.host_no.in_(numbers), at(import_record, None)
        )
    )
    return {row.host_no: (time_text(row.from_ms), row.imported_by) for row in rows}


def list_imports(
    connection: Connection, *, standing: bool, before: int | None, limit: int
) -> list[Import]:
    """Return imports, the newest first; only those that stand, or all."""
    statement = (
        select(import_record, host.c.host_id)
        .outerjoin(host, host.c.host_no == import_record.c.host_no)
        .order_by(import_record.c.import_no.desc())
        .limit(limit)
    )
    if standing:
        statement = statement.where(at(import_record, None))
    if before is not None:
        statement = statement.where(import_record.c.import_no < before)
    return [
        Import(
            number=row.import_no,
            kind=row.kind,
            source=row.source,
            host_id=row.host_id or "",
            items=row.items,
            sha256=row.sha256.hex(),
            size=row.size,
            by=row.imported_by,
            taken=time_text(row.taken_ms),
            since=time_text(row.from_ms),
            until=time_text(row.to_ms),
        )
        for row in connection.execute(statement)
    ]
