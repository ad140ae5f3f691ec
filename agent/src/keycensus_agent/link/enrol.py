"""Enrol this host: a token becomes an identity (protos/README.md, sections 4.1 and 4.2).

Runs in the command `enrol`, with network and the identity directory; it reads nothing else.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from keycensus_agent.address import ENROLMENT_PORT, REPORT_PORT, Address, parse_address
from keycensus_agent.config import Config
from keycensus_agent.errors import IdentityError, LinkError, UsageError
from keycensus_agent.host_facts import MachinePrints
from keycensus_agent.link.certificate import (
    agent_uri,
    chain_to_pem,
    check_issued,
    find_pinned,
    signing_request,
    spki_pin,
)
from keycensus_agent.link.channel import CALL_TIMEOUT_SECONDS, Endpoint, answered, connected
from keycensus_agent.link.handshake import presented_chain
from keycensus_agent.link.identity import Identity, IdentityStore, checked_trust
from keycensus_agent.link.proxy import choose_proxy
from keycensus_agent.link.token import Token
from keycensus_agent.text import safe_text
from keycensus_proto.v1 import enrolment_pb2, enrolment_pb2_grpc

PROTOCOL_VERSIONS = (1,)

_DEPLOYMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What `enrol` did. `changed` is false if the host was enrolled there already.

    `put_aside` is where another machine's identity went, if one was here. `clock_skew_seconds` is
    this host's clock minus the collector's, 0 if nothing was asked.
    """

    identity: Identity
    changed: bool
    put_aside: Path | None = None
    clock_skew_seconds: int = 0


async def enrol(
    config: Config,
    collector_address: str,
    token: Token,
    host_facts: bytes,
    *,
    machine: MachinePrints,
    now: dt.datetime,
) -> Enrolment:
    """Enrol as the configuration says; see `enrol_into`."""
    return await enrol_into(
        IdentityStore(config.identity_directory),
        collector_address,
        token,
        host_facts,
        proxy=config.collector.proxy,
        machine=machine,
        now=now,
    )


async def enrol_into(
    store: IdentityStore,
    collector_address: str,
    token: Token,
    host_facts: bytes,
    *,
    proxy: str,
    machine: MachinePrints,
    now: dt.datetime,
) -> Enrolment:
    """Enrol at `collector_address` ("host[:port]") and store the identity.

    `host_facts` is the encoded HostFacts row. Asking again is harmless: at the same deployment
    nothing changes; after a lost reply the same key is used, and the collector answers the same.

    1. See what identity is here. 2. Take the trust anchor from the chain that the server presents,
    by the token's pin; until then nothing is sent. 3. Make the key, and keep it, before asking.
    4. Ask, trusting that anchor only. 5. Check the answer. 6. Store all of it, or nothing.

    UsageError for an address that is none; IdentityError for an identity in the way; LinkError and
    RefusedError from the network and the collector; StorageError from the identity directory.
    """
    address = _address(collector_address)

    # 1.
    put_aside = None
    present = store.load_any()
    if present is not None:
        if present.machine.differ_from(machine):
            put_aside = store.put_aside(now)
        elif _stays(present, token, now):
            return Enrolment(present, changed=False)

    # 2.
    anchor = await _pinned_anchor(address, proxy, token.pin)

    store.directory.create()
    with store.directory.changing():
        # 3.
        key = store.pending_key()
        # 4.
        request = enrolment_pb2.EnrolRequest(
            token=token.credential,
            csr=signing_request(key),
            host_facts=host_facts,
            protocol_versions=PROTOCOL_VERSIONS,
        )
        endpoint = Endpoint(address, chain_to_pem((anchor,)), proxy)
        async with connected(endpoint) as channel:
            call = enrolment_pb2_grpc.EnrolmentStub(channel).Enrol(
                request, timeout=CALL_TIMEOUT_SECONDS
            )
            response = await answered(call, address)
        # 5.
        identity = checked_answer(response, key, address, machine, now)
        if token.pin not in {spki_pin(der) for der in identity.trust.anchors}:
            raise _unfit("its trust bundle lacks the anchor that the token names")
        # 6.
        store.save(identity)
    skew = round(now.timestamp() - response.collector_time_unix_ms / 1000)
    return Enrolment(identity, changed=True, put_aside=put_aside, clock_skew_seconds=skew)


def _address(text: str) -> Address:
    try:
        return parse_address(text, ENROLMENT_PORT)
    except ValueError as error:
        raise UsageError(f"--collector {safe_text(text)}: {error}") from error


def _stays(present: Identity, token: Token, now: dt.datetime) -> bool:
    """Whether the identity that is here already is the one asked for, and of use."""
    if token.pin in {spki_pin(der) for der in present.trust.anchors}:
        return now < present.not_after
    raise IdentityError(
        f'this host is enrolled at the deployment "{safe_text(present.deployment)}" '
        f"({safe_text(present.report_address)}), and the token is another one's; nothing was "
        "changed: `keycensus-agent leave` first, then enrol"
    )


async def _pinned_anchor(address: Address, proxy_setting: str, pin: bytes) -> bytes:
    proxy = choose_proxy(address, proxy_setting, os.environ)
    chain = await asyncio.to_thread(presented_chain, address, proxy)
    anchor = find_pinned(chain, pin)
    if anchor is None:
        raise LinkError(
            f"{address} is not the collector that issued the token, or its authority was "
            f"replaced since: none of the {len(chain)} certificates that it presents has the "
            "token's pin. Nothing was sent: check the address, and that nothing between opens "
            "TLS; or make another token with `keycensus-collector token create`",
            reason="tls",
        )
    return anchor


def checked_answer(
    response: enrolment_pb2.EnrolResponse,
    key: ec.EllipticCurvePrivateKey,
    address: Address,
    machine: MachinePrints,
    now: dt.datetime,
) -> Identity:
    """Return the identity that a collector's answer gives; LinkError if it is not fit."""
    try:
        if not _DEPLOYMENT.match(response.deployment):
            raise _unfit("it names no deployment")
        host_id, agent_id = (str(uuid.UUID(each)) for each in (response.host_id, response.agent_id))
        trust = checked_trust(tuple(response.trust.current), tuple(response.trust.next))
        report = parse_address(response.report_address, REPORT_PORT, default_host=address.host)
    except ValueError as error:
        raise _unfit(safe_text(str(error))) from error
    chain = tuple(response.certificate_chain)
    check_issued(chain, trust.anchors, key, agent_uri(response.deployment, agent_id))
    return Identity(
        deployment=response.deployment,
        host_id=host_id,
        agent_id=agent_id,
        report_address=str(report),
        enrolment_address=str(address),
        machine=machine,
        enrolled_at=now,
        chain=chain,
        trust=trust,
        key=key,
    )


def _unfit(detail: str) -> LinkError:
    return LinkError(
        f"the collector's answer can't be used ({detail}); nothing was stored: look at it with "
        "`keycensus-collector doctor`",
        reason="protocol",
    )
