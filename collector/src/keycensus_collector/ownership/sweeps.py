"""Everything of a kind in chunks, in the order of its key: what sweeps and trials of rules go through."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from keycensus_collector.store.schema import certificate, holding, host

_PRIVATE = ("private-key", "sealed-key", "sealed-container")


def next_of(connection: Connection, kind: str, after: Any, limit: int) -> list[Any]:  # noqa: ANN401 - a number or a hash
    """Return the next hosts by number, or certificates or keys by hash, behind `after`."""
    if kind == "host":
        statement = select(host.c.host_no).where(host.c.host_no > after).order_by(host.c.host_no)
    elif kind == "certificate":
        key = certificate.c.sha256
        statement = select(key).where(key > after).order_by(key)
    else:
        artifact = holding.c.artifact
        statement = (
            select(artifact)
            .where(artifact > after, holding.c.kind.in_(_PRIVATE))
            .distinct()
            .order_by(artifact)
        )
    return list(connection.execute(statement.limit(limit)).scalars())
