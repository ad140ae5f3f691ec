"""An identity of its own for a machine that shares one with others (protos/README.md, section 4.4).

Runs in the link, after the collector refused a hello with "rekey": an operator has let every machine
that holds this identity have one of its own. The proof is the shared key's signature over what this
machine says of itself and over its new key.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from keycensus_agent.address import parse_address
from keycensus_agent.errors import LinkError
from keycensus_agent.host_facts import MachinePrints
from keycensus_agent.link.certificate import sign_rekey, signing_request
from keycensus_agent.link.channel import CALL_TIMEOUT_SECONDS, Endpoint, answered, connected
from keycensus_agent.link.enrol import checked_answer
from keycensus_agent.link.identity import Identity, IdentityStore
from keycensus_proto.v1 import enrolment_pb2, enrolment_pb2_grpc, report_pb2


async def rekey(
    identity: Identity,
    store: IdentityStore,
    proxy: str,
    hello: report_pb2.Hello,
    *,
    machine: MachinePrints,
    now: dt.datetime,
) -> Identity:
    """Return this machine's own identity, stored in place of the shared one.

    `hello` is what was refused. The new key is on the disk before it is used, so that asking again
    after a lost reply gets the same answer. LinkError and StorageError as ever; then the shared
    identity is as it was.
    """
    address = parse_address(identity.enrolment_address, 0)
    with store.directory.changing():
        key = store.pending_key()
        csr = signing_request(key)
        proof = enrolment_pb2.RekeyProof(
            certificate=identity.chain[0],
            at_unix_ms=int(now.timestamp() * 1000),
            boot_id=hello.boot_id,
            instance=hello.instance,
        )
        proof.signature = sign_rekey(
            identity.key,
            proof.certificate,
            csr,
            (proof.boot_id, proof.instance, hello.host_facts),
            proof.at_unix_ms,
        )
        request = enrolment_pb2.EnrolRequest(
            rekey=proof, csr=csr, host_facts=hello.host_facts, protocol_versions=[1]
        )
        endpoint = Endpoint(address, identity.trust.pem(), proxy)
        async with connected(endpoint) as channel:
            call = enrolment_pb2_grpc.EnrolmentStub(channel).Enrol(
                request, timeout=CALL_TIMEOUT_SECONDS
            )
            response = await answered(call, address)
        own = checked_answer(response, key, address, machine, now)
        if own.deployment != identity.deployment:
            raise LinkError(
                "the collector's answer can't be used (it names another deployment); nothing was "
                "stored: look at it with `keycensus-collector doctor`",
                reason="protocol",
            )
        own = replace(own, report_address=identity.report_address)
        store.save(own)
    return own
