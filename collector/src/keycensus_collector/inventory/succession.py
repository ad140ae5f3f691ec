"""Which host may be an earlier one that was installed anew, and which may be a banned one.

Machine hashes and names are claims, so this only proposes and warns; an operator decides, or a token
that is bound to the host.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from keycensus_collector.store.schema import host, host_state

SUCCEEDED = "succeeded"
_PROPOSALS_MOST = 1000


def propose(connection: Connection) -> dict[int, list[dict[str, Any]]]:
    """Return, by the number of a host that reports, earlier hosts that it may be, with the reason."""
    old, new = host.alias("old"), host.alias("new")
    settled = select(host_state.c.host_no).where(
        host_state.c.to_ms.is_(None), host_state.c.cause == SUCCEEDED
    )
    rows = connection.execute(
        select(
            new.c.host_no,
            old.c.host_id,
            old.c.name,
            old.c.state,
            (old.c.machine_hash == new.c.machine_hash).label("same_machine"),
            (old.c.name == new.c.name).label("same_name"),
        )
        .where(
            old.c.host_no != new.c.host_no,
            (old.c.machine_hash == new.c.machine_hash) | (old.c.name == new.c.name),
            # It appeared when the other one was not heard of any more.
            new.c.created_ms > old.c.last_seen_ms,
            new.c.state != "retired",
            old.c.state != "active",
            old.c.banned_ms.is_(None),
            new.c.banned_ms.is_(None),
            old.c.host_no.not_in(settled),
        )
        .order_by(new.c.host_no, old.c.last_seen_ms.desc())
        .limit(_PROPOSALS_MOST)
    )
    proposals: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        because = [
            word for word, same in (("machine", row.same_machine), ("name", row.same_name)) if same
        ]
        proposals.setdefault(row.host_no, []).append(
            {"id": row.host_id, "name": row.name, "state": row.state, "same": because}
        )
    return proposals


def warn_of_banned(connection: Connection) -> dict[int, str]:
    """Return, by number, hosts that say they are the machine of a banned one, with a text."""
    banned, other = host.alias("banned"), host.alias("other")
    rows = connection.execute(
        select(other.c.host_no, banned.c.name, banned.c.host_id)
        .where(
            banned.c.banned_ms.is_not(None),
            other.c.banned_ms.is_(None),
            other.c.state != "retired",
            other.c.machine_hash == banned.c.machine_hash,
        )
        .limit(_PROPOSALS_MOST)
    )
    return {row.host_no: f"same machine as banned host {row.name} ({row.host_id})" for row in rows}
