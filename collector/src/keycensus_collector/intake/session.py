"""The hello of a stream, in one transaction: who it is, where it stands, what it has missed.

    1 protocol and shape of the message
    2 the agent is active and its serial valid; a renewed certificate takes over from the old one
    3 session + 1, so that no older stream writes any more; a new instance begins at sequence 0
    4 nonces (protos/README.md, section 7)
    5 the host's facts, clock and state
    6 acks that the agent has not stored

Identity is the peer's. Everything in the message is a claim.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, exists, func, insert, select, update

from keycensus_collector.authority.peer import Peer, check_peer, settle_certificate
from keycensus_collector.errors import Refusal
from keycensus_collector.intake.hosts import facts_columns, touch
from keycensus_collector.intake.model import (
    INSTANCE_BYTES,
    PROTOCOL_VERSION,
    Hello,
    MalformedError,
    Opened,
)
from keycensus_collector.intake.rows import HostRow, host_row
from keycensus_collector.store.schema import (
    authority_certificate,
    deployment,
    gap,
    host,
    intake_batch,
    place,
    session,
    usage,
)

_NONCE_BYTES = 16
# Batches that can be without a stored ack are bounded by the credit; a restored agent may be far
# behind, and learns the rest from HelloAck.last_sequence.
_LOST_ACKS = 64
_BIGGEST_SKEW_MS = 2**62


@dataclass(frozen=True, slots=True)
class Welcome:
    """A stream that was let in, and what is worth a line in the log."""

    opened: Opened
    new_instance: bool
    suspicious_nonce: bool
    bad_facts: bool


@dataclass(frozen=True, slots=True)
class _Nonces:
    current: bytes | None
    pending: bytes
    suspicious: bool


def open_session(connection: Connection, peer: Peer, hello: Hello, now_ms: int) -> Welcome:
    """Let a stream in; Refusal if its agent, certificate or protocol may not."""
    _check_hello(hello)
    check_peer(connection, peer)
    settle_certificate(connection, peer)
    stored = _session(connection, peer)
    same = stored if stored is not None and stored["instance"] == hello.instance else None
    nonces = _next_nonces(same, hello.nonce)
    values = {
        "session": 1 if stored is None else stored["session"] + 1,
        "instance": hello.instance,
        "boot_id": hello.boot_id,
        "opened_ms": now_ms,
        "nonce": nonces.current,
        "pending_nonce": nonces.pending,
        **_progress(connection, peer, hello, same, nonces),
    }
    if stored is None:
        connection.execute(insert(session).values(agent_no=peer.agent_no, duplicates=0, **values))
    else:
        connection.execute(
            update(session).where(session.c.agent_no == peer.agent_no).values(**values)
        )
    facts = _facts(hello)
    _update_host(connection, peer, hello, facts, now_ms)
    return Welcome(
        _opened(connection, peer, hello, values),
        new_instance=same is None,
        suspicious_nonce=nonces.suspicious,
        bad_facts=bool(hello.host_facts) and facts is None,
    )


def _check_hello(hello: Hello) -> None:
    if hello.protocol_version != PROTOCOL_VERSION:
        raise Refusal(
            "upgrade",
            f"this collector speaks protocol {PROTOCOL_VERSION}, the agent "
            f"{hello.protocol_version}; install a version of the other that fits",
        )
    lengths = len(hello.boot_id), len(hello.nonce)
    if len(hello.instance) != INSTANCE_BYTES or max(lengths) > _NONCE_BYTES:
        raise Refusal("protocol", "the hello's instance, boot id or nonce has no fit length")


def _session(connection: Connection, peer: Peer) -> RowMapping | None:
    return (
        connection.execute(
            select(session).where(session.c.agent_no == peer.agent_no).with_for_update()
        )
        .mappings()
        .one_or_none()
    )


def _next_nonces(stored: RowMapping | None, presented: bytes) -> _Nonces:
    """Return what the session keeps after a hello that presents a nonce.

    With the current one, the pending one is said again: the answer may have been lost. With the
    pending one, that becomes current. Anything else is a state from before: a restored snapshot or
    a clone. `stored` is None for an instance not seen before, which has nothing to present.
    """
    if stored is None:
        return _Nonces(None, os.urandom(_NONCE_BYTES), suspicious=False)
    current, pending = stored["nonce"], stored["pending_nonce"]
    if presented == pending:
        return _Nonces(pending, os.urandom(_NONCE_BYTES), suspicious=False)
    return _Nonces(current, pending, suspicious=presented != (current or b""))


def _progress(
    connection: Connection, peer: Peer, hello: Hello, same: RowMapping | None, nonces: _Nonces
) -> dict[str, Any]:
    """Return how far the instance is: `same` is its session so far, None if it is new."""
    if same is None:
        return {
            # Not 0 for one that was here before and comes back, restored from an older copy.
            "last_sequence": connection.execute(
                select(func.coalesce(func.max(intake_batch.c.sequence), 0)).where(
                    intake_batch.c.agent_no == peer.agent_no,
                    intake_batch.c.instance == hello.instance,
                    intake_batch.c.sequence > 0,  # those below are removals of our own
                )
            ).scalar_one(),
            "complete": hello.complete,
            "list_wanted": _has_rows(connection, peer.host_no),
        }
    return {
        "last_sequence": same["last_sequence"],
        "complete": same["complete"] or hello.complete,
        "list_wanted": same["list_wanted"] or nonces.suspicious,
    }


def _has_rows(connection: Connection, host_no: int) -> bool:
    """Whether an earlier instance reported something of this host that still stands."""
    return any(
        connection.execute(select(exists().where(*condition))).scalar()
        for condition in (
            (place.c.host_no == host_no, place.c.gone_ms.is_(None)),
            (gap.c.host_no == host_no, gap.c.to_ms.is_(None)),
            (usage.c.host_no == host_no,),
        )
    )


def _facts(hello: Hello) -> HostRow | None:
    if not hello.host_facts:
        return None
    try:
        return host_row(hello.host_facts)
    except MalformedError:
        return None


def _update_host(
    connection: Connection, peer: Peer, hello: Hello, facts: HostRow | None, now_ms: int
) -> None:
    skew_ms = hello.agent_time_ms - now_ms
    columns: dict[str, Any] = {
        "clock_skew_ms": max(-_BIGGEST_SKEW_MS, min(skew_ms, _BIGGEST_SKEW_MS))
    }
    if hello.complete:
        columns["complete"] = True
    if facts is not None:
        columns |= facts_columns(connection, peer.host_no, facts)
    state = connection.execute(
        select(host.c.state).where(host.c.host_no == peer.host_no)
    ).scalar_one()
    touch(connection, peer.host_no, state, now_ms, columns)


def _opened(connection: Connection, peer: Peer, hello: Hello, values: dict[str, Any]) -> Opened:
    here = connection.execute(select(deployment.c.name, deployment.c.database_id)).one()
    anchors = connection.execute(
        select(authority_certificate.c.der, authority_certificate.c.state)
        .where(authority_certificate.c.is_anchor)
        .order_by(authority_certificate.c.added_ms)
    ).all()
    return Opened(
        session=values["session"],
        instance=hello.instance,
        last_sequence=values["last_sequence"],
        nonce=values["pending_nonce"],
        list_wanted=values["list_wanted"],
        lost_acks=_lost_acks(
            connection, peer, hello, min(hello.acknowledged_sequence, values["last_sequence"])
        ),
        deployment=here.name,
        database_id=here.database_id,
        trust_current=tuple(row.der for row in anchors if row.state == "current"),
        trust_next=tuple(row.der for row in anchors if row.state == "next"),
    )


def _lost_acks(
    connection: Connection, peer: Peer, hello: Hello, confirmed: int
) -> tuple[bytes, ...]:
    """Return the acks that the agent has not stored, and drop those below what it has.

    The newest confirmed one stays, so that its number (`batch_no`) is never given away again; and
    those that came more than once, as evidence.
    """
    mine = (intake_batch.c.agent_no == peer.agent_no) & (intake_batch.c.instance == hello.instance)
    connection.execute(
        delete(intake_batch).where(mine, intake_batch.c.sequence.between(1, confirmed - 1))
    )
    return tuple(
        connection.execute(
            select(intake_batch.c.ack)
            .where(mine, intake_batch.c.sequence > confirmed)
            .order_by(intake_batch.c.sequence)
            .limit(_LOST_ACKS)
        ).scalars()
    )
