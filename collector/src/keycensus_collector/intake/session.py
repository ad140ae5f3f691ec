"""The hello of a stream, in one transaction: who it is, where it stands, what it has missed.

    1 protocol and shape of the message
    2 the agent is active and its serial valid, else it is noted which machine came, and it is refused
    3 nonces and boots: is this the agent's present state, an older one, or one of several machines'
      (protos/README.md, section 7)?
    4 a renewed certificate takes over from the old one
    5 session + 1, so that no older stream writes any more; a new instance begins at sequence 0
    6 the host's facts, clock and state
    7 acks that the agent has not stored

Identity is the peer's. Everything in the message is a claim.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
)

from keycensus_collector.authority.peer import (
    Peer,
    check_now,
    peer_now,
    settle_certificate,
)
from keycensus_collector.authority.standing import (
    ACTIVE,
    CLONED,
    REKEYED,
    REPLACED,
    ended,
    mark_cloned,
    turned_away,
)
from keycensus_collector.errors import Refusal
from keycensus_collector.intake import nonces
from keycensus_collector.intake.bulk import Setting
from keycensus_collector.intake.contacts import note_contact
from keycensus_collector.intake.hosts import facts_columns, stored_host, touch
from keycensus_collector.intake.model import (
    HASH_BYTES,
    INSTANCE_BYTES,
    PROTOCOL_VERSION,
    Hello,
    HostFacts,
    MalformedError,
    Opened,
)
from keycensus_collector.intake.nonces import Verdict
from keycensus_collector.intake.rows import HostRow, host_row
from keycensus_collector.store.schema import (
    authority_certificate,
    deployment,
    gap,
    intake_batch,
    place,
    session,
    usage,
)

_LATE = "late"
# A hello that was held up for longer has lost its connection.
_LATE_MS = 600_000
_ANCHORS_MOST = 16
_GRAVITY = (Verdict.FINE, Verdict.FRESH, Verdict.RESTORED, Verdict.CLONED)
# Batches that can be without a stored ack are bounded by the credit; a restored agent may be far
# behind, and learns the rest from HelloAck.last_sequence.
_LOST_ACKS = 64
_BIGGEST_SKEW_MS = 2**62


# Built once: a fleet that comes back says hello by the dozen a second.
_SESSION = select(session).where(session.c.agent_no == bindparam("agent")).with_for_update()
_OPEN_AGAIN = Setting(
    session.c.agent_no,
    (
        *("session", "instance", "boot_id", "opened_ms", "agent_time_ms", "trust_anchors", "nonce"),
        *("pending_nonce", "past_nonces", "nonces_aside", "boots"),
        *("last_sequence", "complete", "list_wanted"),
    ),
)
_DEPLOYMENT = select(deployment.c.name, deployment.c.database_id)
_ANCHORS = (
    select(authority_certificate.c.der, authority_certificate.c.state)
    .where(authority_certificate.c.is_anchor)
    .order_by(authority_certificate.c.added_ms)
)
_MINE = (intake_batch.c.agent_no == bindparam("agent")) & (
    intake_batch.c.instance == bindparam("of_instance")
)
_DROP_CONFIRMED = delete(intake_batch).where(
    _MINE, intake_batch.c.sequence >= 1, intake_batch.c.sequence < bindparam("confirmed")
)
_NOT_CONFIRMED = (
    select(intake_batch.c.ack)
    .where(_MINE, intake_batch.c.sequence > bindparam("confirmed"))
    .order_by(intake_batch.c.sequence)
    .limit(_LOST_ACKS)
)


@dataclass(frozen=True, slots=True)
class Welcome:
    """A stream that was let in, and what is worth a line in the log."""

    opened: Opened
    new_instance: bool
    restored: bool
    bad_facts: bool


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A hello that was noted, and is to be refused once that is committed."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a hello's nonce and boot say, and what the session keeps of them."""

    line: nonces.Line
    boots: tuple[nonces.Boot, ...]
    restored: bool
    cloned: str  # why, or empty
    word: str


def open_session(
    connection: Connection, peer: Peer, hello: Hello, now_ms: int
) -> Welcome | TurnedAway:
    """Let a stream in; Refusal if its agent, certificate or protocol may not."""
    _check_hello(hello)  # 1
    row = _facts(hello)
    facts = None if row is None else row.facts
    now = peer_now(connection, peer)  # 2
    if now.standing != ACTIVE:
        return _turn_away(connection, peer, hello, facts, now.standing, now_ms=now_ms)
    check_now(now, peer)
    stored = _session(connection, peer)
    judged = _judge(stored, hello)  # 3
    if judged.word == _LATE:
        raise Refusal("superseded", "this hello was overtaken by a newer one of the same agent")
    cloned = bool(judged.cloned)
    note_contact(connection, peer, hello, facts, verdict=judged.word, now_ms=now_ms, copies=cloned)
    if cloned:
        mark_cloned(connection, peer.agent_no, peer.agent_id, judged.cloned, now_ms)
        return TurnedAway(ended(CLONED, peer.agent_id))
    settle_certificate(connection, peer, now)  # 4
    same = stored if stored is not None and stored["instance"] == hello.instance else None
    values = {  # 5
        "session": 1 if stored is None else stored["session"] + 1,
        **_remembered(hello, judged, now_ms),
        **_progress(connection, peer, hello, same, restored=judged.restored),
    }
    if stored is None:
        connection.execute(insert(session).values(agent_no=peer.agent_no, duplicates=0, **values))
    else:
        _OPEN_AGAIN.run(connection, peer.agent_no, values)
    _update_host(connection, peer, hello, row, now_ms)  # 6
    return Welcome(
        _opened(connection, peer, hello, values),  # 7
        new_instance=same is None,
        restored=judged.restored,
        bad_facts=bool(hello.host_facts) and row is None,
    )


def _turn_away(
    connection: Connection,
    peer: Peer,
    hello: Hello,
    facts: HostFacts | None,
    standing: str,
    *,
    now_ms: int,
) -> TurnedAway:
    """Note which machine came under an identity that may not write, where that is of use to people."""
    refusal = turned_away(connection, standing, peer.agent_no, peer.agent_id, now_ms)
    if standing not in (CLONED, REKEYED, REPLACED):
        raise refusal
    note_contact(connection, peer, hello, facts, verdict=standing, now_ms=now_ms, copies=True)
    return TurnedAway(refusal)


def _check_hello(hello: Hello) -> None:
    if hello.protocol_version != PROTOCOL_VERSION:
        raise Refusal(
            "upgrade",
            f"this collector speaks protocol {PROTOCOL_VERSION}, the agent "
            f"{hello.protocol_version}; install a version of the other that fits",
        )
    lengths = len(hello.boot_id), len(hello.nonce)
    if len(hello.instance) != INSTANCE_BYTES or max(lengths) > nonces.NONCE_BYTES:
        raise Refusal("protocol", "the hello's instance, boot id or nonce has no fit length")


def _session(connection: Connection, peer: Peer) -> RowMapping | None:
    return connection.execute(_SESSION, {"agent": peer.agent_no}).mappings().one_or_none()


def _judge(stored: RowMapping | None, hello: Hello) -> _Judged:
    """Say whether a hello is of the agent's present state (`nonces` has the rules)."""
    before = None if stored is None or not stored["pending_nonce"] else _line(stored)
    line, by_nonce = nonces.present(
        before, hello.nonce, hello.instance, os.urandom(nonces.NONCE_BYTES)
    )
    known = () if stored is None else nonces.decode_boots(stored["boots"])
    boots, by_boot = nonces.boot(known, hello.boot_id)
    cloned = ""
    if Verdict.CLONED in (by_nonce, by_boot):
        cloned = (
            "a newer state came back after an older one"
            if by_nonce is Verdict.CLONED
            else "two boots take turns"
        )
    worst = max((by_nonce, by_boot), key=_GRAVITY.index)
    word = worst.value
    if stored is not None and by_nonce is not Verdict.FINE and _is_late(stored, hello):
        word = _LATE
    return _Judged(line, boots, worst is Verdict.RESTORED, cloned, word)


def _is_late(stored: RowMapping, hello: Hello) -> bool:
    """Whether a hello was sent before the newest that came, in the same boot, and came after it.

    Else a message that was held up on its way would look like a restored snapshot, and the next one
    like a clone. One that really is from before is let in as soon as its clock has passed.
    """
    behind_ms = stored["agent_time_ms"] - hello.agent_time_ms
    return bool(hello.boot_id == stored["boot_id"] and 0 < behind_ms < _LATE_MS)


def _line(stored: RowMapping) -> nonces.Line:
    current = stored["nonce"] or stored["instance"]  # null: of the first revision, before any hello
    return nonces.decode_line(
        current, stored["pending_nonce"], stored["past_nonces"], stored["nonces_aside"]
    )


def _remembered(hello: Hello, judged: _Judged, now_ms: int) -> dict[str, Any]:
    return {
        "instance": hello.instance,
        "boot_id": hello.boot_id,
        "opened_ms": now_ms,
        "agent_time_ms": hello.agent_time_ms,
        "trust_anchors": _trust(hello),
        "nonce": judged.line.current,
        "pending_nonce": judged.line.pending,
        "past_nonces": b"".join(judged.line.past),
        "nonces_aside": judged.line.encoded_aside(),
        "boots": nonces.encode_boots(judged.boots),
    }


def _trust(hello: Hello) -> bytes | None:
    """Return which trust anchors the agent says it holds; None if it does not say."""
    fit = {each for each in hello.trust_anchors[:_ANCHORS_MOST] if len(each) == HASH_BYTES}
    return b"".join(sorted(fit)) or None


def _progress(
    connection: Connection,
    peer: Peer,
    hello: Hello,
    same: RowMapping | None,
    *,
    restored: bool,
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
        "list_wanted": same["list_wanted"] or restored,
    }


def _has_rows(connection: Connection, host_no: int) -> bool:
    """Whether an earlier instance reported something of this host that still stands."""
    return any(
        connection.execute(select(exists().where(*condition))).scalar()
        for condition in (
            (place.c.host_no == host_no, place.c.gone_ms.is_(None)),
            (gap.c.host_no == host_no, gap.c.to_ms.is_(None)),
            (usage.c.host_no == host_no, usage.c.to_ms.is_(None)),
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
    stored = stored_host(connection, peer.host_no)
    if facts is not None:
        columns |= facts_columns(stored, facts)
    touch(connection, peer.host_no, stored.state, now_ms, columns)


def _opened(connection: Connection, peer: Peer, hello: Hello, values: dict[str, Any]) -> Opened:
    here = connection.execute(_DEPLOYMENT).one()
    anchors = connection.execute(_ANCHORS).all()
    return Opened(
        session=values["session"],
        instance=hello.instance,
        last_sequence=values["last_sequence"],
        nonce=values["pending_nonce"],
        list_wanted=values["list_wanted"],
        lost_acks=_lost_acks(connection, peer, hello, values["last_sequence"]),
        deployment=here.name,
        database_id=here.database_id,
        trust_current=tuple(row.der for row in anchors if row.state == "current"),
        trust_next=tuple(row.der for row in anchors if row.state == "next"),
    )


def _lost_acks(
    connection: Connection, peer: Peer, hello: Hello, last_sequence: int
) -> tuple[bytes, ...]:
    """Return the acks that the agent has not stored, and drop those below what it has.

    The newest confirmed one stays, so that its number (`batch_no`) is never given away again; and
    those that came more than once, as evidence.
    """
    confirmed = min(hello.acknowledged_sequence, last_sequence)
    mine = {"agent": peer.agent_no, "of_instance": hello.instance, "confirmed": confirmed}
    if confirmed > 1:
        connection.execute(_DROP_CONFIRMED, mine)
    if confirmed == last_sequence:
        return ()
    return tuple(connection.execute(_NOT_CONFIRMED, mine).scalars())
