"""What stands below authorities, by verified signatures: `under:` and the reach of marks.

An authority is its key, not one certificate of it: one that was renewed, or signed by another
authority besides, has issued what any of its certificates has.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, select, union_all

from keycensus_collector.query.conditions import Hash
from keycensus_collector.query.relations import Tables
from keycensus_collector.store.schema import certificate, issuer_edge


def issued_below(authorities: CompoundSelect[Any]) -> Select[Any]:
    """Return the hashes of all certificates below these ones (hashes), which need not be authorities.

    From there on only authorities are followed. Edges may form circles.
    """
    first = select(issuer_edge.c.child).where(issuer_edge.c.parent.in_(authorities))
    below = first.cte("below", recursive=True)
    known, parent = certificate.alias("known"), certificate.alias("issuing")
    further = (
        select(issuer_edge.c.child)
        .join(parent, parent.c.sha256 == issuer_edge.c.parent)
        .join(known, known.c.key_id == parent.c.key_id)
        .join(below, below.c.child == known.c.sha256)
        .where(known.c.is_ca.is_(True), known.c.key_id != b"")
    )
    return select(below.union(further).c.child)


def certificates_of(keys: Select[Any] | CompoundSelect[Any]) -> Select[Any]:
    """Return the hashes of all certificates of these keys."""
    own = certificate.alias("of_the_key")
    return select(own.c.sha256).where(own.c.key_id.in_(keys), own.c.key_id != b"")


def is_under(tables: Tables, test: Hash) -> ColumnElement[bool]:
    """Return that a certificate is below the one, or the key, whose hash this is or starts so."""
    named = certificate.alias("named")
    by_hash = named.c.sha256.between(test.low, test.high)
    keys = union_all(
        select(named.c.key_id).where(by_hash),
        select(named.c.key_id).where(named.c.key_id.between(test.low, test.high)),
    )
    # One whose key can't be read is still itself.
    authorities = union_all(certificates_of(keys), select(named.c.sha256).where(by_hash))
    return tables.certificate.c.sha256.in_(issued_below(authorities))
