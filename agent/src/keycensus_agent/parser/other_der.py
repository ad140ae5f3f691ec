"""Tell DER that is known, and holds no certificate and no key: so that nobody takes it for damage.

Parser side: pure, on hostile bytes. Only the outer structure is looked at. Sources: RFC 6960 4.1.1 and
4.2.1 (OCSP), RFC 5755 4.1 (attribute certificates), PKCS#3 9 and RFC 3279 2.3.2 (parameters of
Diffie-Hellman and DSA), SEC 1 C.2 (of explicit curves).
"""

from __future__ import annotations

from keycensus_agent.parser import der

# Of Diffie-Hellman and DSA, in bytes; nothing of ours begins with a number of that length but an RSA
# public key.
_SHORTEST_PRIME = 64
_PAIR = (der.SEQUENCE, der.SEQUENCE)
# AlgorithmIdentifier, hashes of the issuer's name and key, serial number.
_CERT_ID = (der.SEQUENCE, der.OCTET_STRING, der.OCTET_STRING, der.INTEGER)
_V2_ISSUER = 0xA0


def holds_nothing(data: bytes, outer: der.Element) -> bool:
    """Tell whether `outer` is a structure that holds nothing of ours; DerError if it is broken."""
    fields = der.children(data, outer)
    tags = tuple(field.tag for field in fields)
    if tags[:1] == (der.ENUMERATED,):  # an answer of OCSP
        return True
    if tags[:1] == (der.INTEGER,):
        is_curve = tags[1:4] == (*_PAIR, der.OCTET_STRING)
        return is_curve or fields[0].end - fields[0].body > _SHORTEST_PRIME
    if tags == (*_PAIR, der.BIT_STRING):
        return _is_attribute_certificate(data, fields[0])
    return tags[:1] == (der.SEQUENCE,) and _is_question_of_ocsp(data, fields[0])


def _is_attribute_certificate(data: bytes, signed: der.Element) -> bool:
    """Tell by holder, issuer, algorithm, serial number and validity; version 1 may leave itself out."""
    tags = [field.tag for field in der.children(data, signed)]
    if tags[:1] == [der.INTEGER]:
        tags = tags[1:]
    rest = [der.SEQUENCE, der.INTEGER, der.SEQUENCE, der.SEQUENCE]
    return tags[1:2] in ([_V2_ISSUER], [der.SEQUENCE]) and tags[2:6] == rest


def _is_question_of_ocsp(data: bytes, asked: der.Element) -> bool:
    """Tell by the list of certificates that are asked for, behind version and who asks."""
    for field in der.children(data, asked):
        if field.tag == der.SEQUENCE:
            request = der.expect(data, field, der.SEQUENCE)[0]
            identity = der.expect(data, request, der.SEQUENCE)[0]
            return tuple(item.tag for item in der.children(data, identity)) == _CERT_ID
    return False
