"""Who is at the other end of a mutual-TLS call: by its certificate, never by what it says.

This is the boundary between agents and everything that writes inventory. TLS has already checked
that the certificate chains to our anchor. That is not enough: under a company's root, others hold
such certificates too. So the very certificate must be one that this deployment issued (serial and
hash), for an agent that is active.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection, bindparam, select, update

from keycensus_collector.authority.standing import ACTIVE, CLONED, REKEYED, REPLACED, ended
from keycensus_collector.errors import Refusal
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import agent, agent_certificate

_ADDRESS_CHARACTERS = 64

# What the library raises on certificates and requests that it can't read, at any accessor.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class Peer:
    """One agent, as known by its client certificate. `serial` is lower-case hexadecimal.

    `standing` is "active", but for a hello, which may also come from who is shut out and is to be told
    why ("cloned", "rekeyed", "replaced"). `address` is where it calls from, for people. `is_renewed`: the
    certificate was issued by a renewal and has opened no stream yet.
    """

    agent_no: int
    agent_id: str
    host_no: int
    serial: str
    deployment: str
    standing: str = ACTIVE
    address: str = ""
    is_renewed: bool = False


@dataclass(frozen=True, slots=True)
class PeerNow:
    """How it stands with a peer inside of one transaction: what every step of it is judged by.

    `standing` is "active" if it may write, "unknown" if there is no such agent and certificate.
    """

    standing: str
    host_no: int = 0
    certificate_state: str = ""
    issued_ms: int = 0


@dataclass(frozen=True, slots=True)
class Presented:
    """What a client certificate says, before anything of it was looked up."""

    agent_id: str
    serial: str
    sha256: bytes
    deployment: str


# Built once: `check_peer` runs in the transaction of every batch.
_PEER_STATES = (
    select(
        agent.c.state,
        agent.c.host_no,
        agent_certificate.c.state.label("certificate_state"),
        agent_certificate.c.issued_ms,
    )
    .join(agent, agent.c.agent_no == agent_certificate.c.agent_no)
    .where(
        agent_certificate.c.serial == bindparam("serial_now"),
        agent.c.agent_no == bindparam("agent_now"),
    )
)


def agent_uri(deployment: str, agent_id: str) -> str:
    """Return the URI that names an agent in its certificate."""
    return f"keycensus://{deployment}/agent/{agent_id}"


def serial_text(number: int) -> str:
    """Return a serial number as it stands in the database: lower-case hexadecimal."""
    return f"{number:x}"


async def peer_of(
    context: grpc.aio.ServicerContext[Any, Any],
    store: Store,
    deployment: str,
    *,
    for_hello: bool = False,
) -> Peer:
    """Return the agent that makes this call; Refusal "unknown", "banned" or "cloned" if it may not.

    `for_hello`: also one that is shut out, whose hello says which machine it is.
    """
    presented = presented_by(context, deployment)
    peer = await store.run_read(
        lambda connection: find_peer(connection, presented, for_hello=for_hello)
    )
    return replace(peer, address=_address(context.peer()))


def _address(text: str) -> str:
    """Return the address of a gRPC peer, as in "ipv4:192.0.2.1:50000", without its port."""
    _, _, rest = text.partition(":")
    return unquote(rest.rpartition(":")[0])[:_ADDRESS_CHARACTERS]


def presented_by(context: grpc.aio.ServicerContext[Any, Any], deployment: str) -> Presented:
    """Read the client certificate of a call; Refusal "unknown" if it is none of this deployment."""
    return read_certificate(certificate_of(context), deployment)


def fingerprint(context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """Return what tells one client certificate from another, without reading any."""
    return hashlib.sha256(_pem(context)).digest()


def _pem(context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    return b"".join(context.auth_context().get("x509_pem_cert", ()))


def certificate_of(context: grpc.aio.ServicerContext[Any, Any]) -> x509.Certificate:
    """Return the client certificate of a call; Refusal "unknown" if there is none or it can't be read."""
    pem = _pem(context)
    if not pem:
        raise Refusal("unknown", "this port needs the client certificate of an enrolled agent")
    try:
        return x509.load_pem_x509_certificate(pem)
    except UNREADABLE:
        raise Refusal("unknown", "the client certificate can't be read") from None


def read_certificate(certificate: x509.Certificate, deployment: str) -> Presented:
    """Take an agent's identity out of its certificate; Refusal "unknown" if there is none."""
    prefix = agent_uri(deployment, "")
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        serial = serial_text(certificate.serial_number)
    except (*UNREADABLE, x509.ExtensionNotFound):
        uris, serial = [], ""
    if len(uris) != 1 or not uris[0].startswith(prefix):
        raise Refusal(
            "unknown",
            f"the certificate names no agent of the deployment {deployment}; enrol this host here",
        )
    der = certificate.public_bytes(Encoding.DER)
    return Presented(uris[0].removeprefix(prefix), serial, hashlib.sha256(der).digest(), deployment)


def find_peer(connection: Connection, presented: Presented, *, for_hello: bool = False) -> Peer:
    """Look a certificate up; Refusal "unknown", "banned" or "cloned" if its holder may not act.

    `for_hello`: see `peer_of`.
    """
    row = connection.execute(
        select(
            agent.c.agent_no,
            agent.c.host_no,
            agent.c.state,
            agent.c.agent_id,
            agent_certificate.c.sha256,
            agent_certificate.c.state.label("certificate_state"),
        )
        .join(agent, agent.c.agent_no == agent_certificate.c.agent_no)
        .where(agent_certificate.c.serial == presented.serial)
    ).one_or_none()
    if row is None or row.sha256 != presented.sha256 or row.agent_id != presented.agent_id:
        raise Refusal("unknown", "this collector did not issue this certificate; enrol the host")
    standing = _standing(row.state, row.certificate_state)
    if standing != ACTIVE and not (for_hello and standing in (CLONED, REKEYED, REPLACED)):
        raise ended(standing, row.agent_id)
    return Peer(
        row.agent_no,
        row.agent_id,
        row.host_no,
        presented.serial,
        presented.deployment,
        standing,
        is_renewed=row.certificate_state == "new",
    )


def _standing(state: str, certificate_state: str) -> str:
    return REPLACED if state == ACTIVE and certificate_state == "void" else str(state)


def peer_now(connection: Connection, peer: Peer) -> PeerNow:
    """Return, inside a transaction, how it stands with `peer`."""
    row = connection.execute(
        _PEER_STATES, {"serial_now": peer.serial, "agent_now": peer.agent_no}
    ).one_or_none()
    if row is None:
        return PeerNow("unknown")
    standing = _standing(row.state, row.certificate_state)
    return PeerNow(standing, row.host_no, row.certificate_state, row.issued_ms)


def check_peer(connection: Connection, peer: Peer) -> None:
    """Refuse, inside a transaction, what has ended since `peer` was found.

    Raises Refusal "banned", "cloned" or "unknown"; "superseded" if the agent reports on another host
    since then. Every transaction that writes for an agent calls this, or `check_now`.
    """
    check_now(peer_now(connection, peer), peer)


def check_now(now: PeerNow, peer: Peer) -> None:
    """Do as `check_peer` where `now` was read in this very transaction."""
    if now.standing == "unknown":
        raise Refusal("unknown", "this agent's certificate or identity has ended")
    if now.standing != ACTIVE:
        raise ended(now.standing, peer.agent_id)
    if now.host_no != peer.host_no:
        raise Refusal("superseded", "this agent's host has changed; begin anew")


def settle_certificate(connection: Connection, peer: Peer, now: PeerNow) -> None:
    """On a first stream with a renewed certificate: it is current now, its predecessors are void.

    One that was issued after it stays: its answer may still be on the way to the agent.
    """
    if now.certificate_state != "new":
        return
    connection.execute(
        update(agent_certificate)
        .where(
            agent_certificate.c.agent_no == peer.agent_no,
            agent_certificate.c.serial != peer.serial,
            agent_certificate.c.issued_ms <= now.issued_ms,
        )
        .values(state="void")
    )
    connection.execute(
        update(agent_certificate)
        .where(agent_certificate.c.serial == peer.serial)
        .values(state="current")
    )
