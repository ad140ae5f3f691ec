"""What lists of certificates say, as conditions: `listed-by:`, `imported:` and `issuer-list:`."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, and_, not_, or_, select

from keycensus_collector.ownership.intervals import at
from keycensus_collector.query.conditions import Known, Test, Text, expected
from keycensus_collector.query.patterns import text_matches
from keycensus_collector.query.relations import Tables
from keycensus_collector.store.tables.listed import (
    certificate_list,
    certificate_list_issuer,
    listed_certificate,
)

_KINDS = {"listed-by": "ca-list", "imported": "certificates"}


def is_listed(tables: Tables, name: str, test: Test) -> ColumnElement[bool]:
    """Return that a list of this kind names a certificate."""
    found = (
        select(listed_certificate.c.certificate)
        .join(certificate_list, certificate_list.c.list_no == listed_certificate.c.list_no)
        .where(
            certificate_list.c.kind == _KINDS[name],
            listed_certificate.c.certificate.is_not(None),
            at(listed_certificate, tables.as_of_ms),
        )
    )
    return _in(tables.certificate.c.sha256, found, test)


def has_listed_issuer(tables: Tables, test: Test) -> ColumnElement[bool]:
    """Return that a list of its issuer's was imported: by the name that the certificate has for it."""
    found = (
        select(certificate_list_issuer.c.issuer_der_hash)
        .join(certificate_list, certificate_list.c.list_no == certificate_list_issuer.c.list_no)
        .where(certificate_list.c.kind == "ca-list", at(certificate_list_issuer, tables.as_of_ms))
    )
    # Who signed itself stands on no list but its own.
    issued = tables.certificate.c.self_signed.is_(False)
    listed = _in(tables.certificate.c.issuer_der_hash, found, test)
    if isinstance(test, Known) and not test.known:
        return or_(not_(issued), listed)
    return and_(issued, listed)


def _in(
    column: ColumnElement[bytes], found: Select[tuple[bytes]], test: Test
) -> ColumnElement[bool]:
    if isinstance(test, Known):
        return column.in_(found) if test.known else not_(column.in_(found))
    return column.in_(found.where(text_matches(certificate_list.c.name, expected(Text, test))))
