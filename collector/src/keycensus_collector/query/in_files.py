"""Lists of places and hosts asked for what stands in files: looked for from entries, the selective side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, func, select, union_all

from keycensus_collector.query.bound import Bound, Exists, Literal
from keycensus_collector.query.columns import condition
from keycensus_collector.query.conditions import Choice
from keycensus_collector.query.fields import BY_NAME, Level
from keycensus_collector.query.relations import Tables, is_there
from keycensus_collector.query.shapes import Held, is_about_the_file, mentions_path, needs_an_entry
from keycensus_collector.query.sources import Sources
from keycensus_collector.query.trees import Plain, hosts_with_names
from keycensus_collector.store.schema import certificate, holding


def in_a_file(
    sources: Sources, target: str, parts: Sequence[Bound], plain: Plain
) -> ColumnElement[bool]:
    """Return that an entry of the place, or of one on the host, is so."""
    tables = sources.tables
    of_certificates = [part for part in parts if _is_of_certificates(tables, part)]
    others = [part for part in parts if part not in of_certificates]
    looked = _in_certificates(sources, of_certificates)
    with_artifacts: _WithArtifacts = partial(_with_artifacts, tables)
    asked = list(parts)
    if of_certificates and not any(map(_mentions_artifacts, others)):
        held = Held.of(others)
        if target == "hosts" and held is not None:
            return _host_holds(tables, looked, held)
        # Which certificates are meant is known; each entry's need not be looked at again.
        asked, with_artifacts = [*others, _CERTIFICATE], _alone
    conditions = [plain(part, sources.path) for part in asked]
    if target == "places":
        return _place_holds(tables, conditions, looked, with_artifacts)
    spot, entry, part = tables.place, tables.entry, tables.part
    conditions += is_there(tables)
    number, names = select(spot.c.host_no), mentions_path(parts)
    if not any(map(is_about_the_file, parts)):
        found = [number.select_from(spot)]
    else:
        # A place without entries has its part in an or; else what an entry is narrows most.
        needed = any(map(needs_an_entry, parts))
        same = spot.c.manifest == entry.c.manifest
        joined = entry.join(spot, same) if needed else spot.outerjoin(entry, same)
        by_part = entry.join(part, part.c.part == entry.c.manifest).join(
            spot, spot.c.manifest == part.c.manifest
        )
        found = [number.select_from(with_artifacts(start)) for start in (joined, by_part)]
        if names:
            found[1] = found[1].where(part.c.name.is_(None))
    queries = [
        query.where(*conditions, *each).correlate(tables.host)
        for query, each in zip(found, _both(tables, looked), strict=False)
    ]
    if names:
        queries.append(hosts_with_names(tables, parts, plain, partial(_with_artifacts, tables)))
    return tables.host.c.host_no.in_(union_all(*queries) if len(queries) > 1 else queries[0])


_CERTIFICATE = Literal(BY_NAME["holds"], Choice("certificate"))
_WithArtifacts = Callable[[FromClause], FromClause]


def _both(
    tables: Tables, looked: Select[Any] | None
) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """Return that an entry is one of these certificates: of a whole file, and of a part, of which there are few."""
    if looked is None:
        return [], []
    artifact, parts = tables.entry.c.artifact, select(tables.part.c.part).correlate(None)
    # No index is on what coalesce returns: so it begins at the parts.
    among = func.coalesce(artifact, b"").in_(looked)
    return [artifact.in_(looked)], [tables.entry.c.manifest.in_(parts), among]


def _host_holds(tables: Tables, looked: Select[Any] | None, held: Held) -> ColumnElement[bool]:
    """Return that a host holds one of these certificates outside trust stores, which needs no look at places."""
    conditions = [holding.c.kind == "certificate"]
    if looked is not None:
        conditions.append(holding.c.artifact.in_(looked))
    if held.use:
        conditions.append(holding.c.live > 0 if held.use == "live" else holding.c.retained > 0)
    return tables.host.c.host_no.in_(select(holding.c.host_no).where(*conditions))


def _place_holds(
    tables: Tables,
    conditions: Sequence[ColumnElement[bool]],
    looked: Select[Any] | None,
    with_artifacts: _WithArtifacts,
) -> ColumnElement[bool]:
    spot, entry, part = tables.place, tables.entry, tables.part
    parted = entry.join(part, part.c.part == entry.c.manifest)
    whole = select(entry.c.manifest).select_from(with_artifacts(entry))
    in_parts = select(part.c.manifest).select_from(with_artifacts(parted))
    found = [
        query.where(*conditions, *each).correlate(spot)
        for query, each in zip((whole, in_parts), _both(tables, looked), strict=True)
    ]
    return spot.c.manifest.in_(union_all(*found))


def _is_of_certificates(tables: Tables, part: Bound) -> bool:
    """Whether a condition is on columns of certificates as they are now."""
    return (
        isinstance(part, Literal)
        and part.field.levels == (Level.CERTIFICATE,)
        and tables.as_of_ms is None
        and part.field.name != "found"
    )


def _mentions_artifacts(part: Bound) -> bool:
    """Whether something in a condition is on a certificate or a key."""
    if isinstance(part, Literal):
        return not {Level.CERTIFICATE, Level.KEY}.isdisjoint(part.field.levels)
    return isinstance(part, Exists) or any(map(_mentions_artifacts, part.parts))


def _in_certificates(sources: Sources, parts: Sequence[Bound]) -> Select[Any] | None:
    """Return the hashes of the certificates that are so, which are looked for first."""
    of = certificate.alias("looked_for")
    theirs = replace(sources, tables=replace(sources.tables, certificate=of))
    conditions = [
        condition(theirs, part, Level.CERTIFICATE) for part in parts if isinstance(part, Literal)
    ]
    if not conditions:
        return None
    return select(of.c.sha256).where(*conditions).correlate(None)


def _alone(entries: FromClause) -> FromClause:
    return entries


def _with_artifacts(tables: Tables, entries: FromClause) -> FromClause:
    """Return entries with the certificate or key that each is."""
    entry, certificates, keys = tables.entry, tables.certificate, tables.key
    is_certificate = and_(entry.c.kind == "certificate", certificates.c.sha256 == entry.c.artifact)
    is_key = and_(entry.c.kind == "private-key", keys.c.key_id == entry.c.artifact)
    return entries.outerjoin(certificates, is_certificate).outerjoin(keys, is_key)
