"""The calls beside the report stream: renew, recover, leave (protos/README.md, section 4).

Runs in the link and in the command `leave`. One channel per call, closed with it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec

from keycensus_agent.address import REPORT_PORT, Address, parse_address
from keycensus_agent.errors import IdentityError, LinkError, RefusedError
from keycensus_agent.link.certificate import (
    agent_uri,
    chain_to_pem,
    check_issued,
    key_to_pem,
    new_key,
    sign_recovery,
    signing_request,
)
from keycensus_agent.link.channel import CALL_TIMEOUT_SECONDS, Endpoint, answered, connected
from keycensus_agent.link.handshake import ClientFiles
from keycensus_agent.link.identity import (
    CERTIFICATE_FILE,
    KEY_FILE,
    Identity,
    IdentityStore,
    checked_trust,
)
from keycensus_proto.v1 import enrolment_pb2, enrolment_pb2_grpc, report_pb2_grpc

# Refusals to recover that say more than that a certificate has expired.
_TOLD_AS_THEY_ARE = frozenset({"banned", "cloned", "rekey"})


@dataclass(frozen=True, slots=True)
class Route:
    """How the collector is reached.

    `address` is "host:port" in place of the identity's, empty for the identity's own; `proxy` is
    the configuration's setting.
    """

    address: str = ""
    proxy: str = field(default="", repr=False)


def report_endpoint(identity: Identity, store: IdentityStore, route: Route) -> Endpoint:
    """Return the mutual-TLS endpoint of this identity's collector."""
    return Endpoint(
        address=_parsed(route.address or identity.report_address),
        roots=identity.trust.pem(),
        proxy=route.proxy,
        certificate=chain_to_pem(identity.chain),
        key=key_to_pem(identity.key),
        client_files=ClientFiles(
            store.directory.at / CERTIFICATE_FILE, store.directory.at / KEY_FILE
        ),
    )


async def renew(identity: Identity, store: IdentityStore, route: Route) -> Identity:
    """Return the identity with a new key and certificate, stored.

    The old ones stay on disk until the new ones are, and at the collector until the new ones are
    used. LinkError and StorageError as ever; then the old identity is as it was.
    """
    with store.directory.changing():
        key = new_key()
        request = enrolment_pb2.RenewRequest(csr=signing_request(key))
        endpoint = report_endpoint(identity, store, route)
        async with connected(endpoint) as channel:
            call = report_pb2_grpc.AgentsStub(channel).Renew(request, timeout=CALL_TIMEOUT_SECONDS)
            response = await answered(call, endpoint.address)
        renewed = _renewed(identity, key, response.certificate_chain, response.trust)
        store.save(renewed)
    return renewed


async def recover(
    identity: Identity, store: IdentityStore, proxy: str, now: dt.datetime
) -> Identity:
    """Return the identity with a certificate in place of its expired one, stored.

    LinkError: "expired" if the collector gives none, "unreachable" if it was not there to ask.
    """
    address = _parsed(identity.enrolment_address)
    with store.directory.changing():
        key = new_key()
        csr = signing_request(key)
        at_unix_ms = int(now.timestamp() * 1000)
        request = enrolment_pb2.RecoverRequest(
            certificate=identity.chain[0],
            csr=csr,
            at_unix_ms=at_unix_ms,
            signature=sign_recovery(identity.key, identity.chain[0], csr, at_unix_ms),
        )
        try:
            endpoint = Endpoint(address, identity.trust.pem(), proxy)
            async with connected(endpoint) as channel:
                call = enrolment_pb2_grpc.EnrolmentStub(channel).Recover(
                    request, timeout=CALL_TIMEOUT_SECONDS
                )
                response = await answered(call, address)
        except LinkError as error:
            raise _not_recovered(identity, error) from error
        recovered = _renewed(identity, key, response.certificate_chain, response.trust)
        store.save(recovered)
    return recovered


async def say_goodbye(identity: Identity, store: IdentityStore, route: Route, reason: str) -> None:
    """Tell the collector that this agent leaves, for `reason` (for people)."""
    endpoint = report_endpoint(identity, store, route)
    async with connected(endpoint) as channel:
        call = report_pb2_grpc.AgentsStub(channel).Leave(
            enrolment_pb2.LeaveRequest(reason=reason), timeout=CALL_TIMEOUT_SECONDS
        )
        await answered(call, endpoint.address)


def _parsed(text: str) -> Address:
    try:
        return parse_address(text, REPORT_PORT)
    except ValueError as error:
        raise IdentityError(f"the collector's address is not usable: {error}") from error


def _renewed(
    identity: Identity,
    key: ec.EllipticCurvePrivateKey,
    chain: Sequence[bytes],
    bundle: enrolment_pb2.TrustBundle,
) -> Identity:
    try:
        trust = checked_trust(tuple(bundle.current), tuple(bundle.next))
    except ValueError as error:
        raise LinkError(
            f"the collector's answer can't be used ({error}); nothing was changed: look at it "
            "with `keycensus-collector doctor`",
            reason="protocol",
        ) from error
    check_issued(chain, trust.anchors, key, agent_uri(identity.deployment, identity.agent_id))
    return identity.renewed(key, tuple(chain), trust)


def _not_recovered(identity: Identity, error: LinkError) -> LinkError:
    text = f"this agent's certificate expired on {identity.not_after:%Y-%m-%d %H:%M} UTC"
    if error.reason == "unreachable":
        return LinkError(f"{text}, and to get another one {error}")
    if isinstance(error, RefusedError) and error.refusal in _TOLD_AS_THEY_ARE:
        return error
    return LinkError(
        f"{text}, and the collector gave no other ({error}). If that stays so: "
        "`keycensus-agent leave --force`, then enrol with a new token",
        reason="expired",
    )
