"""Find whole certificates where their order is lost, or in a structure that is not read for itself.

Parser side: pure, on hostile bytes. In a store that is known by its magic number only behind damage:
what stands there may have been deleted by its owner, so an intact store is never read so. In DER all
of it, as nothing is ever deleted there: answers of OCSP and of time stamping, chains of Java, evidence
records and others carry the certificates that they rest on.
"""

from __future__ import annotations

from collections.abc import Iterator

from keycensus_agent.parser import der
from keycensus_agent.parser.findings import Found, certificate
from keycensus_agent.parser.x509 import certificate_fields

# How a certificate of 256 to 65,535 bytes starts.
_START = b"\x30\x82"
# Starts that are looked at in one file: as many as chance has in 1 GiB.
_TRIES = 20_000


def rescued_certificates(data: bytes, position: int = 0) -> Iterator[Found]:
    """Return the certificates from `position` on that are whole DER; none of them has a name."""
    for _ in range(_TRIES):
        position = data.find(_START, position)
        if position < 0:
            return
        try:
            element = der.read(data, position, len(data))
            whole = der.encoding(data, element)
            certificate_fields(whole)
        except der.DerError:
            position += 1
        else:
            yield certificate(whole)
            position = element.end
