"""What stands below authorities, by verified signatures: `under:` and the reach of marks.

An authority is its key, not one certificate of it: one that was renewed, or signed by another
authority besides, has issued what any of its certificates has.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, select, union_all

from keycensus_collector.query.conditions import Hash
from keycensus_collector.query.sources import Sources
from keycensus_collector.store.schema import certificate, issuer_edge

# A fleet has some hundred authorities; where one has more below it, a statement follows them by itself.
_MOST_AUTHORITIES = 2_000

_Hashes = Select[Any] | CompoundSelect[Any]


def issued_below(sources: Sources, authorities: _Hashes) -> Select[Any]:
    """Return the hashes of all certificates below these ones (hashes), which need not be authorities.

    From there on only authorities are followed. Edges may form circles. The authorities are found now: a database
    knows how much a few of them have issued, and nothing of what a recursion finds.
    """
    issued = select(issuer_edge.c.child)
    known = _with_those_below(sources, authorities)
    if known is not None:
        return issued.where(issuer_edge.c.parent.in_(known))
    above = select(authorities.subquery().c.sha256).cte("above", recursive=True)
    further = _next_below().join(above, above.c.sha256 == _EDGE.c.parent)
    return issued.where(issuer_edge.c.parent.in_(select(above.union(further).c.sha256)))


def _with_those_below(sources: Sources, authorities: _Hashes) -> set[bytes] | None:
    """Return these and all authorities below them; None if those are too many."""
    ask, most = sources.connection.execute, _MOST_AUTHORITIES + 1
    found = set(ask(select(authorities.subquery()).limit(most)).scalars())
    new = found
    while new and len(found) <= _MOST_AUTHORITIES:
        below = _next_below().where(_EDGE.c.parent.in_(new)).distinct()
        new = set(ask(below.limit(most)).scalars()) - found
        found = found | new
    return found if len(found) <= _MOST_AUTHORITIES else None


_EDGE = issuer_edge.alias("between")


def _next_below() -> Select[Any]:
    """Return all certificates of the keys of the authorities that `_EDGE` leads to."""
    known, issuing = certificate.alias("known"), certificate.alias("issuing")
    return (
        select(issuing.c.sha256)
        .join(known, known.c.key_id == issuing.c.key_id)
        .join(_EDGE, _EDGE.c.child == known.c.sha256)
        .where(known.c.is_ca.is_(True), known.c.key_id != b"")
    )


def certificates_of(keys: _Hashes) -> Select[Any]:
    """Return the hashes of all certificates of these keys."""
    own = certificate.alias("of_the_key")
    return select(own.c.sha256).where(own.c.key_id.in_(keys), own.c.key_id != b"")


def is_under(sources: Sources, test: Hash) -> ColumnElement[bool]:
    """Return that a certificate is below the one, or the key, whose hash this is or starts so."""
    named = certificate.alias("named")
    by_hash = named.c.sha256.between(test.low, test.high)
    keys = union_all(
        select(named.c.key_id).where(by_hash),
        select(named.c.key_id).where(named.c.key_id.between(test.low, test.high)),
    )
    # One whose key can't be read is still itself.
    authorities = union_all(certificates_of(keys), select(named.c.sha256).where(by_hash))
    return sources.tables.certificate.c.sha256.in_(issued_below(sources, authorities))
