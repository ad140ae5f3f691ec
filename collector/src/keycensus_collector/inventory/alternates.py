"""What a chain leaves open: other verified issuers, by cross-signing or renewal, and an end that is no root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from keycensus_collector.inventory import results
from keycensus_collector.inventory.detail import link_of
from keycensus_collector.store.schema import certificate, issuer_edge

_MOST = 200


def alternates(
    connection: Connection, sha256: bytes, chain: Sequence[results.Link]
) -> Mapping[str, list[results.Link]]:
    """Return by the SHA-256 of each link (in hex) what could stand in its place, without those in the chain."""
    links = [bytes.fromhex(link.sha256) for link in chain]
    above = dict(zip([sha256, *links], links, strict=False))
    rows = connection.execute(
        select(certificate, issuer_edge.c.child.label("child"))
        .join(issuer_edge, issuer_edge.c.parent == certificate.c.sha256)
        .where(issuer_edge.c.child.in_(list(above)), certificate.c.sha256.not_in([sha256, *links]))
        .order_by(certificate.c.not_after_ms.desc(), certificate.c.sha256)
        .limit(_MOST)
    )
    found: dict[str, list[results.Link]] = {}
    for row in rows:
        found.setdefault(above[row.child].hex(), []).append(link_of(row))
    return found


def ends_open(connection: Connection, chain: Sequence[results.Link]) -> bool:
    """Tell whether the last link of a chain was signed by an issuer that was not found."""
    if not chain:
        return False
    last = bytes.fromhex(chain[-1].sha256)
    return not connection.execute(
        select(certificate.c.self_signed).where(certificate.c.sha256 == last)
    ).scalar_one()
