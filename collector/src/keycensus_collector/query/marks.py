"""What marks reach, as conditions: `marked:` and `reappeared:`.

A mark on a certificate is on it, on a key on all certificates of that key; and of an authority, marked
either way, on everything below.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists, not_, or_, select, union_all

from keycensus_collector.ownership.intervals import at
from keycensus_collector.query.authorities import certificates_of, issued_below
from keycensus_collector.query.conditions import Choice, Known, Test, expected
from keycensus_collector.query.fields import Level
from keycensus_collector.query.relations import Tables
from keycensus_collector.query.sources import Sources
from keycensus_collector.store.schema import certificate
from keycensus_collector.store.tables.marks import mark, reappearance


def is_marked(sources: Sources, test: Test, level: Level) -> ColumnElement[bool]:
    """Return that a mark of this word, or any, reaches a certificate or a key."""
    stands = [at(mark, sources.tables.as_of_ms)]
    if isinstance(test, Known):
        found = _reached(sources, stands, level)
        return found if test.known else not_(found)
    return _reached(sources, [*stands, mark.c.word == expected(Choice, test).value], level)


def _reached(
    sources: Sources, stands: list[ColumnElement[bool]], level: Level
) -> ColumnElement[bool]:
    tables = sources.tables
    keys = select(mark.c.subject).where(mark.c.kind == "key", *stands)
    if level is Level.KEY:
        return tables.key.c.key_id.in_(keys)
    own = tables.certificate.c
    named = select(mark.c.subject).where(mark.c.kind == "certificate", *stands)
    authority = certificate.alias("marked_authority")
    its_keys = select(authority.c.key_id).where(
        authority.c.sha256.in_(named), authority.c.is_ca.is_(True)
    )
    authorities = union_all(certificates_of(union_all(keys, its_keys)), named)
    return or_(
        own.sha256.in_(named),
        own.key_id.in_(keys),
        own.sha256.in_(issued_below(sources, authorities)),
    )


def has_reappeared(tables: Tables, level: Level) -> ColumnElement[bool]:
    """Return that a certificate or key came to a place while a mark stood that still stands."""
    is_key = level is Level.KEY
    identity = tables.key.c.key_id if is_key else tables.certificate.c.sha256
    conditions = [
        reappearance.c.artifact == identity,
        reappearance.c.kind == ("key" if is_key else "certificate"),
        mark.c.mark_no == reappearance.c.mark_no,
        at(mark, tables.as_of_ms),
    ]
    if tables.as_of_ms is not None:
        conditions.append(reappearance.c.at_ms <= tables.as_of_ms)
    return exists().where(*conditions).correlate(tables.key if is_key else tables.certificate)
