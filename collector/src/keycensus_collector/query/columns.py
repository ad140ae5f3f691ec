"""Conditions on fields as SQL: which column, and what the test of its kind means there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Text,
    and_,
    case,
    cast,
    collate,
    exists,
    false,
    func,
    not_,
    null,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
)

from keycensus_collector.ownership.intervals import at
from keycensus_collector.ownership.people import teams_of_user
from keycensus_collector.query.authorities import is_under
from keycensus_collector.query.bound import Literal
from keycensus_collector.query.conditions import (
    Choice,
    Hash,
    Known,
    Path,
    Range,
    Serial,
    Test,
    expected,
)
from keycensus_collector.query.conditions import Text as TextTest
from keycensus_collector.query.fields import Level
from keycensus_collector.query.marks import has_reappeared, is_marked
from keycensus_collector.query.owners import Owners
from keycensus_collector.query.patterns import (
    name_matches,
    path_matches,
    text_matches,
    word_matches,
)
from keycensus_collector.query.recertified import is_recertified
from keycensus_collector.query.relations import (
    SEALED_KINDS,
    Tables,
    live,
    owner_only,
    world_readable,
)
from keycensus_collector.store.schema import certificate as certificates
from keycensus_collector.store.schema import (
    certificate_name,
    gap,
    host_state,
    issuer_edge,
    public_key,
    usage,
    usage_place,
)
from keycensus_collector.store.tables.ownership import label

_SOURCES = ("manual", "token", "rule", "host")


@dataclass(frozen=True, slots=True)
class Columns:
    """Where conditions take their columns from, and the connection whose SQL they are for."""

    connection: Connection
    tables: Tables
    now_ms: int
    asker: str = ""

    def condition(self, literal: Literal, level: Level) -> ColumnElement[bool]:
        """Return what a condition means on the columns of one level."""
        special = _SPECIAL.get(literal.field.name)
        if special is not None:
            found = special(self, literal, level)
        else:
            found = self.plain(self._column(literal.field.name, level), literal.test)
        return not_(found) if literal.negated else found

    def _column(self, name: str, level: Level) -> ColumnElement[Any]:
        table = getattr(self.tables, level.value)
        column: ColumnElement[Any] = table.c[_COLUMNS[level].get(name, name.replace("-", "_"))]
        return column

    def plain(self, column: ColumnElement[Any], test: Test) -> ColumnElement[bool]:
        """Return what a test means on one column."""
        if isinstance(test, Known):
            there = column != "" if isinstance(column.type, Text) else column.is_not(None)
            return there if test.known else not_(there)
        if isinstance(test, Choice):
            yes_or_no = test.value in {"yes", "no"}
            return column.is_(test.value == "yes") if yes_or_no else column == test.value
        if isinstance(test, Path):
            return path_matches(self.connection, column, test, indexed=False)
        if isinstance(test, TextTest):
            return text_matches(column, test)
        return _on_value(column, test)


def _on_value(column: ColumnElement[Any], test: Range | Hash | Serial) -> ColumnElement[bool]:
    if isinstance(test, Range):
        return in_range(column, test)
    if isinstance(test, Hash):
        return column.between(test.low, test.high)
    return column.in_(test.values)


def in_range(column: ColumnElement[Any], test: Range) -> ColumnElement[bool]:
    """Return that a number is in a range."""
    bounds: list[ColumnElement[bool]] = []
    if test.low is not None:
        bounds.append(column >= test.low)
    if test.high is not None:
        bounds.append(column < test.high)
    return and_(*bounds)


# Columns whose name is not that of the field.
_COLUMNS: dict[Level, dict[str, str]] = {
    Level.CERTIFICATE: {
        "cn": "common_name",
        "expires": "not_after_ms",
        "issued": "not_before_ms",
        "ca": "is_ca",
        "signature": "signature_algorithm",
        "line": "line_no",
        "key": "algorithm",
        "first-seen": "first_seen_ms",
        "places": "live_places",
    },
    Level.KEY: {
        "key": "algorithm",
        "first-seen": "first_seen_ms",
        "places": "live_places",
    },
    Level.ENTRY: {},
    Level.PLACE: {
        "link": "target",
        "user": "owner",
        "scope": "scope_kind",
        "appeared": "first_seen_ms",
        "changed": "changed_ms",
    },
    Level.HOST: {
        "os": "operating_system",
        "agent": "agent_version",
        "last-seen": "last_seen_ms",
        "enrolled": "created_ms",
    },
}

_Special = Callable[[Columns, Literal, Level], ColumnElement[bool]]


# A team can be named so too: `owner="mine"`.
_MINE = TextTest("mine", "glob")


def _owned(columns: Columns, literal: Literal, level: Level) -> ColumnElement[bool]:
    """Look among what was worked out of owners; the fallback team owns what nobody else does."""
    owners = Owners(columns.connection, columns.tables, by_place=literal.field.name == "team")
    if isinstance(literal.test, Known):
        owned = owners.has_any(level)
        return owned if literal.test.known else not_(owned)
    test = expected(TextTest, literal.test)
    if test == _MINE:
        return owners.has_one_of(level, teams_of_user(columns.connection, columns.asker))
    return owners.has(level, lambda name: text_matches(name, test))


def _named(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    test = expected(TextTest, literal.test)
    names = certificate_name.c
    matching = select(names.sha256).where(name_matches(names.value, test))
    if literal.field.name == "san":
        matching = matching.where(names.kind != "common-name")
    return columns.tables.certificate.c.sha256.in_(matching)


def _purpose(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    column = columns.tables.certificate.c.extended_key_usage
    if isinstance(literal.test, TextTest):
        return word_matches(column, literal.test)
    return columns.plain(column, literal.test)


def _under(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    return is_under(columns.tables, expected(Hash, literal.test))


def _marked(columns: Columns, literal: Literal, level: Level) -> ColumnElement[bool]:
    return is_marked(columns.tables, literal.test, level)


def _reappeared(columns: Columns, literal: Literal, level: Level) -> ColumnElement[bool]:
    return _is(has_reappeared(columns.tables, level), literal.test, "yes")


def _recertified(columns: Columns, literal: Literal, level: Level) -> ColumnElement[bool]:
    return is_recertified(columns.tables, literal.test, level, columns.now_ms)


def _issuer_found(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    table = columns.tables.certificate
    known = or_(
        table.c.self_signed.is_(True), exists().where(issuer_edge.c.child == table.c.sha256)
    )
    return _is(known, literal.test, "yes")


def _private_key(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    key = public_key.alias("its_key")
    held = exists().where(
        key.c.key_id == columns.tables.certificate.c.key_id,
        key.c.live_places + key.c.retained_places > 0,
    )
    return _is(held, literal.test, "found")


def _certified(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    """Whether a sealed key has a certificate nobody can know."""
    if columns.tables.kinds == SEALED_KINDS:
        return null().is_not(None)
    other = certificates.alias("its_certificate")
    held = exists().where(
        other.c.key_id == columns.tables.key.c.key_id,
        other.c.live_places + other.c.retained_places > 0,
    )
    return _is(held, literal.test, "found")


def _sealed(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    if not columns.tables.kinds:
        return _is(columns.tables.entry.c.kind.in_(SEALED_KINDS), literal.test, "yes")
    sealed = columns.tables.kinds == SEALED_KINDS
    return _is(true() if sealed else false(), literal.test, "yes")


def _encrypted(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    """Ask the entry; a sealed key is encrypted by being sealed, whatever that says."""
    entry = columns.tables.entry.c
    return _is(or_(entry.encrypted.is_(True), entry.kind.in_(SEALED_KINDS)), literal.test, "yes")


def _holds(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    test = expected(Choice, literal.test)
    return columns.tables.entry.c.kind == test.value


def _path(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    test = expected(Path, literal.test)
    column = columns.tables.place.c.path
    return path_matches(columns.connection, column, test, indexed=columns.tables.as_of_ms is None)


def _use(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    if isinstance(literal.test, Known):
        return columns.tables.place.c.place_no.is_not(None)
    return _is(live(columns.tables), literal.test, "live")


def _role(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    column = columns.tables.place.c
    if isinstance(literal.test, Known) and literal.test.known:
        return column.place_no.is_not(None)
    return columns.plain(column.role, literal.test)


def _readable(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    test = expected(Choice, literal.test)
    if test.value == "world":
        return world_readable(columns.tables)
    alone = owner_only(columns.tables)
    return alone if test.value == "owner" else not_(alone)


_USAGE = {"service": usage.c.service, "verdict": usage.c.verdict, "renewal": usage.c.renewal_tool}


def _used(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    """Look for a usage that names the place: a list of names of places, made once."""
    as_of_ms, spot = columns.tables.as_of_ms, columns.tables.place.c
    stands = at(usage, as_of_ms)
    column, test = _USAGE[literal.field.name], literal.test
    if isinstance(test, Known):
        condition: ColumnElement[bool] = column != ""
    else:
        condition = text_matches(column, expected(TextTest, test))
        if literal.field.name == "renewal" and expected(TextTest, test).pattern == "overdue":
            condition = usage.c.renewal_overdue.is_(True)
    named = (
        select(usage.c.host_no, usage_place.c.path_hash)
        .join(usage_place, usage_place.c.usage_no == usage.c.usage_no)
        .where(stands, condition)
    )
    found = tuple_(spot.host_no, spot.path_hash).in_(named)
    return not_(found) if isinstance(test, Known) and not test.known else found


def _host(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    test = expected(TextTest, literal.test)
    table = columns.tables.host.c
    named = text_matches(table.name, test)
    return or_(named, table.host_id == test.pattern.lower())


def _state(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    test = expected(Choice, literal.test)
    as_of_ms = columns.tables.as_of_ms
    if as_of_ms is None:
        return columns.tables.host.c.state == test.value
    return exists().where(
        host_state.c.host_no == columns.tables.host.c.host_no,
        host_state.c.state == test.value,
        at(host_state, as_of_ms),
    )


def _gap(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    as_of_ms = columns.tables.as_of_ms
    there = at(gap, as_of_ms)
    gaps = select(gap.c.host_no).where(there)
    number, test = columns.tables.host.c.host_no, literal.test
    if isinstance(test, Known):
        return number.in_(gaps) if test.known else number.not_in(gaps)
    if isinstance(test, Path):
        gaps = gaps.where(path_matches(columns.connection, gap.c.prefix, test, indexed=False))
    elif isinstance(test, TextTest):
        gaps = gaps.where(text_matches(gap.c.reason, test))
    return number.in_(gaps)


def _importance(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    return in_range(-columns.tables.certificate.c.rank, expected(Range, literal.test))


def _own_label(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    """Take a certificate's own label: by hand, on it or its line, then by rule."""
    table, as_of_ms = columns.tables.certificate.c, columns.tables.as_of_ms
    line = func.coalesce(table.line_no, 0)
    there = or_(
        table.sha256.in_(select(label.c.artifact).where(*_kept("certificate", literal, as_of_ms))),
        line.in_(select(label.c.number).where(*_kept("line", literal, as_of_ms))),
    )
    if isinstance(literal.test, Known):
        return there if literal.test.known else not_(there)
    its_own, of_line = label.c.artifact == table.sha256, label.c.number == line
    value = func.coalesce(
        _label_value("certificate", literal, as_of_ms, its_own, label.c.source == "manual"),
        _label_value("line", literal, as_of_ms, of_line),
        _label_value("certificate", literal, as_of_ms, its_own),
    )
    # Of a label that it has not, neither this nor its opposite holds; and it is not looked for.
    return case((there, text_matches(value, expected(TextTest, literal.test))), else_=None)


def _kept(kind: str, literal: Literal, as_of_ms: int | None) -> list[ColumnElement[bool]]:
    return [label.c.kind == kind, label.c.key == literal.label, at(label, as_of_ms)]


def _label_value(
    kind: str, literal: Literal, as_of_ms: int | None, *which: ColumnElement[bool]
) -> ColumnElement[Any]:
    found = select(label.c.value).where(*_kept(kind, literal, as_of_ms), *which)
    return found.order_by(label.c.source).limit(1).correlate_except(label).scalar_subquery()


def _label(columns: Columns, literal: Literal, _: Level) -> ColumnElement[bool]:
    """Take the label of the most trusted source: by hand, token, rule, then the host's own word.

    Those by hand and rule are of the day that is asked for; a token's and the host's are of today.
    """
    labels, as_of_ms = columns.tables.host.c.labels, columns.tables.as_of_ms
    is_sqlite = columns.connection.dialect.name == "sqlite"
    document: Any = type_coerce(labels, JSON) if is_sqlite else cast(labels, JSON)
    mine = label.c.number == columns.tables.host.c.host_no
    kept = {
        source: _label_value("host", literal, as_of_ms, mine, label.c.source == source)
        for source in ("manual", "rule")
    }
    claimed = {
        source: document[(source, literal.label)].as_string() for source in ("token", "host")
    }
    trusted = columns.tables.host_labels
    own_word = trusted is None or literal.label in trusted
    sources = _SOURCES if own_word else [source for source in _SOURCES if source != "host"]
    value = func.coalesce(*((kept | claimed)[source] for source in sources))
    if isinstance(literal.test, Known):
        return value.is_not(None) if literal.test.known else value.is_(None)
    test = expected(TextTest, literal.test)
    # What comes out of a document has the order and the letters of PostgreSQL's own language.
    return text_matches(value if is_sqlite else collate(value, "C"), test)


def _is(condition: ColumnElement[bool], test: Test, positive: str) -> ColumnElement[bool]:
    return condition if expected(Choice, test).value == positive else not_(condition)


_SPECIAL: dict[str, _Special] = {
    "owner": _owned,
    "place-owner": _owned,
    "team": _owned,
    "name": _named,
    "san": _named,
    "eku": _purpose,
    "under": _under,
    "marked": _marked,
    "reappeared": _reappeared,
    "recertified": _recertified,
    "issuer-found": _issuer_found,
    "private-key": _private_key,
    "certificate": _certified,
    "sealed": _sealed,
    "encrypted": _encrypted,
    "holds": _holds,
    "path": _path,
    "use": _use,
    "role": _role,
    "readable-by": _readable,
    "service": _used,
    "verdict": _used,
    "renewal": _used,
    "host": _host,
    "state": _state,
    "gap": _gap,
    "gap-reason": _gap,
    "label": _label,
    "own-label": _own_label,
    "importance": _importance,
}
