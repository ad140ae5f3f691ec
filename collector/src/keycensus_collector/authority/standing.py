"""Where an identity stands: may it write, or is it shut out, and what its holder is told.

Every word that a shut-out agent gets is made here, so that each refusal says what a person does.
"""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from keycensus_collector.access import audit
from keycensus_collector.errors import Refusal
from keycensus_collector.store.schema import agent, agent_contact, rekey_grant

ACTIVE, CLONED, REKEYED = "active", "cloned", "rekeyed"
# A certificate that a newer one of the same agent has replaced: a copy, or a restored snapshot.
REPLACED = "replaced"

# Copies of one image that come at once are spread over so long, a second for so many.
_SPREAD_MOST_SECONDS = 20
_COPIES_A_SECOND = 20


def open_grant(connection: Connection, agent_no: int, now_ms: int) -> Row[*tuple[Any, ...]] | None:
    """Return the operator's word that copies of this agent may get identities, if it still holds."""
    return connection.execute(
        select(rekey_grant)
        .where(
            rekey_grant.c.agent_no == agent_no,
            rekey_grant.c.expires_ms > now_ms,
            rekey_grant.c.copies_left > 0,
        )
        .order_by(rekey_grant.c.grant_no.desc())
        .limit(1)
    ).one_or_none()


def ended(state: str, agent_id: str) -> Refusal:
    """Return what the holder of an identity in `state` is told; not for "active"."""
    short = agent_id[:8]
    if state == "banned":
        return Refusal("banned", "this agent was banned; ask the collector's operators")
    if state in (CLONED, REKEYED):
        return Refusal(
            "cloned",
            f"several machines use the identity of agent {agent_id}, so none of them may; an operator "
            f"sees them with: keycensus-collector agent show {short}, and gives each an identity of "
            f"its own with: keycensus-collector agent rekey {short}",
        )
    if state == REPLACED:
        return Refusal(
            "unknown",
            "this certificate was replaced by a newer one of the same agent: this machine is a copy, or "
            "was restored from a snapshot. Enrol the host again, or an operator lets it in with: "
            f"keycensus-collector agent rekey {short}",
        )
    return Refusal("unknown", f"this agent's identity has ended ({state}); enrol the host again")


def turned_away(
    connection: Connection, state: str, agent_no: int, agent_id: str, now_ms: int
) -> Refusal:
    """Return the refusal for a hello under an identity that may not write.

    It is "rekey" where an operator has said that copies may come for identities of their own.
    """
    if state in (CLONED, REKEYED, REPLACED):
        grant = open_grant(connection, agent_no, now_ms)
        if grant is not None:
            return Refusal(
                "rekey",
                "an operator lets each machine with this identity have one of its own; the agent "
                "fetches it by itself",
                retry_after_seconds=_spread(connection, agent_no),
            )
    return ended(state, agent_id)


def _spread(connection: Connection, agent_no: int) -> int:
    copies = connection.execute(
        select(func.count()).where(agent_contact.c.agent_no == agent_no)
    ).scalar_one()
    return secrets.randbelow(1 + min(_SPREAD_MOST_SECONDS, copies // _COPIES_A_SECOND))


def mark_cloned(
    connection: Connection, agent_no: int, agent_id: str, why: str, now_ms: int
) -> None:
    """Shut every holder of an identity out until an operator has looked at them."""
    connection.execute(
        update(agent).where(agent.c.agent_no == agent_no).values(state=CLONED, state_reason=why)
    )
    audit.record(
        connection,
        at_ms=now_ms,
        actor="collector",
        action="agent.cloned",
        subject=agent_id,
        detail={"why": why},
    )
