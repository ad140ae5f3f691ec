"""An agent as the collector's ports see one: a key, a request, a certificate, real TLS channels."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from keycensus_proto.v1 import enrolment_pb2, enrolment_pb2_grpc, inventory_pb2

REASON_KEY = "keycensus-reason"


def key_pem(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def request_of(key: CertificateIssuerPrivateKeyTypes, *, subject: str = "whatever") -> bytes:
    """Return a certificate request, DER, signed with `key`."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(key, _digest(key)).public_bytes(Encoding.DER)


def _digest(key: CertificateIssuerPrivateKeyTypes) -> hashes.SHA256 | None:
    return hashes.SHA256() if hasattr(key, "key_size") else None


@dataclass(frozen=True)
class Identity:
    """What an agent has after it enrolled."""

    key: ec.EllipticCurvePrivateKey
    response: enrolment_pb2.EnrolResponse

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.response.certificate_chain[0])

    def channel(self, address: str) -> grpc.aio.Channel:
        """Return a mutual-TLS channel to the report port."""
        return mutual_channel(
            address,
            list(self.response.trust.current),
            self.key,
            list(self.response.certificate_chain),
        )


def anchors_pem(anchors: list[bytes]) -> bytes:
    return b"".join(
        x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in anchors
    )


def mutual_channel(
    address: str,
    anchors: list[bytes],
    key: CertificateIssuerPrivateKeyTypes,
    chain: list[bytes],
) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(
        anchors_pem(anchors), key_pem(key), anchors_pem(chain)
    )
    return grpc.aio.secure_channel(address, credentials)


def server_tls_channel(address: str, anchor_pem: bytes) -> grpc.aio.Channel:
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(anchor_pem))


def proof_of(token: str) -> str:
    """Return what an agent sends of a token: id and secret, not the pin."""
    _, token_id, secret, _ = token.split(".")
    return f"{token_id}.{secret}"


async def enrol(
    address: str,
    anchor_pem: bytes,
    token: str,
    *,
    key: ec.EllipticCurvePrivateKey | None = None,
    facts: inventory_pb2.HostFacts | None = None,
) -> Identity:
    """Enrol at `address` ("127.0.0.1:PORT"); grpc.aio.AioRpcError if refused."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    facts = facts or inventory_pb2.HostFacts(name="host.example")
    request = enrolment_pb2.EnrolRequest(
        token=proof_of(token),
        csr=request_of(key),
        host_facts=facts.SerializeToString(),
        protocol_versions=[1],
    )
    async with server_tls_channel(address, anchor_pem) as channel:
        response = await enrolment_pb2_grpc.EnrolmentStub(channel).Enrol(request, timeout=20)
    return Identity(key, response)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Return the word in a refusal's trailing metadata, or "" if there is none."""
    for key, value in error.trailing_metadata() or ():
        if key == REASON_KEY:
            return value if isinstance(value, str) else value.decode()
    return ""
