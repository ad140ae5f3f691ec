"""Labels as people see them: of each source, and which of them count."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from keycensus_collector.inventory import results
from keycensus_collector.ownership.assignments import Thing
from keycensus_collector.ownership.labels import labels_of_certificate, labels_of_host
from keycensus_collector.store.tables.ownership import label


def labels_of(connection: Connection, thing: Thing) -> list[results.Label]:
    """Return the labels of a host or certificate that count."""
    if thing.kind == "host":
        found = labels_of_host(connection, thing.number)
    else:
        found = labels_of_certificate(connection, thing.artifact)
    return [results.Label(each.key, each.value, each.source, each.why) for each in found]


def kept_labels(
    connection: Connection, hosts: Sequence[int]
) -> dict[int, dict[str, dict[str, str]]]:
    """Return the labels of hosts by hand and by rule: by host, source and key."""
    found: dict[int, dict[str, dict[str, str]]] = {}
    rows = connection.execute(
        select(label)
        .where(label.c.kind == "host", label.c.number.in_(hosts), label.c.to_ms.is_(None))
        .order_by(label.c.source, label.c.key)
    )
    for row in rows:
        found.setdefault(row.number, {}).setdefault(row.source, {})[row.key] = row.value
    return found
