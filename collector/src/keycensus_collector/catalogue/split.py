"""Find certificates and revocation lists in DER that somebody brought: one, several, or PKCS#7.

Pure, and on the hostile side as `parse`: it runs in the limited catalogue child.
"""

from __future__ import annotations

from collections.abc import Iterator

from keycensus_collector.catalogue import der

CERTIFICATE_KIND, LIST_KIND = "certificate", "crl"
# Things of one file; a bundle of every authority in the world has some hundred.
MOST_THINGS = 100_000
# pkcs7-signedData, RFC 2315 section 14.
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_CERTIFICATES, _LISTS = 0xA0, 0xA1

Span = tuple[str, int, int]  # kind, and where it stands


def split(data: bytes) -> list[Span]:
    """Return what stands in `data`, in order; DerError where something else stands."""
    found: list[Span] = []
    position = 0
    while position < len(data):
        element = der.read_element(data, position, len(data)).expect(der.SEQUENCE)
        found += _things_in(element)
        if len(found) > MOST_THINGS:
            raise der.DerError(f"more than {MOST_THINGS:,} certificates and lists")
        position = element.end
    return found


def _things_in(element: der.Element) -> Iterator[Span]:
    first = element.first_child()
    if first.tag == der.OBJECT_IDENTIFIER:
        yield from _signed_data(element)
    else:
        yield _kind_of(first.expect(der.SEQUENCE)), element.start, element.end


def _kind_of(signed: der.Element) -> str:
    """Tell certificates and lists apart by the fields of what is signed (RFC 5280, 4.1 and 5.1)."""
    tags = [field.tag for _, field in zip(range(5), signed.children(), strict=False)]
    if tags[:1] == [0xA0]:
        return CERTIFICATE_KIND
    # Without versions: serial number, algorithm, issuer, validity; or algorithm, issuer, time.
    if tags[:4] == [der.INTEGER, der.SEQUENCE, der.SEQUENCE, der.SEQUENCE]:
        return CERTIFICATE_KIND
    times = {der.UTC_TIME, der.GENERALIZED_TIME}
    if tags[0:1] == [der.INTEGER]:
        tags = tags[1:]
    if tags[:2] == [der.SEQUENCE, der.SEQUENCE] and len(tags) > 2 and tags[2] in times:
        return LIST_KIND
    raise der.DerError("neither a certificate nor a revocation list")


def _signed_data(element: der.Element) -> Iterator[Span]:
    """Yield what a degenerate or other SignedData holds; signatures are not looked at."""
    fields = list(element.children())
    if der.read_oid(fields[0]) != _SIGNED_DATA or len(fields) != 2:
        raise der.DerError("PKCS#7 of another kind than signed data")
    signed = fields[1].expect(0xA0).first_child().expect(der.SEQUENCE)
    for field in signed.children():
        if field.tag in {_CERTIFICATES, _LISTS}:
            kind = CERTIFICATE_KIND if field.tag == _CERTIFICATES else LIST_KIND
            for thing in field.children():
                # Others are attribute certificates, and forms of PKCS#6.
                if thing.tag == der.SEQUENCE:
                    yield kind, thing.start, thing.end
