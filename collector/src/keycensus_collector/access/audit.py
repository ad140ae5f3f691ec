"""The audit log: who did what to whom, written in the transaction that does it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import Connection, insert

from keycensus_collector.store.schema import audit
from keycensus_collector.text import safe_text


def record(
    connection: Connection,
    *,
    at_ms: int,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Add one line. `detail` goes in as JSON and holds no secret; text from outside is escaped."""
    connection.execute(
        insert(audit).values(
            at_ms=at_ms,
            actor=safe_text(actor),
            action=action,
            subject=safe_text(subject),
            detail=json.dumps(detail or {}, sort_keys=True),
        )
    )
