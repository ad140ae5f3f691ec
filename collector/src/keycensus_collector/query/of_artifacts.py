"""Conditions on certificates, keys and entries of files, as SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    Select,
    and_,
    false,
    not_,
    null,
    or_,
    select,
    true,
    union_all,
)

from keycensus_collector.ownership.intervals import at
from keycensus_collector.query.authorities import is_under
from keycensus_collector.query.bound import Literal
from keycensus_collector.query.conditions import Choice, Hash, Known, Range, Text, expected
from keycensus_collector.query.fields import Level
from keycensus_collector.query.labels import own_label
from keycensus_collector.query.listed import has_listed_issuer, is_listed
from keycensus_collector.query.marks import has_reappeared, is_marked
from keycensus_collector.query.matching import in_range, is_choice, matches
from keycensus_collector.query.patterns import name_matches, word_matches
from keycensus_collector.query.relations import SEALED_KINDS, Tables, is_there
from keycensus_collector.query.revocation import is_revoked, revoked_with
from keycensus_collector.query.sources import Sources, Special
from keycensus_collector.store.schema import (
    certificate_name,
    line_step,
    place_past,
    usage,
    usage_place,
)


def _named(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    test = expected(Text, literal.test)
    names = certificate_name.c
    matching = select(names.sha256).where(name_matches(names.value, test))
    if literal.field.name == "san":
        matching = matching.where(names.kind != "common-name")
    return sources.tables.certificate.c.sha256.in_(matching)


def _purpose(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    column = sources.tables.certificate.c.extended_key_usage
    if isinstance(literal.test, Text):
        return word_matches(column, literal.test)
    return matches(sources.connection, column, literal.test)


def _under(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    return is_under(sources, expected(Hash, literal.test))


def _revoked(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    test = literal.test
    if isinstance(test, Choice):
        return is_revoked(sources.tables, test.value, sources.now_ms)
    name = "revoked_ms" if literal.field.name == "revoked" else "reason"

    def holds(table: FromClause) -> ColumnElement[bool]:
        return matches(sources.connection, table.c[name], test)

    return revoked_with(sources.tables, holds)


def _listed(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    return is_listed(sources.tables, literal.field.name, literal.test)


def _listed_issuer(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    return has_listed_issuer(sources.tables, literal.test)


def _marked(sources: Sources, literal: Literal, level: Level) -> ColumnElement[bool]:
    return is_marked(sources, literal.test, level)


def _reappeared(sources: Sources, literal: Literal, level: Level) -> ColumnElement[bool]:
    return is_choice(has_reappeared(sources.tables, level), literal.test, "yes")


def _issuer_found(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    return _is(sources.tables.certificate.c.issuer_found, literal, "yes")


def _private_key(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    return _is(sources.tables.certificate.c.key_found, literal, "found")


def _certified(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    """Whether a sealed key has a certificate nobody can know."""
    if sources.tables.kinds == SEALED_KINDS:
        return null().is_not(None)
    return _is(sources.tables.key.c.certified, literal, "found")


def _is(column: ColumnElement[bool], literal: Literal, positive: str) -> ColumnElement[bool]:
    """Return that a column is as asked for, in the words of the index of what it is not so of."""
    return column.is_(expected(Choice, literal.test).value == positive)


def _sealed(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    if not sources.tables.kinds:
        return is_choice(sources.tables.entry.c.kind.in_(SEALED_KINDS), literal.test, "yes")
    sealed = sources.tables.kinds == SEALED_KINDS
    return is_choice(true() if sealed else false(), literal.test, "yes")


def _encrypted(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    """Ask the entry; a sealed key is encrypted by being sealed, whatever that says."""
    entry = sources.tables.entry.c
    return is_choice(
        or_(entry.encrypted.is_(True), entry.kind.in_(SEALED_KINDS)), literal.test, "yes"
    )


def _holds(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    test = expected(Choice, literal.test)
    return sources.tables.entry.c.kind == test.value


def _listened(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    """Look for listeners that were seen so: at places that they name, and what they presented."""
    test, tables = literal.test, sources.tables
    spot = tables.place.c
    seen = [at(usage, tables.as_of_ms)]
    if isinstance(test, Known):
        seen.append(usage.c.verdict != "")
    else:
        seen.append(usage.c.verdict == expected(Choice, test).value)
    at_places = (
        select(spot.manifest)
        .join(usage_place, usage_place.c.path_hash == spot.path_hash)
        .join(
            usage,
            and_(usage.c.usage_no == usage_place.c.usage_no, usage.c.host_no == spot.host_no),
        )
        .where(*seen, *is_there(tables))
    )
    presented = select(usage.c.manifest).where(*seen)
    manifests = union_all(at_places.correlate(None), presented.correlate(None))
    found = tables.certificate.c.sha256.in_(_certificates_in(tables, manifests))
    return not_(found) if isinstance(test, Known) and not test.known else found


def _renewed(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    when, as_of_ms = line_step.c.at_ms, sources.tables.as_of_ms
    steps = select(line_step.c.successor).where(in_range(when, expected(Range, literal.test)))
    known = steps if as_of_ms is None else steps.where(when <= as_of_ms)
    return sources.tables.certificate.c.sha256.in_(known)


def stood_until(tables: Tables, test: Range) -> ColumnElement[bool]:
    """Return that places which held a certificate did so until then, and none for longer."""

    def since(low: int) -> ColumnElement[bool]:
        ended = place_past.c.to_ms >= low
        if tables.as_of_ms is not None:
            ended = and_(ended, place_past.c.to_ms <= tables.as_of_ms)
        held = select(place_past.c.manifest).where(ended).correlate(None)
        return tables.certificate.c.sha256.in_(_certificates_in(tables, held))

    later = [not_(since(test.high))] if test.high is not None else []
    return and_(since(test.low or 0), *later)


def _certificates_in(
    tables: Tables, manifests: Select[Any] | CompoundSelect[Any]
) -> CompoundSelect[Any]:
    entry, part = tables.entry.c, tables.part
    of_certificates = entry.kind == "certificate"
    whole = select(entry.artifact).where(of_certificates, entry.manifest.in_(manifests))
    in_parts = (
        select(entry.artifact)
        .join(part, part.c.part == entry.manifest)
        .where(of_certificates, part.c.manifest.in_(manifests))
    )
    return union_all(whole.correlate(None), in_parts.correlate(None))


def _importance(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    return in_range(-sources.tables.certificate.c.rank, expected(Range, literal.test))


OF_ARTIFACTS: dict[str, Special] = {
    "name": _named,
    "san": _named,
    "eku": _purpose,
    "under": _under,
    "marked": _marked,
    "revoked": _revoked,
    "listed-by": _listed,
    "imported": _listed,
    "issuer-list": _listed_issuer,
    "revocation-reason": _revoked,
    "reappeared": _reappeared,
    "issuer-found": _issuer_found,
    "listener": _listened,
    "private-key": _private_key,
    "certificate": _certified,
    "sealed": _sealed,
    "encrypted": _encrypted,
    "holds": _holds,
    "importance": _importance,
    "renewed": _renewed,
    "own-label": own_label,
}
