"""Take back agents whose enrolment or renewal a restored database does not know.

A database that was brought back from an older copy lacks what was issued since. Such a certificate is
still ours: our own key signed it, directly, and it was issued at a time of which the database knows
nothing, between the last certificate that it knows and a start of the collector. Nothing else is taken
back: what was issued while this database was written to stands in it or is not ours, and rows of
certificates are never deleted. What the lost time knew of bans is lost with it, as with any backup.
"""

from __future__ import annotations

import uuid

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from sqlalchemy import Connection, delete, func, select

from keycensus_collector.access import audit
from keycensus_collector.authority.authority import (
    AGENT_LIFETIME,
    BACKDATED,
    Authority,
    to_ms,
)
from keycensus_collector.authority.hosts import Claims, add_host
from keycensus_collector.authority.issuing import RECOVERY_DAYS, write_agent, write_certificate
from keycensus_collector.authority.peer import UNREADABLE, Presented
from keycensus_collector.authority.standing import ACTIVE
from keycensus_collector.intake.model import HostFacts
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import (
    agent,
    agent_certificate,
    authority_certificate,
    deployment,
    lost_time,
)

# Certificates have whole seconds, the database's times milliseconds.
_SECOND_MS = 1000
_DAY_MS = 86_400_000
_KEPT_MS = RECOVERY_DAYS * _DAY_MS + int(AGENT_LIFETIME.total_seconds()) * 1000
_NOTHING_SAID = Claims(b"", HostFacts("", b"", "", "", "", {}, ""))
_LABELS = '{"host": {}, "token": {}}'


def note_start(connection: Connection, now_ms: int) -> None:
    """Write down from when until now this database may lack what was issued."""
    newest = connection.execute(select(func.max(agent_certificate.c.issued_ms))).scalar()
    since = newest or connection.execute(select(deployment.c.created_ms)).scalar_one()
    if since < now_ms:
        statement = upsert(connection, lost_time).values(from_ms=since, to_ms=now_ms)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[lost_time.c.from_ms], set_={"to_ms": now_ms}
            )
        )
    connection.execute(delete(lost_time).where(lost_time.c.to_ms < now_ms - _KEPT_MS))


def readmit(
    connection: Connection,
    authority: Authority,
    certificate: x509.Certificate,
    presented: Presented,
    now_ms: int,
) -> bool:
    """Write down a certificate of ours that was issued in a lost time; False if it is not one.

    True as well if it stands there by now.
    """
    if not may_be_lost(connection, certificate):
        return False
    issued_ms = _issued_ms(certificate)
    issuer = _own_issuer(connection, authority, certificate)
    if issuer is None:
        return False
    known = select(agent_certificate.c.serial).where(agent_certificate.c.serial == presented.serial)
    if connection.execute(known).first() is not None:
        return True
    row = connection.execute(
        select(agent.c.agent_no, agent.c.state).where(agent.c.agent_id == presented.agent_id)
    ).one_or_none()
    if row is None:
        agent_no = _add_agent(connection, presented.agent_id, now_ms)
    elif row.state == ACTIVE and not _has_newer(connection, row.agent_no, issued_ms):
        agent_no = row.agent_no
    else:
        return False
    # The first stream of a new one makes it current, and its predecessors void.
    state = "current" if row is None else "new"
    write_certificate(
        connection, certificate, agent_no, issuer=issuer, state=state, issued_ms=issued_ms
    )
    audit.record(
        connection,
        at_ms=now_ms,
        actor=f"agent:{presented.agent_id}",
        action="agent.readmit",
        subject=presented.agent_id,
        detail={"serial": presented.serial, "new_host": row is None},
    )
    return True


def may_be_lost(connection: Connection, certificate: x509.Certificate) -> bool:
    """Whether a certificate says that it was issued at a time of which the database knows nothing."""
    issued_ms = _issued_ms(certificate)
    found = connection.execute(
        select(lost_time.c.from_ms).where(
            lost_time.c.from_ms - _SECOND_MS <= issued_ms,
            lost_time.c.to_ms >= issued_ms + _SECOND_MS,
        )
    )
    return found.first() is not None


def _issued_ms(certificate: x509.Certificate) -> int:
    return to_ms(certificate.not_valid_before_utc + BACKDATED)


def _own_issuer(
    connection: Connection, authority: Authority, certificate: x509.Certificate
) -> x509.Certificate | None:
    """Return which of our own keys has signed it, now or before a roll-over.

    That of an issuer above us is not enough: others hold certificates of a company's root.
    """
    used = select(agent_certificate.c.issuer).distinct()
    former = connection.execute(
        select(authority_certificate.c.der).where(authority_certificate.c.sha256.in_(used))
    ).scalars()
    issuers = [authority.chain[0], *map(x509.load_der_x509_certificate, former)]
    return next((issuer for issuer in issuers if _has_signed(issuer, certificate)), None)


def _has_signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def _has_newer(connection: Connection, agent_no: int, issued_ms: int) -> bool:
    newest = connection.execute(
        select(func.max(agent_certificate.c.issued_ms)).where(
            agent_certificate.c.agent_no == agent_no
        )
    ).scalar()
    return newest is not None and newest > issued_ms + _SECOND_MS


def _add_agent(connection: Connection, agent_id: str, now_ms: int) -> int:
    """Make the agent again, on a host of its own; what the host is says its hello."""
    host_no, _ = add_host(connection, _LABELS, _NOTHING_SAID, now_ms)
    return write_agent(
        connection,
        str(uuid.UUID(agent_id)),
        host_no=host_no,
        enrolled_by="readmission",
        now_ms=now_ms,
        reason="taken back: its enrolment was lost with a restored database",
    )
