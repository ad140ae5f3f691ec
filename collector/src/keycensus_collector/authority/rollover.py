"""From one authority to the next, stranding nobody who was not told: the steps, in the database.

An agent says in its hello which anchors it trusts. The next authority is activated when every agent
that still counts holds its anchor, and the old one is retired when none uses a certificate of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection, delete, func, insert, select, update

from keycensus_collector.authority.keeper import Registered, fingerprint, registered
from keycensus_collector.errors import UsageError
from keycensus_collector.store.schema import (
    agent,
    agent_certificate,
    authority_certificate,
    host,
    session,
    token,
)

_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Straggler:
    """An agent that a step of the roll-over would strand."""

    agent_id: str
    host_name: str
    host_state: str
    last_seen_ms: int


def register(
    connection: Connection, chain: Sequence[x509.Certificate], state: str, now_ms: int
) -> None:
    """Write an authority's certificates down; those that are known already stay what they are."""
    known = {row.sha256 for row in registered(connection)}
    rows = [
        {
            "sha256": fingerprint(certificate),
            "der": certificate.public_bytes(Encoding.DER),
            "state": state,
            "is_anchor": certificate == chain[-1],
            "added_ms": now_ms,
        }
        for certificate in chain
        if fingerprint(certificate) not in known
    ]
    if not rows:
        raise UsageError("this authority is the current one, or was; give another one")
    connection.execute(insert(authority_certificate), rows)


def withdraw(connection: Connection) -> int:
    """Forget the next authority; how many certificates that were."""
    return connection.execute(
        delete(authority_certificate).where(authority_certificate.c.state == "next")
    ).rowcount


def activate(connection: Connection, chain: Sequence[x509.Certificate]) -> None:
    """Make `chain`, which is the next authority, the current one; what it replaces is past."""
    ours = [fingerprint(certificate) for certificate in chain]
    connection.execute(
        update(authority_certificate)
        .where(authority_certificate.c.state == "current")
        .values(state="past")
    )
    connection.execute(
        update(authority_certificate)
        .where(authority_certificate.c.sha256.in_(ours))
        .values(state="current")
    )


def adopt(connection: Connection, chain: Sequence[x509.Certificate], now_ms: int) -> None:
    """Write down that `chain`, whose key is here, signs, where the database is from before that."""
    if not {fingerprint(each) for each in chain} <= {row.sha256 for row in registered(connection)}:
        register(connection, chain, "next", now_ms)
    activate(connection, chain)


def retire(connection: Connection) -> int:
    """Forget past authorities; how many certificates that were."""
    return connection.execute(
        delete(authority_certificate).where(authority_certificate.c.state == "past")
    ).rowcount


def not_told(connection: Connection, rows: Sequence[Registered]) -> list[Straggler]:
    """Return the agents that do not hold, by their own word, the anchors to come."""
    needed = {row.sha256 for row in rows if row.state == "next" and row.is_anchor}
    if not needed:
        return []
    found = connection.execute(
        select(
            agent.c.agent_id,
            host.c.name,
            host.c.state,
            host.c.last_seen_ms,
            session.c.trust_anchors,
        )
        .join(host, host.c.host_no == agent.c.host_no)
        .join(session, session.c.agent_no == agent.c.agent_no, isouter=True)
        .where(agent.c.state.in_(("active", "cloned")), host.c.state != "retired")
        .order_by(host.c.name, agent.c.agent_no)
    )
    return [
        Straggler(row.agent_id, row.name, row.state, row.last_seen_ms)
        for row in found
        if not needed <= _anchors(row.trust_anchors)
    ]


def with_old_certificate(connection: Connection, rows: Sequence[Registered]) -> list[Straggler]:
    """Return the agents that have no certificate of the current authority yet."""
    current = [row.sha256 for row in rows if row.state == "current"]
    renewed = select(agent_certificate.c.agent_no).where(
        agent_certificate.c.state != "void", agent_certificate.c.issuer.in_(current)
    )
    found = connection.execute(
        select(agent.c.agent_id, host.c.name, host.c.state, host.c.last_seen_ms)
        .join(host, host.c.host_no == agent.c.host_no)
        .where(
            agent.c.state.in_(("active", "cloned")),
            host.c.state != "retired",
            agent.c.agent_no.not_in(renewed),
        )
        .order_by(host.c.name, agent.c.agent_no)
    )
    return [Straggler(row.agent_id, row.name, row.state, row.last_seen_ms) for row in found]


def open_tokens(connection: Connection, now_ms: int) -> int:
    """Return how many tokens could still be used: they name the anchor of the day they were made."""
    return connection.execute(
        select(func.count()).where(
            token.c.uses_left > 0, token.c.expires_ms > now_ms, token.c.revoked_ms.is_(None)
        )
    ).scalar_one()


def _anchors(stored: bytes | None) -> set[bytes]:
    data = stored or b""
    return {data[at : at + _HASH_BYTES] for at in range(0, len(data), _HASH_BYTES)}
