"""Joining, renewing, recovering and leaving, as steps inside one write transaction.

Order in `enrol`, repeated as numbers below:
 1. the token is known, is for enrolment, is neither revoked nor expired;
 2. the same key with the same token gets the answer it got before, and spends nothing;
 3. one use is spent by one statement;
 4. host, agent and certificate are written, in the same transaction.
A host that was here before gets a new host row all the same: a machine hash or a name is a claim,
and must not give anyone another host's history.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection, func, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.authority import tokens
from keycensus_collector.authority.authority import (
    AgentPublicKey,
    Authority,
    from_ms,
    issue_agent_certificate,
    spki,
    to_ms,
)
from keycensus_collector.authority.csr import RequestedKey
from keycensus_collector.authority.hosts import (
    Claims,
    add_host,
    claimed_labels,
    inserted_number,
    set_host_state,
    take_over_host,
)
from keycensus_collector.authority.peer import Peer, find_peer, read_certificate, serial_text
from keycensus_collector.authority.standing import ACTIVE, ended, turned_away
from keycensus_collector.errors import Refusal
from keycensus_collector.store.schema import agent, agent_certificate, host, token_use
from keycensus_collector.text import safe_text

RECOVERY_DAYS = 180
_TEXT_CHARACTERS = 200
# An agent renews at half of its certificate's life; one that asks again at once is broken or hostile,
# and each certificate is a signature and a transaction.
_RENEWAL_PAUSE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Issued:
    """An identity: UUIDs as text, the certificate as DER. `repeated`: it was answered before."""

    host_id: str
    agent_id: str
    certificate: bytes
    agent_no: int = 0
    repeated: bool = False


class Issuing:
    """The steps, for one deployment and its authority."""

    def __init__(self, authority: Authority, deployment: str) -> None:
        self.authority = authority
        self.deployment = deployment

    def enrol(
        self,
        connection: Connection,
        proof: tokens.Proof,
        key: RequestedKey,
        claims: Claims,
        now_ms: int,
    ) -> Issued:
        """Let a host in; Refusal "token-…" or "banned"."""
        known = tokens.find(connection, proof)
        tokens.check(known, now_ms)  # 1
        if known.purpose != tokens.ENROL_PURPOSE:
            raise Refusal("token-unknown", "this token is not for enrolling hosts")
        key_hash = hashlib.sha256(key.spki).digest()
        before = _answered_before(connection, known.token_id, key_hash)
        if before is not None:  # 2
            return before
        tokens.spend(connection, known, now_ms)  # 3
        host_no, host_id = self._host_for(connection, known, claims, now_ms)  # 4
        issued = add_agent(
            connection,
            self,
            key,
            host_no=host_no,
            host_id=host_id,
            enrolled_by=known.token_id,
            now_ms=now_ms,
        )
        connection.execute(
            insert(token_use).values(
                token_id=known.token_id,
                public_key_hash=key_hash,
                agent_no=issued.agent_no,
                certificate=issued.certificate,
                used_ms=now_ms,
            )
        )
        audit.record(
            connection,
            at_ms=now_ms,
            actor=f"token:{known.token_id}",
            action="agent.enrol",
            subject=issued.agent_id,
            detail={
                "host_id": host_id,
                "claimed_name": safe_text(claims.facts.name),
                "succeeds": known.host_no is not None,
            },
        )
        return issued

    @staticmethod
    def _host_for(
        connection: Connection, known: tokens.KnownToken, claims: Claims, now_ms: int
    ) -> tuple[int, str]:
        """Return the host that a token lets in: the one that it is bound to, else a new one."""
        if known.host_no is None:
            labels = {"token": known.labels, "host": claimed_labels(claims.facts.labels)}
            return add_host(connection, json.dumps(labels, sort_keys=True), claims, now_ms)
        return known.host_no, take_over_host(connection, known.host_no, now_ms)

    def renew(self, connection: Connection, peer: Peer, key: RequestedKey, now_ms: int) -> Issued:
        """Give an agent a further certificate; the one it has stays good until this is used.

        Raises Refusal "busy" if it was given one a moment ago that it has not used yet.
        """
        check_renewal(connection, peer, now_ms)
        host_id = connection.execute(
            select(host.c.host_id).where(host.c.host_no == peer.host_no)
        ).scalar_one()
        certificate = self.issue(
            connection, peer.agent_no, peer.agent_id, key.public_key, state="new", now_ms=now_ms
        )
        return Issued(host_id, peer.agent_id, certificate, peer.agent_no)

    def recover(
        self, connection: Connection, expired: x509.Certificate, key: RequestedKey, now_ms: int
    ) -> Issued:
        """Give an agent a certificate for one that has expired, whose key it has proved to hold.

        Raises Refusal "banned", "unknown", "busy" as `renew`, or "too-late" beyond 180 days after
        its end.
        """
        presented = read_certificate(expired, self.deployment)
        peer = find_peer(connection, presented, for_hello=True)
        if peer.standing != ACTIVE:
            raise turned_away(connection, peer.standing, peer.agent_no, peer.agent_id, now_ms)
        check_not_too_late(expired, now_ms)
        audit.record(
            connection,
            at_ms=now_ms,
            actor=f"agent:{peer.agent_id}",
            action="agent.recover",
            subject=peer.agent_id,
        )
        return self.renew(connection, peer, key, now_ms)

    def issue(
        self,
        connection: Connection,
        agent_no: int,
        agent_id: str,
        public_key: AgentPublicKey,
        *,
        state: str,
        now_ms: int,
    ) -> bytes:
        """Issue a certificate, write it down, and return it as DER."""
        certificate = issue_agent_certificate(
            self.authority,
            public_key,
            deployment=self.deployment,
            agent_id=agent_id,
            now=from_ms(now_ms),
        )
        issuer = self.authority.chain[0]
        write_certificate(
            connection, certificate, agent_no, issuer=issuer, state=state, issued_ms=now_ms
        )
        return certificate.public_bytes(Encoding.DER)


def write_certificate(
    connection: Connection,
    certificate: x509.Certificate,
    agent_no: int,
    *,
    issuer: x509.Certificate,
    state: str,
    issued_ms: int,
) -> None:
    """Write an agent's certificate down as "current" or "new"."""
    connection.execute(
        insert(agent_certificate).values(
            serial=serial_text(certificate.serial_number),
            agent_no=agent_no,
            sha256=certificate.fingerprint(SHA256()),
            public_key_hash=hashlib.sha256(spki(certificate)).digest(),
            state=state,
            not_after_ms=to_ms(certificate.not_valid_after_utc),
            issued_ms=issued_ms,
            issuer=issuer.fingerprint(SHA256()),
        )
    )


def add_agent(
    connection: Connection,
    issuing: Issuing,
    key: RequestedKey,
    *,
    host_no: int,
    host_id: str,
    enrolled_by: str,
    now_ms: int,
) -> Issued:
    """Make a new identity of a host, with its first certificate."""
    agent_id = str(uuid.uuid4())
    agent_no = write_agent(
        connection, agent_id, host_no=host_no, enrolled_by=enrolled_by, now_ms=now_ms
    )
    certificate = issuing.issue(
        connection, agent_no, agent_id, key.public_key, state="current", now_ms=now_ms
    )
    return Issued(host_id, agent_id, certificate, agent_no)


def write_agent(
    connection: Connection,
    agent_id: str,
    *,
    host_no: int,
    enrolled_by: str,
    now_ms: int,
    reason: str = "",
) -> int:
    """Write an active agent down and return its number."""
    return inserted_number(
        connection.execute(
            insert(agent).values(
                agent_id=agent_id,
                host_no=host_no,
                state=ACTIVE,
                state_reason=reason,
                enrolled_ms=now_ms,
                enrolled_by=enrolled_by,
            )
        ).inserted_primary_key
    )


def check_not_too_late(expired: x509.Certificate, now_ms: int) -> None:
    """Refuse ("too-late") a certificate that ended more than 180 days ago."""
    if now_ms - to_ms(expired.not_valid_after_utc) > RECOVERY_DAYS * 86_400_000:
        raise Refusal(
            "too-late",
            f"this certificate expired more than {RECOVERY_DAYS} days ago; enrol the host again",
        )


def check_renewal(connection: Connection, peer: Peer, now_ms: int) -> None:
    """Refuse ("busy") an agent whose newest unused certificate was issued within the last minute."""
    issued_ms = connection.execute(
        select(func.max(agent_certificate.c.issued_ms)).where(
            agent_certificate.c.agent_no == peer.agent_no, agent_certificate.c.state == "new"
        )
    ).scalar_one()
    # Either way, since the clock may have been set back.
    if issued_ms is not None and abs(now_ms - issued_ms) < _RENEWAL_PAUSE_SECONDS * 1000:
        raise Refusal(
            "busy",
            "this agent was renewed a moment ago",
            retry_after_seconds=_RENEWAL_PAUSE_SECONDS,
        )


def leave(connection: Connection, peer: Peer, reason: str, now_ms: int) -> None:
    """End an agent at its own wish; its host retires unless another agent of it is active."""
    connection.execute(
        update(agent)
        .where(agent.c.agent_no == peer.agent_no)
        .values(state="left", state_reason=safe_text(reason[:_TEXT_CHARACTERS]))
    )
    others = connection.execute(
        select(agent.c.agent_no)
        .where(agent.c.host_no == peer.host_no, agent.c.state == "active")
        .limit(1)
    ).one_or_none()
    if others is None:
        set_host_state(connection, peer.host_no, "retired", "left", now_ms)
    audit.record(
        connection,
        at_ms=now_ms,
        actor=f"agent:{peer.agent_id}",
        action="agent.leave",
        subject=peer.agent_id,
        detail={"reason": safe_text(reason[:_TEXT_CHARACTERS])},
    )


def _answered_before(connection: Connection, token_id: str, key_hash: bytes) -> Issued | None:
    row = connection.execute(
        select(token_use.c.certificate, agent.c.agent_id, agent.c.state, host.c.host_id)
        .join(agent, agent.c.agent_no == token_use.c.agent_no)
        .join(host, host.c.host_no == agent.c.host_no)
        .where(token_use.c.token_id == token_id, token_use.c.public_key_hash == key_hash)
    ).one_or_none()
    if row is None:
        return None
    if row.state in ("banned", "cloned", "rekeyed"):
        raise ended(row.state, row.agent_id)
    if row.state != "active":
        raise Refusal(
            "token-used", "this key joined with this token and has left since; use a new token"
        )
    return Issued(row.host_id, row.agent_id, row.certificate, repeated=True)
