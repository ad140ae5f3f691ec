"""Port 8441: how a host without a certificate, or with an expired one, gets in.

Anyone who reaches the port may call. What they send is hostile until the token or the signature
has been checked; sizes are capped before anything is parsed, and only so many calls run at once,
so that strangers can't take the writer from the agents that are in.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine
from dataclasses import dataclass

import structlog
from cryptography import x509
from sqlalchemy import Connection

from keycensus_collector.authority import tokens
from keycensus_collector.authority.convert import certificate_chain, claims_of, trust_bundle
from keycensus_collector.authority.csr import requested_key, verify
from keycensus_collector.authority.issuing import Issued, Issuing, check_not_too_late
from keycensus_collector.authority.peer import UNREADABLE, find_peer, read_certificate
from keycensus_collector.authority.refusals import CallContext, answered
from keycensus_collector.authority.rekey import Copy, rekey_message, take_identity
from keycensus_collector.clock import Clock
from keycensus_collector.errors import Refusal
from keycensus_collector.intake.model import INSTANCE_BYTES
from keycensus_collector.store.engine import Store
from keycensus_proto.v1 import enrolment_pb2, enrolment_pb2_grpc

PROTOCOL_VERSION = 1
_CALLS_AT_ONCE = 64
_BUSY_SECONDS = 5
_CLOCK_TOLERANCE_MS = 3_600_000
_CERTIFICATE_LIMIT = 16 * 1024

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Answer:
    issued: Issued
    trust: enrolment_pb2.TrustBundle


class EnrolmentServicer(enrolment_pb2_grpc.EnrolmentServicer):
    """`keycensus.v1.Enrolment`. `report_port` is where the mutual-TLS port listens."""

    def __init__(self, store: Store, clock: Clock, issuing: Issuing, report_port: int) -> None:
        self._store = store
        self._clock = clock
        self._issuing = issuing
        self._report_port = report_port
        self._calls = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def Enrol(  # noqa: N802 - the name is the protocol's
        self, request: enrolment_pb2.EnrolRequest, context: CallContext
    ) -> enrolment_pb2.EnrolResponse:
        """Let a new host in against a token (protos/README.md, 4.1 and 4.2)."""
        return await answered(context, self._limited(self._enrol(request)))

    async def Recover(  # noqa: N802 - the name is the protocol's
        self, request: enrolment_pb2.RecoverRequest, context: CallContext
    ) -> enrolment_pb2.EnrolResponse:
        """Give a certificate for an expired one, against a proof of its key (4.3)."""
        return await answered(context, self._limited(self._recover(request)))

    async def _limited(
        self, work: Coroutine[object, object, enrolment_pb2.EnrolResponse]
    ) -> enrolment_pb2.EnrolResponse:
        if self._calls.locked():
            work.close()
            raise Refusal(
                "busy",
                "too many hosts are joining at once; try again in a moment",
                retry_after_seconds=_BUSY_SECONDS,
            )
        async with self._calls:
            return await work

    async def _enrol(self, request: enrolment_pb2.EnrolRequest) -> enrolment_pb2.EnrolResponse:
        if request.protocol_versions and PROTOCOL_VERSION not in request.protocol_versions:
            raise Refusal(
                "upgrade", f"this collector speaks protocol {PROTOCOL_VERSION}; upgrade the agent"
            )
        if request.WhichOneof("proof") == "rekey":
            return await self._rekey(request)
        proof = tokens.read_proof(request.token)
        key = requested_key(request.csr)
        claims = claims_of(request.host_facts)
        now_ms = self._clock.now_ms()

        def work(connection: Connection) -> _Answer:
            issued = self._issuing.enrol(connection, proof, key, claims, now_ms)
            return _Answer(issued, trust_bundle(connection))

        answer = await self._store.run_write(work, urgent=True)
        _log.info(
            "agent.enrolled",
            agent_id=answer.issued.agent_id,
            host_id=answer.issued.host_id,
            token_id=proof.token_id,
            repeated=answer.issued.repeated,
        )
        return self._response(answer)

    async def _rekey(self, request: enrolment_pb2.EnrolRequest) -> enrolment_pb2.EnrolResponse:
        proof, now_ms = request.rekey, self._clock.now_ms()
        _check_clock(proof.at_unix_ms, now_ms)
        if max(len(proof.boot_id), len(proof.instance)) > INSTANCE_BYTES:
            raise Refusal("malformed", "the proof's boot id or instance is too long")
        shared = _certificate(proof.certificate)
        key = requested_key(request.csr)
        copy = Copy(proof.boot_id, proof.instance, claims_of(request.host_facts))
        message = rekey_message(
            proof.certificate,
            request.csr,
            (proof.boot_id, proof.instance, request.host_facts),
            proof.at_unix_ms,
        )
        if not verify(shared.public_key(), proof.signature, message):
            raise Refusal("unknown", "the signature is not that of the certificate's key")

        def work(connection: Connection) -> _Answer:
            presented = read_certificate(shared, self._issuing.deployment)
            peer = find_peer(connection, presented, for_hello=True)
            check_not_too_late(shared, now_ms)
            issued = take_identity(connection, self._issuing, peer, key, copy, now_ms=now_ms)
            return _Answer(issued, trust_bundle(connection))

        answer = await self._store.run_write(work, urgent=True)
        _log.info("agent.rekeyed", agent_id=answer.issued.agent_id, repeated=answer.issued.repeated)
        return self._response(answer)

    async def _recover(self, request: enrolment_pb2.RecoverRequest) -> enrolment_pb2.EnrolResponse:
        now_ms = self._clock.now_ms()
        _check_clock(request.at_unix_ms, now_ms)
        expired = _certificate(request.certificate)
        key = requested_key(request.csr)
        message = recovery_message(request.certificate, request.csr, request.at_unix_ms)
        if not verify(expired.public_key(), request.signature, message):
            raise Refusal("unknown", "the signature is not that of the certificate's key")

        def work(connection: Connection) -> _Answer:
            issued = self._issuing.recover(connection, expired, key, now_ms)
            return _Answer(issued, trust_bundle(connection))

        answer = await self._store.run_write(work, urgent=True)
        _log.info("agent.recovered", agent_id=answer.issued.agent_id)
        return self._response(answer)

    def _response(self, answer: _Answer) -> enrolment_pb2.EnrolResponse:
        issued = answer.issued
        return enrolment_pb2.EnrolResponse(
            host_id=issued.host_id,
            agent_id=issued.agent_id,
            deployment=self._issuing.deployment,
            certificate_chain=certificate_chain(self._issuing.authority, issued),
            trust=answer.trust,
            collector_time_unix_ms=self._clock.now_ms(),
            report_address=f":{self._report_port}",
        )


def _check_clock(at_unix_ms: int, now_ms: int) -> None:
    if abs(at_unix_ms - now_ms) > _CLOCK_TOLERANCE_MS:
        raise Refusal(
            "clock", "the host's clock is more than an hour from the collector's; set it right"
        )


def recovery_message(certificate: bytes, request: bytes, at_unix_ms: int) -> bytes:
    """Return the bytes that an agent signs to recover (protos/README.md, section 4.3)."""
    fields = (hashlib.sha256(certificate).digest(), hashlib.sha256(request).digest())
    return (
        b"keycensus recover v1\0"
        + b"".join(len(field).to_bytes(4, "big") + field for field in fields)
        + at_unix_ms.to_bytes(8, "big", signed=True)
    )


def _certificate(der: bytes) -> x509.Certificate:
    if len(der) > _CERTIFICATE_LIMIT:
        raise Refusal("malformed", f"the certificate is longer than {_CERTIFICATE_LIMIT} bytes")
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.public_key()
    except UNREADABLE:
        raise Refusal("malformed", "the certificate can't be read") from None
    return certificate
