"""Identities anew for the machines that share one: an operator's word, and how each copy takes it.

 1. The operator's word (`grant`) ends the shared identity for good and opens a door: for a time, for a
    number of copies, and for nobody who is banned.
 2. A copy that says hello is refused "rekey", and asks Enrol with a proof of the old key over all that
    it claims: which machine it is, which boot, which new key (protos/README.md, section 4.4).
 3. It becomes an agent of a new host; the one that the operator named stays the old host. The same new
    key asking again gets the same answer, so a lost reply costs no second identity.

All copies hold the same key, so which copy is which is their own claim, as is any host's name. That is
why a person says that it may happen, why only one can be the named one, and why everything is audited.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.authority.csr import RequestedKey
from keycensus_collector.authority.hosts import Claims, add_host, set_host_state
from keycensus_collector.authority.issuing import Issued, Issuing, add_agent
from keycensus_collector.authority.peer import Peer
from keycensus_collector.authority.standing import CLONED, REKEYED, ended, open_grant
from keycensus_collector.errors import ConflictError, Refusal, UsageError
from keycensus_collector.intake.model import MalformedError
from keycensus_collector.intake.rows import host_row
from keycensus_collector.store.schema import (
    agent,
    agent_contact,
    host,
    rekey_grant,
    rekey_use,
)

WITHIN_MS = 7 * 86_400_000
WITHIN_MOST_MS = 90 * 86_400_000
COPIES = 2000
COPIES_MOST = 100_000
# States of an agent whose copies an operator may let have identities of their own.
MAY_BE_REKEYED = ("active", CLONED, REKEYED)


@dataclass(frozen=True, slots=True)
class Copy:
    """Which machine asks, by its own word: see Hello."""

    boot_id: bytes
    instance: bytes
    claims: Claims


def rekey_message(  # the order of protos/README.md, section 4.4
    certificate: bytes, request: bytes, copy: tuple[bytes, bytes, bytes], at_unix_ms: int
) -> bytes:
    """Return the bytes that a copy signs; `copy` is boot id, instance and encoded host facts."""
    boot_id, instance, facts = copy
    fields = (
        hashlib.sha256(certificate).digest(),
        hashlib.sha256(request).digest(),
        boot_id,
        instance,
        hashlib.sha256(facts).digest(),
    )
    return (
        b"keycensus rekey v1\0"
        + b"".join(len(field).to_bytes(4, "big") + field for field in fields)
        + at_unix_ms.to_bytes(8, "big", signed=True)
    )


def grant(
    connection: Connection,
    row: Row[*tuple[Any, ...]],
    *,
    within_ms: int,
    copies: int,
    keep: Row[*tuple[Any, ...]] | None,
    actor: str,
    now_ms: int,
) -> None:
    """Let the copies of an agent (a row of `agent`) have identities of their own."""
    if not 60_000 <= within_ms <= WITHIN_MOST_MS:
        raise UsageError("copies may come for their identities within 1m to 90d")
    if not 1 <= copies <= COPIES_MOST:
        raise UsageError(f"1 to {COPIES_MOST} copies may get an identity")
    if row.state not in MAY_BE_REKEYED:
        raise ConflictError(f"agent {row.agent_id} is {row.state}; its copies get no identities")
    if keep is not None and _was_kept(connection, row.agent_no):
        raise ConflictError(
            f"a copy of agent {row.agent_id} has stayed its host already; it can't be another one"
        )
    connection.execute(
        update(rekey_grant)
        .where(rekey_grant.c.agent_no == row.agent_no, rekey_grant.c.expires_ms > now_ms)
        .values(expires_ms=now_ms)
    )
    connection.execute(
        insert(rekey_grant).values(
            agent_no=row.agent_no,
            created_ms=now_ms,
            created_by=actor,
            expires_ms=now_ms + within_ms,
            copies_left=copies,
            keep_contact_no=None if keep is None else keep.contact_no,
        )
    )
    connection.execute(update(agent).where(agent.c.agent_no == row.agent_no).values(state=REKEYED))
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="agent.rekey",
        subject=row.agent_id,
        detail={
            "before": row.state,
            "copies": copies,
            "within_ms": within_ms,
            "keep": "" if keep is None else keep.boot_id.hex(),
        },
    )


def _was_kept(connection: Connection, agent_no: int) -> bool:
    found = connection.execute(
        select(func.count()).where(
            rekey_grant.c.agent_no == agent_no, rekey_grant.c.kept_ms.is_not(None)
        )
    ).scalar_one()
    return bool(found)


def take_identity(
    connection: Connection,
    issuing: Issuing,
    peer: Peer,
    key: RequestedKey,
    copy: Copy,
    *,
    now_ms: int,
) -> Issued:
    """Give a copy, whose proof was checked, an identity of its own.

    `peer` is the agent that its certificate names. Refusal "banned", "unknown", or "cloned" where no
    operator has let copies in, or not any more.
    """
    state = connection.execute(
        select(agent.c.state).where(agent.c.agent_no == peer.agent_no)
    ).scalar_one()
    key_hash = hashlib.sha256(key.spki).digest()
    before = _answered_before(connection, peer.agent_no, key_hash)
    if before is not None:
        return before
    found = open_grant(connection, peer.agent_no, now_ms) if state == REKEYED else None
    if found is None:
        raise ended(state if state != "active" else CLONED, peer.agent_id)
    stays = _is_kept(connection, found, copy)
    host_no, host_id = _host_of(connection, peer, copy, now_ms, stays=stays)
    issued = add_agent(
        connection,
        issuing,
        key,
        host_no=host_no,
        host_id=host_id,
        enrolled_by=f"rekey:{peer.agent_id}",
        now_ms=now_ms,
    )
    connection.execute(
        insert(rekey_use).values(
            old_agent_no=peer.agent_no,
            public_key_hash=key_hash,
            grant_no=found.grant_no,
            agent_no=issued.agent_no,
            certificate=issued.certificate,
            used_ms=now_ms,
        )
    )
    _spend(connection, found, now_ms, stays=stays)
    audit.record(
        connection,
        at_ms=now_ms,
        actor=f"agent:{peer.agent_id}",
        action="agent.rekeyed",
        subject=issued.agent_id,
        detail={"host_id": host_id, "stays": stays, "boot_id": copy.boot_id.hex()},
    )
    return issued


def _answered_before(connection: Connection, old_agent_no: int, key_hash: bytes) -> Issued | None:
    row = connection.execute(
        select(rekey_use.c.certificate, agent, host.c.host_id)
        .join(agent, agent.c.agent_no == rekey_use.c.agent_no)
        .join(host, host.c.host_no == agent.c.host_no)
        .where(rekey_use.c.old_agent_no == old_agent_no, rekey_use.c.public_key_hash == key_hash)
    ).one_or_none()
    if row is None:
        return None
    if row.state != "active":
        raise ended(row.state, row.agent_id)
    return Issued(row.host_id, row.agent_id, row.certificate, row.agent_no, repeated=True)


def _is_kept(connection: Connection, found: Row[*tuple[Any, ...]], copy: Copy) -> bool:
    """Whether a copy is the one that the operator named, which then stays the host.

    By its boot; or, if it was booted since, by machine, name and state, where no other copy has the
    same.
    """
    if found.keep_contact_no is None or found.kept_ms is not None:
        return False
    named = connection.execute(
        select(agent_contact).where(agent_contact.c.contact_no == found.keep_contact_no)
    ).one_or_none()
    if named is None:
        return False
    try:
        facts = host_row(copy.claims.encoded).facts  # escaped as the stored ones are
    except MalformedError:
        return False
    if (named.machine_hash, named.name) != (facts.machine_hash, facts.name):
        return False
    if named.boot_id == copy.boot_id:
        return True
    booted_since = connection.execute(
        select(func.count()).where(
            agent_contact.c.agent_no == found.agent_no,
            agent_contact.c.boot_id == copy.boot_id,
            agent_contact.c.first_ms <= named.last_ms,
        )
    ).scalar_one()
    alike = connection.execute(
        select(func.count(agent_contact.c.boot_id.distinct())).where(
            agent_contact.c.agent_no == found.agent_no,
            agent_contact.c.machine_hash == named.machine_hash,
            agent_contact.c.name == named.name,
            agent_contact.c.boot_id != copy.boot_id,
        )
    ).scalar_one()
    return not booted_since and alike == 1


def _host_of(
    connection: Connection, peer: Peer, copy: Copy, now_ms: int, *, stays: bool
) -> tuple[int, str]:
    here = connection.execute(
        select(host.c.host_id, host.c.labels, host.c.banned_ms).where(
            host.c.host_no == peer.host_no
        )
    ).one()
    if here.banned_ms is not None:
        raise ended("banned", peer.agent_id)
    if stays:
        set_host_state(connection, peer.host_no, "active", "rekeyed", now_ms)
        return peer.host_no, here.host_id
    return add_host(connection, here.labels, copy.claims, now_ms)


def _spend(
    connection: Connection, found: Row[*tuple[Any, ...]], now_ms: int, *, stays: bool
) -> None:
    """Take one of the copies that may come, in one statement."""
    values: dict[str, Any] = {"copies_left": rekey_grant.c.copies_left - 1}
    if stays:
        values["kept_ms"] = now_ms
    spent = connection.execute(
        update(rekey_grant)
        .where(rekey_grant.c.grant_no == found.grant_no, rekey_grant.c.copies_left > 0)
        .values(**values)
    )
    if spent.rowcount != 1:
        raise Refusal("cloned", "as many copies as an operator has let in have come")


def contacts_of(connection: Connection, agent_no: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the machines that said hello under an identity, the newest first."""
    return connection.execute(
        select(agent_contact)
        .where(agent_contact.c.agent_no == agent_no)
        .order_by(agent_contact.c.last_ms.desc(), agent_contact.c.contact_no.desc())
    ).all()
