"""A small real collector for tests of the agent's link: TLS, both ports, its own throw-away CA.

It issues, renews, refuses and answers a report stream as protos/README.md says, keeps nothing, and
can be told to misbehave.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keycensus_proto.v1 import (
    enrolment_pb2,
    enrolment_pb2_grpc,
    report_pb2,
    report_pb2_grpc,
)

DEPLOYMENT = "test"
_DER = serialization.Encoding.DER
_PEM = serialization.Encoding.PEM

_Context = grpc.aio.ServicerContext[Any, Any]


def base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class ThrowAwayAuthority:
    """A CA for one test."""

    def __init__(
        self, name: str = "test root", *, key: ec.EllipticCurvePrivateKey | None = None
    ) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(name))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=400))
            .not_valid_after(now + dt.timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(_DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(_PEM)

    @property
    def pin(self) -> bytes:
        spki = self.certificate.public_key().public_bytes(
            _DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(spki).digest()

    def issue(
        self,
        public_key: CertificatePublicKeyTypes,
        names: list[x509.GeneralName],
        *,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        client: bool = True,
        ca: bool = False,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        return (
            x509.CertificateBuilder()
            .subject_name(_name("test leaf"))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before or now - dt.timedelta(hours=1))
            .not_valid_after(not_after or now + dt.timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def issue_server(
        self,
        *names: str,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
    ) -> tuple[bytes, bytes]:
        """Return (key, chain with the root) as PEM for DNS names and 127.0.0.1."""
        import ipaddress

        key = ec.generate_private_key(ec.SECP256R1())
        general: list[x509.GeneralName] = [x509.DNSName(name) for name in names if name]
        if "" not in names:
            general.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        certificate = self.issue(
            key.public_key(), general, not_before=not_before, not_after=not_after, client=False
        )
        pem = key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return pem, certificate.public_bytes(_PEM) + self.pem


@dataclass
class CollectorStub:
    """What the stub knows, what it was asked, and how it shall misbehave."""

    authority: ThrowAwayAuthority = field(default_factory=ThrowAwayAuthority)
    enrolment_port: int = 0
    report_port: int = 0
    # Tokens by id → what they are worth: "good", or the word of a refusal.
    tokens: dict[str, str] = field(default_factory=dict)
    # Public key → the answer that it got.
    answers: dict[bytes, enrolment_pb2.EnrolResponse] = field(default_factory=dict)
    enrol_requests: list[enrolment_pb2.EnrolRequest] = field(default_factory=list)
    recover_requests: list[enrolment_pb2.RecoverRequest] = field(default_factory=list)
    leave_reasons: list[str] = field(default_factory=list)
    renewals: int = 0
    received: list[report_pb2.ReportRequest] = field(default_factory=list)
    peer_serials: list[int] = field(default_factory=list)
    # Misbehaviour.
    lost_replies: int = 0
    not_before: dt.datetime | None = None
    not_after: dt.datetime | None = None
    foreign_issuer: ThrowAwayAuthority | None = None
    renewal_refused: str = ""
    leave_refused: str = ""
    recover_refused: str = ""
    refusal: report_pb2.Refusal | None = None
    next_anchors: list[bytes] = field(default_factory=list)
    kill_stream_after: int = 0
    clock_offset_seconds: int = 0

    def token(self, worth: str = "good", pin: bytes | None = None) -> str:
        """Return the text of a new token."""
        identifier = base64url(uuid.uuid4().bytes[:8])
        self.tokens[identifier] = worth
        secret = base64url(b"s" * 24)
        return f"kc1.{identifier}.{secret}.{base64url(pin or self.authority.pin)}"

    @property
    def enrolment_address(self) -> str:
        return f"127.0.0.1:{self.enrolment_port}"

    @property
    def report_address(self) -> str:
        return f"127.0.0.1:{self.report_port}"

    def trust(self) -> enrolment_pb2.TrustBundle:
        return enrolment_pb2.TrustBundle(current=[self.authority.der], next=self.next_anchors)

    def now_ms(self) -> int:
        now = dt.datetime.now(dt.UTC).timestamp() + self.clock_offset_seconds
        return int(now * 1000)

    def issue_agent(self, csr: bytes, uri: str) -> bytes:
        request = x509.load_der_x509_csr(csr)
        assert request.is_signature_valid
        authority = self.foreign_issuer or self.authority
        return authority.issue(
            request.public_key(),
            [x509.UniformResourceIdentifier(uri)],
            not_before=self.not_before,
            not_after=self.not_after,
        ).public_bytes(_DER)


async def _refuse(context: _Context, reason: str, text: str) -> NoReturn:
    await context.abort(
        grpc.StatusCode.PERMISSION_DENIED,
        text,
        (("keycensus-reason", reason), ("keycensus-retry-after", "7")),
    )
    raise AssertionError("abort raises")


def _peer(context: _Context) -> x509.Certificate:
    (pem,) = context.auth_context()["x509_pem_cert"]
    return x509.load_pem_x509_certificate(pem)


class _Enrolment(enrolment_pb2_grpc.EnrolmentServicer):
    def __init__(self, stub: CollectorStub) -> None:
        self.stub = stub

    async def Enrol(  # noqa: N802 - gRPC's name
        self, request: enrolment_pb2.EnrolRequest, context: _Context
    ) -> enrolment_pb2.EnrolResponse:
        stub = self.stub
        stub.enrol_requests.append(request)
        public = _public_bytes(request.csr)
        if public not in stub.answers:
            worth = stub.tokens.get(request.token.split(".")[0], "token-unknown")
            if worth != "good":
                await _refuse(context, worth, "no entry")
            stub.tokens[request.token.split(".")[0]] = "token-used"
            stub.answers[public] = self._answer(request.csr)
        if stub.lost_replies:
            stub.lost_replies -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the reply was lost")
        return stub.answers[public]

    def _answer(self, csr: bytes) -> enrolment_pb2.EnrolResponse:
        stub, agent = self.stub, str(uuid.uuid4())
        return enrolment_pb2.EnrolResponse(
            host_id=str(uuid.uuid4()),
            agent_id=agent,
            deployment=DEPLOYMENT,
            certificate_chain=[stub.issue_agent(csr, f"keycensus://{DEPLOYMENT}/agent/{agent}")],
            trust=stub.trust(),
            collector_time_unix_ms=stub.now_ms(),
            report_address=f":{stub.report_port}",
        )

    async def Recover(  # noqa: N802 - gRPC's name
        self, request: enrolment_pb2.RecoverRequest, context: _Context
    ) -> enrolment_pb2.EnrolResponse:
        self.stub.recover_requests.append(request)
        if self.stub.recover_refused:
            await _refuse(context, self.stub.recover_refused, "not again")
        old = x509.load_der_x509_certificate(request.certificate)
        digests = [hashlib.sha256(each).digest() for each in (request.certificate, request.csr)]
        signed = b"keycensus recover v1\0" + b"".join(b"\0\0\0\x20" + each for each in digests)
        key = old.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(
            request.signature,
            signed + request.at_unix_ms.to_bytes(8, "big"),
            ec.ECDSA(hashes.SHA256()),
        )
        return enrolment_pb2.EnrolResponse(
            certificate_chain=[self.stub.issue_agent(request.csr, _uri(old))],
            trust=self.stub.trust(),
        )


class _Agents(report_pb2_grpc.AgentsServicer):
    def __init__(self, stub: CollectorStub) -> None:
        self.stub = stub

    async def Renew(  # noqa: N802 - gRPC's name
        self, request: enrolment_pb2.RenewRequest, context: _Context
    ) -> enrolment_pb2.RenewResponse:
        if self.stub.renewal_refused:
            await _refuse(context, self.stub.renewal_refused, "not now")
        self.stub.renewals += 1
        return enrolment_pb2.RenewResponse(
            certificate_chain=[self.stub.issue_agent(request.csr, _uri(_peer(context)))],
            trust=self.stub.trust(),
        )

    async def Leave(  # noqa: N802 - gRPC's name
        self, request: enrolment_pb2.LeaveRequest, context: _Context
    ) -> enrolment_pb2.LeaveResponse:
        if self.stub.leave_refused:
            await _refuse(context, self.stub.leave_refused, "who?")
        self.stub.leave_reasons.append(request.reason)
        return enrolment_pb2.LeaveResponse()

    async def Report(  # noqa: N802 - gRPC's name
        self, request_iterator: AsyncIterator[report_pb2.ReportRequest], context: _Context
    ) -> AsyncIterator[report_pb2.ReportResponse]:
        """Answer hello with hello-ack and every batch with its ack."""
        stub = self.stub
        stub.peer_serials.append(_peer(context).serial_number)
        async for request in request_iterator:
            stub.received.append(request)
            if stub.refusal is not None:
                yield report_pb2.ReportResponse(refusal=stub.refusal)
                return
            if request.HasField("hello"):
                yield report_pb2.ReportResponse(
                    hello_ack=report_pb2.HelloAck(
                        deployment=DEPLOYMENT,
                        trust=stub.trust(),
                        collector_time_unix_ms=stub.now_ms(),
                    )
                )
            if request.HasField("batch"):
                sequence = request.batch.sequence
                if stub.kill_stream_after and sequence > stub.kill_stream_after:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the collector is stopping")
                yield report_pb2.ReportResponse(ack=report_pb2.Ack(sequence=sequence))


def _public_bytes(csr: bytes) -> bytes:
    return (
        x509.load_der_x509_csr(csr)
        .public_key()
        .public_bytes(_DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def _uri(certificate: x509.Certificate) -> str:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)[0]


@asynccontextmanager
async def running_collector(
    stub: CollectorStub | None = None,
    *,
    server_identity: tuple[bytes, bytes] | None = None,
) -> AsyncIterator[CollectorStub]:
    """Run a stub on two ports of 127.0.0.1; `server_identity` is (key, chain) as PEM."""
    collector = stub or CollectorStub()
    key_and_chain = server_identity or collector.authority.issue_server("collector.test")
    enrolment, agents = grpc.aio.server(), grpc.aio.server()
    enrolment_pb2_grpc.add_EnrolmentServicer_to_server(_Enrolment(collector), enrolment)
    report_pb2_grpc.add_AgentsServicer_to_server(_Agents(collector), agents)
    collector.enrolment_port = enrolment.add_secure_port(
        f"127.0.0.1:{collector.enrolment_port}", grpc.ssl_server_credentials([key_and_chain])
    )
    collector.report_port = agents.add_secure_port(
        f"127.0.0.1:{collector.report_port}",
        grpc.ssl_server_credentials(
            [key_and_chain], root_certificates=collector.authority.pem, require_client_auth=True
        ),
    )
    await enrolment.start()
    await agents.start()
    try:
        yield collector
    finally:
        await enrolment.stop(None)
        await agents.stop(None)
