"""Between protobuf and the authority's dataclasses. Protobuf types stop here."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection, select

from keycensus_collector.authority.authority import Authority, intermediates
from keycensus_collector.authority.hosts import Claims
from keycensus_collector.authority.issuing import Issued
from keycensus_collector.errors import Refusal
from keycensus_collector.intake.convert import decode_host_facts
from keycensus_collector.intake.model import MalformedError
from keycensus_collector.store.schema import authority_certificate
from keycensus_proto.v1 import enrolment_pb2

# Host facts are a page of text; more is refused before it is decoded.
_FACTS_LIMIT = 64 * 1024


def claims_of(encoded: bytes) -> Claims:
    """Read what a host says of itself; Refusal "malformed" if it can't be."""
    if len(encoded) > _FACTS_LIMIT:
        raise Refusal("malformed", f"the host's facts are longer than {_FACTS_LIMIT} bytes")
    try:
        return Claims(encoded, decode_host_facts(encoded))
    except MalformedError:
        raise Refusal("malformed", "the host's facts can't be read") from None


def trust_bundle(connection: Connection) -> enrolment_pb2.TrustBundle:
    """Return the anchors that agents are to trust, now and after the next roll-over."""
    rows = connection.execute(
        select(authority_certificate.c.state, authority_certificate.c.der)
        .where(authority_certificate.c.is_anchor)
        .order_by(authority_certificate.c.added_ms, authority_certificate.c.sha256)
    ).all()
    return enrolment_pb2.TrustBundle(
        current=[row.der for row in rows if row.state == "current"],
        next=[row.der for row in rows if row.state == "next"],
    )


def certificate_chain(authority: Authority, issued: Issued) -> Iterable[bytes]:
    """Return an agent's certificate and what it needs beside it, DER."""
    yield issued.certificate
    for certificate in intermediates(authority):
        yield certificate.public_bytes(Encoding.DER)
