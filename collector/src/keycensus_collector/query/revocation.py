"""What revocation lists say, as conditions: `revoked:` and `revocation-reason:`.

Revoked stays revoked. Good is good as of the list in force at the moment that is asked for, and unknown once
that should have been followed by another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, FromClause, exists, not_, or_, select

from keycensus_collector.ownership.intervals import at
from keycensus_collector.query.relations import Tables
from keycensus_collector.store.tables.revocation import certificate_revocation, list_in_force

Condition = ColumnElement[bool]


def is_revoked(tables: Tables, word: str, moment_ms: int) -> Condition:
    """Return that a certificate is revoked ("yes"), good ("no"), or neither is known ("unknown")."""
    revoked = _revoked(tables)
    if word == "yes":
        return revoked
    good = (
        exists()
        .where(
            certificate_revocation.c.certificate == tables.certificate.c.sha256,
            certificate_revocation.c.status == "good",
            at(certificate_revocation, tables.as_of_ms),
            is_fresh(certificate_revocation.c.series_no, moment_ms, tables.as_of_ms),
        )
        .correlate(tables.certificate)
    )
    return good if word == "no" else not_(or_(revoked, good))


def is_fresh(series_no: ColumnElement[Any], moment_ms: int, as_of_ms: int | None) -> Condition:
    """Return that a list of a series is in force whose successor is not overdue."""
    lists = list_in_force.alias("fresh")
    return exists().where(
        lists.c.series_no == series_no,
        lists.c.from_ms.is_not(None),
        at(lists, as_of_ms),
        or_(lists.c.next_update_ms.is_(None), lists.c.next_update_ms > moment_ms),
    )


def revoked_with(tables: Tables, condition: Callable[[FromClause], Condition]) -> Condition:
    """Return that a certificate is revoked, and that this holds of its revocation."""
    return _revoked(tables, condition(certificate_revocation))


def _revoked(tables: Tables, *conditions: Condition) -> Condition:
    found = select(certificate_revocation.c.certificate).where(
        certificate_revocation.c.status == "revoked",
        at(certificate_revocation, tables.as_of_ms),
        *conditions,
    )
    return tables.certificate.c.sha256.in_(found)
