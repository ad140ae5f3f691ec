"""What things are called where they are told in a line."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from keycensus_collector.inventory.values import certificate_name
from keycensus_collector.store.schema import certificate, host, place


def told(connection: Connection, kind: str, identity: Any) -> str:  # noqa: ANN401 - a number or a hash
    """Return what a thing is called: `kind` as in a list or of one, "line" included."""
    kind = kind.removesuffix("s")
    if kind == "host":
        found = select(host.c.name).where(host.c.host_no == identity)
        return f"host {connection.execute(found).scalar_one()}"
    if kind == "place":
        row = connection.execute(
            select(host.c.name, place.c.path)
            .join(host, host.c.host_no == place.c.host_no)
            .where(place.c.place_no == identity)
        ).one()
        return f"{row.name}:{row.path}"
    if kind == "key":
        return f"key {identity.hex()}"
    of = certificate.c.line_no == identity if kind == "line" else certificate.c.sha256 == identity
    newest = certificate.c.not_before_ms.desc()
    row = connection.execute(select(certificate).where(of).order_by(newest).limit(1)).one()
    return certificate_name(row.common_name, row.names_text, row.subject, row.sha256)
