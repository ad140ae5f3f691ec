"""A checked query as one SQL condition on the rows of its list, starting at the selective side.

A thing is listed if there is one place for which everything holds that the query says of places; what
it says of the thing itself stands outside. So a query is cut into parts:

1. what is about the thing itself is a plain condition;
2. an or is one condition for each side;
3. what is about the place, of one and, goes together into one look for a place: from the places if
   few of them fit, else from the thing; where `holding` knows enough, there;
4. an or with both kinds in it, beside a condition on the place, is multiplied out while that is
   small, else looked up place by place.

A count ends at 10,000, and at 1,000 where each thing has to be looked at in other tables. Where many places
fit, it has a condition of its own: they are gone through until they have shown enough things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    FromClause,
    Select,
    and_,
    exists,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    union,
    union_all,
)

from keycensus_collector.query.bound import (
    All,
    Bindings,
    Bound,
    Exists,
    Literal,
    Some,
    is_of_place,
    is_own,
    own_levels,
)
from keycensus_collector.query.columns import condition
from keycensus_collector.query.conditions import Choice, Known, Range, expected
from keycensus_collector.query.fields import LEVELS, Level
from keycensus_collector.query.in_files import InFiles, certificates_like
from keycensus_collector.query.matching import in_range
from keycensus_collector.query.of_artifacts import stood_until
from keycensus_collector.query.relations import (
    SEALED_KINDS,
    Tables,
    entries_of,
    holds_kinds,
    is_there,
    live,
)
from keycensus_collector.query.shapes import (
    Held,
    flattened,
    is_about_the_place,
    is_of_any_place,
    is_open_to_all,
    is_outside,
    mentions_path,
    says_mode,
    says_open_to_all,
    without_places,
)
from keycensus_collector.query.sources import Sources, expected_rows, first_different, one_by_one
from keycensus_collector.query.trees import entries_in_trees, holds_a_name
from keycensus_collector.store.schema import certificate, holding

# Up to so many places it is cheaper to start from them, and up to so many hosts from those.
_FEW = 3_000
# Up to so many places are told by their numbers: to look for them again may take a look at all.
_NAMED = 300
# Where PostgreSQL expects more than so many places, they are not counted as far as that.
_MANY = 100_000
_FEW_HOSTS = 1_000
# Up to so many rows a list is counted; beyond, on demand. Where each takes a look elsewhere, to fewer.
COUNTED = 10_000
COUNTED_SOUGHT = 1_000
# Of so many rows, mostly enough are of different things.
_TRIED = COUNTED_SOUGHT * 3
# Fields of a thing itself that other tables are asked for, thing by thing.
_SOUGHT = frozenset({"revoked", "under"})
_EXPANSIONS = 16
# Fields of certificates that PostgreSQL has an index for, whatever is asked of them.
_IN_INDEXES = frozenset({"name", "subject", "sha256", "sha1", "key-id", "serial"})


class Compiled(NamedTuple):
    """The condition on the rows of a list; one that does for a count to `most`, which ends there.

    `are_more`: it has been found out that more than `most` are meant, so nobody need count.
    """

    listed: ColumnElement[bool]
    counted: ColumnElement[bool]
    most: int
    are_more: bool


def compiled(
    connection: Connection,
    bindings: Bindings,
    tables: Tables,
    known: Sequence[ColumnElement[bool]],
) -> Compiled:
    """Return the condition on the rows of `bindings.target` in `tables`, and that of a bounded count.

    `known`: what holds of a row besides.
    """
    compiler = Compiler.of(connection, bindings, tables)
    listed = compiler.closed(bindings.condition)
    counted = compiler.counted(bindings.condition, known)
    most = COUNTED_SOUGHT if compiler.sought else COUNTED
    are_more = compiler.found > most
    return Compiled(listed, listed if counted is None else counted, most, are_more)


@dataclass(slots=True)
class Compiler:
    """Makes conditions of a checked query for one list; notes what it has found out on the way.

    `sought`: names of what each thing is asked for in other tables; `found`: so many rows are known to be meant.
    """

    target: str
    tables: Tables
    sources: Sources
    expansions: int = _EXPANSIONS
    probes: dict[Bound, list[int] | None] = field(default_factory=dict)
    sought: set[str] = field(default_factory=set)
    found: int = 0

    @classmethod
    def of(cls, connection: Connection, bindings: Bindings, tables: Tables) -> Compiler:
        """Return one for a query and the tables that its rows come from."""
        sources = Sources(connection, tables, bindings.now_ms, bindings.asker)
        return cls(bindings.target, tables, sources)

    def closed(self, node: Bound) -> ColumnElement[bool]:
        """Return a condition that looks for the places it needs by itself."""
        if is_own(node, self.target):
            return self.plain(node)
        if is_of_place(node, self.target):
            return self._at_a_place([node])
        if isinstance(node, Some):
            return or_(*map(self.closed, node.parts))
        parts = flattened(node)
        own = [part for part in parts if is_own(part, self.target)]
        placed = [part for part in parts if is_of_place(part, self.target)]
        mixed = [part for part in parts if part not in own and part not in placed]
        outside = [self.plain(part) for part in own]
        if not mixed:
            return and_(*outside, self._at_a_place(placed))
        first, *others = mixed
        first = expected(Some, first)
        if len(first.parts) <= self.expansions:
            self.expansions -= len(first.parts)
            rest = (*placed, *others)
            return and_(*outside, or_(*(self.closed(All((part, *rest))) for part in first.parts)))
        alone = without_places(All((*placed, *mixed)), self.target)
        return and_(*outside, or_(self._looked_up([*placed, *mixed]), self.plain(alone)))

    def counted(
        self, node: Bound, known: Sequence[ColumnElement[bool]]
    ) -> ColumnElement[bool] | None:
        """Return that a row is among the first that places have, where many places fit; else None.

        Of an authority that all hosts have, every place would be asked; this ends with the last
        place, and mostly long before, when enough things are found.
        """
        is_other = self.tables.kinds == SEALED_KINDS or self.target == "gaps"
        if self.tables.as_of_ms is not None or is_other:
            return None
        parts = flattened(node)
        own = [part for part in parts if is_own(part, self.target)]
        placed = [part for part in parts if part not in own]
        if not placed or not all(is_of_place(part, self.target) for part in placed):
            return None
        if self.target in {"places", "hosts"}:
            return self._first_in_files(placed, [*map(self.plain, own), *known])
        held = Held.of(placed)
        if held is not None:
            is_counted = "host" not in self.sought
        else:
            is_counted = self._use(placed) is not None or self._few_places(placed) is not None
        outside = [self.plain(part) for part in own]
        if (
            is_counted
            or self._open(placed)
            or (outside and (self.target == "certificates" or self._fit_few(outside)))
        ):
            return None
        if held is not None:
            return self._first_held(held, [*outside, *known])
        is_meant = exists().where(self._joins_here(), *outside, *known)
        tables = replace(self.tables, places_first=True)
        return self._first_of(
            union_all(
                *self._entries(tables, placed, [is_meant.correlate(tables.entry)], from_places=True)
            )
        )

    def _first_held(
        self, held: Held, besides: Sequence[ColumnElement[bool]]
    ) -> ColumnElement[bool]:
        """Return that a row is among the first that these hosts hold, of which there are many."""
        is_meant = exists().where(self._identity() == holding.c.artifact, *besides)
        return self._first_of(
            select(holding.c.artifact).where(*self._holds(held), is_meant.correlate(holding))
        )

    def _first_in_files(
        self, placed: Sequence[Bound], besides: Sequence[ColumnElement[bool]]
    ) -> ColumnElement[bool] | None:
        files = InFiles.of(self.sources, self.target, placed, self._plain_at)
        if not files.can_be_each():
            return None
        # Most certificates are at a place or two: so many of those that are meant do, mostly.
        tried, _ = self._tried(files.of_some(_TRIED).first(besides))
        return self._first_of(files.first(besides)) if tried is None else tried

    def _first_of(self, found: Select[Any] | CompoundSelect[Any]) -> ColumnElement[bool]:
        """Return that a row is among the first different ones that a statement finds."""
        tried, all_of_them = self._tried(found)
        if tried is not None:
            return tried
        if all_of_them is not None:
            return all_of_them
        first = select(found.subquery()).distinct().limit(COUNTED_SOUGHT + 1)
        return self._identity().in_(select(first.subquery()))

    def _tried(
        self, some: Select[Any] | CompoundSelect[Any]
    ) -> tuple[ColumnElement[bool] | None, ColumnElement[bool] | None]:
        """Return that a row is among some that are found now: first if those are enough for a count, then if they are all.

        PostgreSQL makes all of a DISTINCT before its first row: so rows are read until enough are different.
        """
        connection = self.sources.connection
        if connection.dialect.name != "postgresql":
            return None, None
        tried, are_all = first_different(connection, some, COUNTED_SOUGHT + 1, _TRIED)
        is_one = self._identity().in_(tried)
        if len(tried) <= COUNTED_SOUGHT:
            return None, is_one if are_all else None
        self.found = len(tried)
        return is_one, None

    def on_hosts(
        self, node: Bound, known: Sequence[ColumnElement[bool]], most: int
    ) -> list[Select[Any]]:
        """Return `host_no` and `identity` of what stands somewhere so, a statement for each branch.

        At most `most` statements, and one more if there were more.
        """
        parts = flattened(node)
        mixed = [
            part
            for part in parts
            if not is_own(part, self.target) and not is_of_place(part, self.target)
        ]
        if mixed:
            first = expected(Some, mixed[0])
            rest = tuple(part for part in parts if part is not first)
            found: list[Select[Any]] = []
            for part in first.parts:
                if len(found) <= most:
                    found += self.on_hosts(All((part, *rest)), known, most)
            return found[: most + 1]
        own = [part for part in parts if is_own(part, self.target)]
        placed = [part for part in parts if part not in own]
        conditions = [*(self.plain(part) for part in own), *known]
        held = Held.of(placed) if self.tables.as_of_ms is None else None
        if held is not None:
            rows = select(holding.c.host_no, holding.c.artifact).where(*self._holds(held))
            return [self._of_listed(rows, conditions)]
        number = self.tables.place.c.host_no
        rows_of = self._entries(self.tables, placed, beside=number)
        return [self._of_listed(each, conditions) for each in rows_of]

    def _of_listed(
        self, rows: Select[Any], conditions: Sequence[ColumnElement[bool]]
    ) -> Select[Any]:
        """Return host and identity of rows (`host_no`, `artifact`) whose thing is so."""
        held = rows.subquery("held")
        identity = self._identity()
        return (
            select(held.c.host_no, identity.label("identity"))
            .join_from(held, self._own(), identity == held.c.artifact)
            .where(*conditions)
        )

    def plain(self, node: Bound) -> ColumnElement[bool]:
        """Return a condition in which every part is on columns at hand."""
        if isinstance(node, Exists):
            found = self._at(None).closed(node.inner)
            return found if node.exist else not_(func.coalesce(found, false()))
        if isinstance(node, All):
            return and_(true(), *map(self.plain, node.parts))
        if isinstance(node, Some):
            named = self._by_name(node)
            return or_(false(), *map(self.plain, node.parts)) if named is None else named
        return self._literal(node)

    def _by_name(self, node: Some) -> ColumnElement[bool] | None:
        """Return which few certificates an or means that asks for names, too; None if that needs no look now.

        PostgreSQL has an index for each side, and none for what is either.
        """
        said = [part for part in node.parts if isinstance(part, Literal) and not part.negated]
        names = {part.field.name for part in said}
        if len(said) < len(node.parts) or not ("name" in names and names <= _IN_INDEXES):
            return None
        if self.target != "certificates" or self.sources.connection.dialect.name != "postgresql":
            return None
        meant = union_all(*(certificates_like(self.sources, part) for part in said))
        some = self.sources.connection.execute(meant.limit(_FEW + 1)).scalars().all()
        return self._identity().in_(set(some)) if len(some) <= _FEW else None

    def _literal(self, literal: Literal) -> ColumnElement[bool]:
        if literal.field.name in _SOUGHT:
            self.sought.add(literal.field.name)
        if self.tables.as_of_ms is not None or literal.field.name in {"found", "gone"}:
            counted = self._counted(literal)
            if counted is not None:
                condition = not_(counted) if literal.negated else counted
                return and_(*(self._is_there(level) for level in literal.field.levels), condition)
        levels = own_levels(literal.field, self.target) or (
            LEVELS[self.target] & frozenset(literal.field.levels)
        )
        each = [self._on(literal, level) for level in sorted(levels, key=lambda x: x.value)]
        return or_(*each) if len(each) > 1 else each[0]

    def _on(self, literal: Literal, level: Level) -> ColumnElement[bool]:
        if self.target == "places" and literal.field.name == "path":
            return self._own_path(literal)
        found = and_(self._is_there(level), condition(self.sources, literal, level))
        if level is not Level.HOST or self.target == "hosts":
            return found
        standing = self.tables.gap if self.target == "gaps" else self.tables.place
        hosts = self._hosts(found)
        if self.tables.as_of_ms is not None:
            # What is and what was are two tables: PostgreSQL finds hosts in each by their numbers alone.
            numbers = self.sources.connection.execute(hosts.limit(_FEW_HOSTS + 1)).scalars().all()
            if len(numbers) <= _FEW_HOSTS:
                return standing.c.host_no.in_(numbers)
        return standing.c.host_no.in_(hosts)

    def _own_path(self, literal: Literal) -> ColumnElement[bool]:
        """Return that a place's own path is so, or one in its tree; or that none of them is."""
        test = replace(literal, negated=False)
        own = condition(self.sources, test, Level.PLACE)
        named = holds_a_name(
            self.sources, lambda path: condition(self._at(path).sources, test, Level.PLACE)
        )
        return not_(or_(own, named)) if literal.negated else or_(own, named)

    def _at(self, path: ColumnElement[str] | None) -> Compiler:
        """Return what compiles conditions where the path is that of a name in a tree, or the place's."""
        return replace(self, sources=replace(self.sources, path=path))

    def _plain_at(self, node: Bound, path: ColumnElement[str] | None) -> ColumnElement[bool]:
        return self._at(path).plain(node)

    def _entries(
        self,
        tables: Tables,
        parts: Sequence[Bound],
        joined: Sequence[ColumnElement[bool]] = (),
        *,
        beside: ColumnElement[Any] | None = None,
        from_places: bool = False,
        at: Sequence[int] | None = None,
    ) -> list[Select[Any]]:
        """Return artifacts of entries for which all parts hold, and what is `joined`.

        `beside`: a column of their places that is to be told, too. `from_places`: it begins at places. `at`: the
        numbers of those that can be meant, where they are known; names in trees are looked for besides.
        """
        artifact, own = tables.entry.c.artifact, self._own()
        conditions = [*joined, *map(self.plain, parts)]
        if from_places and says_mode(parts):
            conditions += holds_kinds(tables)
        if at is not None:
            conditions.append(tables.place.c.place_no.in_(at))
        names = mentions_path(parts)
        found = entries_of(tables, artifact, conditions, own, but_names=names)
        if beside is not None:
            found = [query.add_columns(beside) for query in found]
        if names:
            plain = self._plain_at
            found.append(
                entries_in_trees(
                    tables,
                    artifact,
                    parts,
                    joined,
                    plain,
                    target=self.target,
                    outside=own,
                    beside=beside,
                )
            )
        return found

    def _is_there(self, level: Level) -> ColumnElement[bool]:
        """Return that an outer join found something: of nothing, nothing holds, not even "none"."""
        if self.target in {"certificates", "keys"}:
            return true()
        if level is Level.CERTIFICATE:
            return self.tables.certificate.c.sha256.is_not(None)
        if level is Level.KEY:
            return self.tables.key.c.key_id.is_not(None)
        return self.tables.entry.c.kind.is_not(None) if level is Level.ENTRY else true()

    def _hosts(self, condition: ColumnElement[bool]) -> Select[Any]:
        host = self.tables.host
        return select(host.c.host_no).where(condition).correlate(None)

    def _counted(self, literal: Literal) -> ColumnElement[bool] | None:
        """Return what the fold knows of today, found out for a past day; None if it is not of that."""
        name, tables, test = literal.field.name, self.tables, literal.test
        if name == "found":
            return self._found(now=expected(Choice, test).value == "now")
        if name == "gone":
            return and_(self._found(now=False), stood_until(tables, expected(Range, test)))
        if name in {"private-key", "certificate"}:
            return self._counterpart(name, expected(Choice, test))
        if name not in {"places", "hosts"}:
            return None
        # A place once, and each name of a tree, as the fold counts them.
        column, conditions = tables.place.c.host_no, [self._joins_here()]
        names: list[ColumnElement[Any]] = [literal_column("''"), literal_column("''")]
        if name == "places":
            column = tables.place.c.place_no
            conditions.append(live(tables))
            names[1] = func.coalesce(tables.part.c.name, "")
        found = entries_of(tables, column.label("number"), conditions, self._own())
        numbers = union(
            *(query.add_columns(each) for query, each in zip(found, names, strict=True))
        ).subquery()
        count = select(func.count()).select_from(numbers).scalar_subquery()
        return in_range(count, expected(Range, test))

    def _found(self, *, now: bool) -> ColumnElement[bool]:
        """Return that a certificate is somewhere, or nowhere, at the moment asked for."""
        if self.tables.as_of_ms is None:
            columns = self.tables.certificate.c
            nothing: ColumnElement[int] = literal_column("0")
            number = columns.live_places + columns.retained_places
            return number > nothing if now else number == nothing  # as its index has it
        somewhere = self._looked_up([])
        return somewhere if now else not_(somewhere)

    def _counterpart(self, name: str, test: Choice) -> ColumnElement[bool] | None:
        """Return that a certificate's key stood somewhere then, or a key's certificate."""
        tables, entry = self.tables, self.tables.entry.c
        if name == "certificate" and tables.kinds == SEALED_KINDS:
            return None
        if name == "private-key":
            of, kind = tables.certificate, name
            same = entry.artifact == of.c.key_id
        else:
            of, kind, own = tables.key, name, certificate.alias("its_certificate")
            theirs = select(own.c.sha256).where(own.c.key_id == of.c.key_id)
            same = entry.artifact.in_(theirs.correlate(of))
        looked = replace(tables, kinds=(kind,))
        there = or_(*(exists(query) for query in entries_of(looked, entry.artifact, [same], of)))
        return there if test.value == "found" else not_(there)

    # --- looking for a place ----------------------------------------------------------------------

    def _at_a_place(self, parts: Sequence[Bound]) -> ColumnElement[bool]:
        """Return that there is one place for which all parts hold."""
        flat = flattened(All(tuple(parts)))
        if self.target in {"places", "hosts"}:
            return self._in_a_file(flat)
        held = Held.of(flat) if self.tables.as_of_ms is None else None
        if held is not None:
            return self._held(held)
        used = self._use(flat)
        if used is not None:
            return used
        if self.tables.as_of_ms is not None:
            return self._identity().in_(
                union_all(*self._entries(self.tables, flat, from_places=True))
            )
        few = self._few_places(flat)
        if few is not None:
            # Few places, whatever the database thinks: it begins at them.
            tables = replace(self.tables, places_first=True)
            at = few if len(few) <= _NAMED else None
            found = self._entries(tables, flat, from_places=True, at=at)
            return self._identity().in_(union_all(*found))
        return and_(*self._on_some_host(flat), self._looked_up(flat))

    def _use(self, parts: Sequence[Bound]) -> ColumnElement[bool] | None:
        """Return what the fold has counted already, if the use of places is all that is asked for."""
        any_use = [part for part in parts if is_of_any_place(part)]
        said = [part for part in parts if part not in any_use] or any_use[:1]
        if self.tables.as_of_ms is not None:
            return None
        if self.target == "keys" and self.tables.kinds != SEALED_KINDS and is_open_to_all(said):
            return self.tables.key.c.world_readable.is_(True)
        if len(said) != 1:
            return None
        part = said[0]
        if not isinstance(part, Literal) or part.field.name != "use" or part.negated:
            return None
        own = self._own().c
        if isinstance(part.test, Known):
            return own.live_places + own.retained_places > 0 if part.test.known else None
        live = expected(Choice, part.test).value == "live"
        return own.live_places > 0 if live else own.retained_places > 0

    def _on_some_host(self, parts: Sequence[Bound]) -> list[ColumnElement[bool]]:
        """Return what `holding` knows already: an authority of all trust stores has places by the million."""
        said = [part for part in parts if isinstance(part, Literal)]
        if not any(map(is_outside, said)):
            return []
        in_use = any(
            part.field.name == "use" and part.test == Choice("live") and not part.negated
            for part in said
        )
        held = self._held(Held("live" if in_use else "", ()))
        return [held, *self._open(parts)]

    def _open(self, parts: Sequence[Bound]) -> list[ColumnElement[bool]]:
        """Return what the fold knows of keys that everybody can read, of which there are few."""
        is_known = self.target == "keys" and self.tables.kinds != SEALED_KINDS
        if not is_known or self.tables.as_of_ms is not None or not says_open_to_all(parts):
            return []
        return [self.tables.key.c.world_readable.is_(True)]

    def _looked_up(self, parts: Sequence[Bound]) -> ColumnElement[bool]:
        """Return the same, asked for each thing by itself."""
        if self.target in {"places", "hosts"}:
            return self._in_a_file(parts)
        if self.tables.kinds != SEALED_KINDS:  # of which there are few
            self.sought.add("place")
        found = self._entries(self.tables, parts, [self._joins_here()])
        return or_(*(exists(one_by_one(self.sources, query)) for query in found))

    def _in_a_file(self, parts: Sequence[Bound]) -> ColumnElement[bool]:
        """Return that an entry of the place, or of one on the host, is so."""
        files = InFiles.of(self.sources, self.target, parts, self._plain_at)
        each = files.can_be_each()
        if each:
            self.sought.add("file")
        return files.condition(each=each)

    def _own(self) -> FromClause:
        """Return the table whose rows the list has."""
        return {
            "certificates": self.tables.certificate,
            "keys": self.tables.key,
            "places": self.tables.place,
            "hosts": self.tables.host,
        }[self.target]

    def _identity(self) -> ColumnElement[Any]:
        names = {"certificates": "sha256", "keys": "key_id", "places": "place_no"}
        identity: ColumnElement[Any] = self._own().c[names.get(self.target, "host_no")]
        return identity

    def _joins_here(self) -> ColumnElement[bool]:
        """Return what binds an entry to the row of the list."""
        return self.tables.entry.c.artifact == self._identity()

    def _few_places(self, parts: Sequence[Bound]) -> list[int] | None:
        """Return the numbers of the places that fit, if they are few: of a mode, those that hold something of the list's kind."""
        spot = self.tables.place
        about = [part for part in parts if is_about_the_place(part)]
        if not about:
            return None
        key = All(tuple(about))
        if key not in self.probes:
            connection = self.sources.connection
            some = select(spot.c.place_no).where(
                *is_there(self.tables),
                *(holds_kinds(self.tables) if says_mode(about) else ()),
                *(self.plain(part) for part in about),
            )
            found: Sequence[int] | None = None
            if expected_rows(connection, some) <= _MANY:
                found = connection.execute(some.limit(_FEW + 1)).scalars().all()
            self.probes[key] = list(found) if found is not None and len(found) <= _FEW else None
        return self.probes[key]

    def _fit_few(self, conditions: Sequence[ColumnElement[bool]]) -> bool:
        return self._count(select(self._identity()).where(*conditions)) <= _FEW

    def _holds_few(self, conditions: Sequence[ColumnElement[bool]]) -> bool:
        return self._count(select(holding.c.host_no).where(*conditions)) <= _FEW

    def _count(self, some: Select[Any]) -> int:
        """Return how many rows there are, or one more than few."""
        count = select(func.count()).select_from(some.limit(_FEW + 1).subquery())
        return self.sources.connection.execute(count).scalar_one()

    def _holds(self, held: Held) -> list[ColumnElement[bool]]:
        """Return what is so of a row of `holding`."""
        conditions: list[ColumnElement[bool]] = [holding.c.kind.in_(self.tables.kinds)]
        if held.use:
            conditions.append(holding.c.live > 0 if held.use == "live" else holding.c.retained > 0)
        for literal in held.hosts:
            hosts = self._hosts(condition(self.sources, literal, Level.HOST))
            conditions.append(holding.c.host_no.in_(hosts))
        return conditions

    def _held(self, held: Held) -> ColumnElement[bool]:
        """Return that a host holds it, which needs no look at places."""
        if self.tables.kinds != SEALED_KINDS and held == Held("live", ()):
            # The fold has counted that. Plus nothing: so SQLite skips through no index of few issuers.
            return self._own().c.in_use + 0 > 0
        conditions = self._holds(replace(held, hosts=()))
        if held.hosts:
            meant = and_(*(condition(self.sources, each, Level.HOST) for each in held.hosts))
            hosts = self._hosts(meant)
            numbers = self.sources.connection.execute(hosts.limit(_FEW_HOSTS + 1)).scalars().all()
            if len(numbers) <= _FEW_HOSTS:
                few = [*conditions, holding.c.host_no.in_(numbers)]
                if self._holds_few(few):
                    return self._identity().in_(select(holding.c.artifact).where(*few))
            # Plus nothing: so no index is used that tries every host of the list for each artifact.
            conditions.append((holding.c.host_no + 0).in_(hosts))
            self.sought.add("host")
        same = [holding.c.artifact == self._identity()]
        if self.tables.kinds == SEALED_KINDS:
            same.append(
                holding.c.kind == self._own().c.kind
            )  # as the index of sealed ones has them
        held_so = select(holding.c.artifact).where(*same, *conditions)
        return exists(one_by_one(self.sources, held_so.correlate(self._own())))
