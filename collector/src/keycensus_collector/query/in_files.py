"""Lists of places and hosts asked for what stands in files: looked for from entries, the selective side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, FromClause, and_, select, union_all

from keycensus_collector.query.bound import Bound, Literal
from keycensus_collector.query.columns import condition
from keycensus_collector.query.fields import Level
from keycensus_collector.query.relations import Tables, is_there
from keycensus_collector.query.shapes import is_about_the_file, mentions_path, needs_an_entry
from keycensus_collector.query.sources import Sources
from keycensus_collector.query.trees import Plain, hosts_with_names
from keycensus_collector.store.schema import certificate


def in_a_file(
    sources: Sources, target: str, parts: Sequence[Bound], plain: Plain
) -> ColumnElement[bool]:
    """Return that an entry of the place, or of one on the host, is so."""
    tables = sources.tables
    conditions = [*(plain(part, sources.path) for part in parts), *_of_certificates(sources, parts)]
    if target == "places":
        return _place_holds(tables, conditions)
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
        found = [number.select_from(_with_artifacts(tables, start)) for start in (joined, by_part)]
        if names:
            found[1] = found[1].where(part.c.name.is_(None))
    queries = [query.where(*conditions).correlate(tables.host) for query in found]
    if names:
        queries.append(
            hosts_with_names(tables, parts, plain, lambda start: _with_artifacts(tables, start))
        )
    return tables.host.c.host_no.in_(union_all(*queries) if len(queries) > 1 else queries[0])


def _place_holds(tables: Tables, conditions: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    spot, entry, part = tables.place, tables.entry, tables.part
    parted = entry.join(part, part.c.part == entry.c.manifest)
    whole = select(entry.c.manifest).select_from(_with_artifacts(tables, entry))
    in_parts = select(part.c.manifest).select_from(_with_artifacts(tables, parted))
    found = [query.where(*conditions).correlate(spot) for query in (whole, in_parts)]
    return spot.c.manifest.in_(union_all(*found))


def _of_certificates(sources: Sources, parts: Sequence[Bound]) -> list[ColumnElement[bool]]:
    """Return what the conditions on certificates say once more, so that those are looked for first."""
    of = certificate.alias("looked_for")
    tables = sources.tables
    theirs = replace(sources, tables=replace(tables, certificate=of))
    conditions = [
        condition(theirs, part, Level.CERTIFICATE)
        for part in parts
        if isinstance(part, Literal)
        and part.field.levels == (Level.CERTIFICATE,)
        and tables.as_of_ms is None
        and part.field.name != "found"
    ]
    if not conditions:
        return []
    found = select(of.c.sha256).where(*conditions).correlate(None)
    return [tables.entry.c.artifact.in_(found)]


def _with_artifacts(tables: Tables, entries: FromClause) -> FromClause:
    """Return entries with the certificate or key that each is."""
    entry, certificates, keys = tables.entry, tables.certificate, tables.key
    is_certificate = and_(entry.c.kind == "certificate", certificates.c.sha256 == entry.c.artifact)
    is_key = and_(entry.c.kind == "private-key", keys.c.key_id == entry.c.artifact)
    return entries.outerjoin(certificates, is_certificate).outerjoin(keys, is_key)
