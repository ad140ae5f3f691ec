"""Lists of places and hosts asked for what stands in files: looked for from entries, the selective side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, exists, func, or_, select, union_all

from keycensus_collector.query.bound import Bound, Exists, Literal
from keycensus_collector.query.columns import condition
from keycensus_collector.query.conditions import Choice
from keycensus_collector.query.fields import BY_NAME, Level
from keycensus_collector.query.relations import Tables, is_there
from keycensus_collector.query.shapes import Held, is_about_the_file, mentions_path, needs_an_entry
from keycensus_collector.query.sources import Sources, one_by_one
from keycensus_collector.query.trees import Plain, hosts_with_names
from keycensus_collector.store.schema import certificate, holding

_WithArtifacts = Callable[[FromClause], FromClause]


@dataclass(frozen=True, slots=True)
class InFiles:
    """Parts of a query that one entry of a place is to satisfy, or of one on a host.

    `looked`: the certificates that are meant, where parts are about those alone; `held`: what is left to ask of a
    host, where `holding` knows it.
    """

    sources: Sources
    target: str
    parts: Sequence[Bound]
    plain: Plain
    asked: list[Bound]
    looked: Select[Any] | None
    held: Held | None
    with_artifacts: _WithArtifacts

    @classmethod
    def of(cls, sources: Sources, target: str, parts: Sequence[Bound], plain: Plain) -> InFiles:
        """Sort the parts. `plain`: what makes a condition on columns at hand."""
        tables = sources.tables
        of_certificates = [part for part in parts if _is_of_certificates(tables, part)]
        others = [part for part in parts if part not in of_certificates]
        looked = _in_certificates(sources, of_certificates)
        if not of_certificates or any(map(_mentions_artifacts, others)):
            both: _WithArtifacts = partial(_with_artifacts, tables)
            return cls(sources, target, parts, plain, list(parts), looked, None, both)
        # Which certificates are meant is known; each entry's need not be looked at again.
        held = Held.of(others) if target == "hosts" else None
        return cls(sources, target, parts, plain, [*others, _CERTIFICATE], looked, held, _alone)

    def condition(self, *, each: bool = False) -> ColumnElement[bool]:
        """Return that there is such an entry; `each`: asked for each place, or host, by itself."""
        tables = self.sources.tables
        if self.held is not None:
            found = [self._of_holdings(tables.host.c.host_no if each else None)]
            return self._is_in(tables.host.c.host_no, found, each=each)
        if self.target == "places":
            spot = tables.place.c.manifest
            return self._is_in(spot, self._manifests(spot if each else None), each=each)
        # Each host once: of places by the million PostgreSQL would make no table to look it up in.
        queries = [select(each.subquery()).distinct() for each in self._host_numbers()]
        return tables.host.c.host_no.in_(union_all(*queries) if len(queries) > 1 else queries[0])

    def can_be_each(self) -> bool:
        """Whether it can be asked for each by itself, and few are not known to be meant."""
        if self.sources.tables.as_of_ms is not None:
            return False
        is_sqlite = self.sources.connection.dialect.name == "sqlite"
        # SQLite would look for each certificate that is meant on each host.
        if self.target == "hosts" and (self.held is None or is_sqlite):
            return False
        meant = self._manifests(None) if self.looked is None else [self.looked]
        some = union_all(*meant).subquery() if len(meant) > 1 else meant[0].subquery()
        count = select(func.count()).select_from(select(some).limit(_FEW + 1).subquery())
        return self.sources.connection.execute(count).scalar_one() > _FEW

    def of_some(self, most: int) -> InFiles:
        """Return the same of some of the certificates that are meant."""
        return self if self.looked is None else replace(self, looked=self.looked.limit(most))

    def first(self, besides: Sequence[ColumnElement[bool]]) -> Select[Any]:
        """Return numbers of places or hosts that are meant, some of them more than once. `besides`: what holds of them."""
        tables = self.sources.tables
        if self.held is not None:
            held = self._of_holdings(None).subquery()
            own = tables.host.c.host_no
            return select(own).join_from(tables.host, held, held.c.host_no == own).where(*besides)
        own, spot = tables.place.c.place_no, tables.place
        found = [each.subquery() for each in self._manifests(None)]
        rows = [
            select(own).join_from(spot, each, each.c.manifest == spot.c.manifest).where(*besides)
            for each in found
        ]
        return select(union_all(*rows).subquery().c.place_no)

    def _is_in(
        self, own: ColumnElement[Any], found: Sequence[Select[Any]], *, each: bool
    ) -> ColumnElement[bool]:
        if each:
            return or_(*(exists(one_by_one(self.sources, query)) for query in found))
        return own.in_(union_all(*found) if len(found) > 1 else found[0])

    def _manifests(self, of: ColumnElement[bytes] | None) -> list[Select[Any]]:
        """Return manifests with such an entry, of files and of those in parts; only `of` this."""
        tables = self.sources.tables
        spot, entry, part = tables.place, tables.entry, tables.part
        conditions = [self.plain(each, self.sources.path) for each in self.asked]
        parted = entry.join(part, part.c.part == entry.c.manifest)
        columns = (entry.c.manifest, part.c.manifest)
        starts = (self.with_artifacts(entry), self.with_artifacts(parted))
        own = [[] if of is None else [column == of] for column in columns]
        looked = _both(tables, self.looked)
        if of is not None and self.looked is not None:
            # Of one manifest the entries are at hand: each is looked up.
            same = self.looked.selected_columns.sha256 == entry.c.artifact
            at_hand: list[ColumnElement[bool]] = [exists(self.looked.where(same).correlate(entry))]
            looked = at_hand, at_hand
        return [
            select(column)
            .select_from(start)
            .where(*conditions, *is_looked, *is_own)
            .correlate(spot)
            for column, start, is_looked, is_own in zip(columns, starts, looked, own, strict=True)
        ]

    def _of_holdings(self, of: ColumnElement[int] | None) -> Select[Any]:
        """Return hosts that hold one of these certificates outside trust stores, which needs no look at places."""
        conditions = [holding.c.kind == "certificate"]
        if self.looked is not None:
            conditions.append(holding.c.artifact.in_(self.looked))
        if self.held is not None and self.held.use:
            is_live = self.held.use == "live"
            conditions.append(holding.c.live > 0 if is_live else holding.c.retained > 0)
        if of is not None:
            conditions.append(holding.c.host_no == of)
        return select(holding.c.host_no).where(*conditions).correlate(self.sources.tables.host)

    def _host_numbers(self) -> list[Select[Any]]:
        tables = self.sources.tables
        spot, entry, part = tables.place, tables.entry, tables.part
        conditions = [self.plain(each, self.sources.path) for each in self.asked]
        conditions += is_there(tables)
        number, names = select(spot.c.host_no), mentions_path(self.parts)
        if not any(map(is_about_the_file, self.parts)):
            found = [number.select_from(spot)]
        else:
            # A place without entries has its part in an or; else what an entry is narrows most.
            needed = any(map(needs_an_entry, self.parts))
            same = spot.c.manifest == entry.c.manifest
            joined = entry.join(spot, same) if needed else spot.outerjoin(entry, same)
            by_part = entry.join(part, part.c.part == entry.c.manifest).join(
                spot, spot.c.manifest == part.c.manifest
            )
            found = [number.select_from(self.with_artifacts(each)) for each in (joined, by_part)]
            if names:
                found[1] = found[1].where(part.c.name.is_(None))
        queries = [
            query.where(*conditions, *each).correlate(tables.host)
            for query, each in zip(found, _both(tables, self.looked), strict=False)
        ]
        if names:
            both = partial(_with_artifacts, tables)
            queries.append(hosts_with_names(tables, self.parts, self.plain, both))
        return queries


# Up to so many certificates it is cheaper to begin at those that are meant.
_FEW = 5_000
_CERTIFICATE = Literal(BY_NAME["holds"], Choice("certificate"))


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


def certificates_like(sources: Sources, *literals: Literal) -> Select[Any]:
    """Return the hashes of the certificates of which these conditions hold, whatever a list is of."""
    of = certificate.alias("looked_for")
    theirs = replace(sources, tables=replace(sources.tables, certificate=of))
    conditions = [condition(theirs, each, Level.CERTIFICATE) for each in literals]
    return select(of.c.sha256).where(*conditions).correlate(None)


def _in_certificates(sources: Sources, parts: Sequence[Bound]) -> Select[Any] | None:
    """Return the hashes of the certificates that are so, which are looked for first."""
    literals = [part for part in parts if isinstance(part, Literal)]
    return certificates_like(sources, *literals) if literals else None


def _alone(entries: FromClause) -> FromClause:
    return entries


def _with_artifacts(tables: Tables, entries: FromClause) -> FromClause:
    """Return entries with the certificate or key that each is."""
    entry, certificates, keys = tables.entry, tables.certificate, tables.key
    is_certificate = and_(entry.c.kind == "certificate", certificates.c.sha256 == entry.c.artifact)
    is_key = and_(entry.c.kind == "private-key", keys.c.key_id == entry.c.artifact)
    return entries.outerjoin(certificates, is_certificate).outerjoin(keys, is_key)
