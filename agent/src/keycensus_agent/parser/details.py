"""What a person wants to know of a certificate or request, read from its DER.

Parser side: computing on hostile bytes. Our own reader does the reading; cryptography is asked for
one thing, whether a certificate is signed by its own key, and its answer is guarded.
"""

from __future__ import annotations

import warnings

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from keycensus_agent.model import CertificateDetail
from keycensus_agent.parser import der
from keycensus_agent.parser.key_id import key_id
from keycensus_agent.parser.names import general_names, name_text, time_text
from keycensus_agent.parser.public_key import algorithm_name, key_facts
from keycensus_agent.parser.x509 import (
    AUTHORITY_KEY_IDENTIFIER,
    BASIC_CONSTRAINTS,
    EXTENDED_KEY_USAGE,
    SUBJECT_ALTERNATIVE_NAME,
    SUBJECT_KEY_IDENTIFIER,
    CertificateFields,
    certificate_fields,
    extension_values,
    request_fields,
)

# Names as OpenSSL prints them, for those that are met; where key and signature have one OID, as with
# ML-DSA and SLH-DSA, the key's name; any other is shown as its dotted OID.
SIGNATURE_ALGORITHMS = {
    "1.2.840.113549.1.1.2": "md2WithRSAEncryption",
    "1.2.840.113549.1.1.3": "md4WithRSAEncryption",
    "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
    "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
    "1.3.14.3.2.29": "sha1WithRSA",
    "1.2.840.113549.1.1.14": "sha224WithRSAEncryption",
    "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
    "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
    "1.2.840.113549.1.1.10": "rsassaPss",
    "2.16.840.1.101.3.4.3.13": "RSA-SHA3-224",
    "2.16.840.1.101.3.4.3.14": "RSA-SHA3-256",
    "2.16.840.1.101.3.4.3.15": "RSA-SHA3-384",
    "2.16.840.1.101.3.4.3.16": "RSA-SHA3-512",
    "1.2.840.10040.4.3": "dsaWithSHA1",
    "2.16.840.1.101.3.4.3.1": "dsa_with_SHA224",
    "2.16.840.1.101.3.4.3.2": "dsa_with_SHA256",
    "2.16.840.1.101.3.4.3.3": "dsa_with_SHA384",
    "2.16.840.1.101.3.4.3.4": "dsa_with_SHA512",
    "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.2.840.10045.4.3.1": "ecdsa-with-SHA224",
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
    "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "2.16.840.1.101.3.4.3.9": "ecdsa_with_SHA3-224",
    "2.16.840.1.101.3.4.3.10": "ecdsa_with_SHA3-256",
    "2.16.840.1.101.3.4.3.11": "ecdsa_with_SHA3-384",
    "2.16.840.1.101.3.4.3.12": "ecdsa_with_SHA3-512",
    "1.3.101.112": "ed25519",
    "1.3.101.113": "ed448",
    "1.2.643.2.2.3": "gost2001-with-gost94",
    "1.2.643.7.1.1.3.2": "gost2012-256-with-streebog-256",
    "1.2.643.7.1.1.3.3": "gost2012-512-with-streebog-512",
    "1.2.156.10197.1.501": "SM2-with-SM3",
}
# Longest serial number that is shown, in bytes: RFC 5280 allows 20, real ones reach 64.
_SERIAL_LIMIT = 256
# More purposes no certificate has.
_PURPOSES_LIMIT = 32


def certificate_detail(data: bytes, sha256: bytes) -> CertificateDetail:
    """Return what a certificate says; only its hash if its skeleton is malformed."""
    try:
        fields = certificate_fields(data)
    except der.DerError:
        return CertificateDetail(sha256)
    return _detail(data, sha256, fields)


def request_detail(data: bytes, sha256: bytes) -> CertificateDetail:
    """Return what a certification request says, without issuer, serial and validity."""
    try:
        fields = request_fields(data)
    except der.DerError:
        return CertificateDetail(sha256)
    return _detail(data, sha256, fields)


def _detail(data: bytes, sha256: bytes, fields: CertificateFields) -> CertificateDetail:
    spki = der.encoding(data, fields.spki)
    extensions = extension_values(data, fields.extensions)
    facts = key_facts(spki)
    not_before, not_after = _validity(data, fields)
    return CertificateDetail(
        sha256=sha256,
        key_id=key_id(spki),
        subject=name_text(data, fields.subject),
        issuer=name_text(data, fields.issuer) if fields.issuer else "",
        serial=_serial(data, fields),
        not_before=not_before,
        not_after=not_after,
        san=_alternative_names(extensions.get(SUBJECT_ALTERNATIVE_NAME, b"")),
        is_ca=_is_authority(extensions.get(BASIC_CONSTRAINTS, b"")),
        extended_key_usage=_purposes(extensions.get(EXTENDED_KEY_USAGE, b"")),
        self_signed=_is_self_signed(data, fields, extensions),
        signature_algorithm=_signature_algorithm(data, fields),
        algorithm=facts.algorithm,
        bits=facts.bits,
        curve=facts.curve,
    )


def _serial(data: bytes, fields: CertificateFields) -> str:
    if not fields.serial:
        return ""
    content = der.content(data, fields.serial)[:_SERIAL_LIMIT]
    return f"{int.from_bytes(content, 'big', signed=True):x}"


def _validity(data: bytes, fields: CertificateFields) -> tuple[str, str]:
    if not fields.validity:
        return "", ""
    try:
        times = der.children(data, fields.validity)
    except der.DerError:
        return "", ""
    texts = [time_text(data, element) for element in times[:2]]
    return texts[0] if texts else "", texts[1] if len(texts) > 1 else ""


def _alternative_names(value: bytes) -> tuple[str, ...]:
    try:
        return general_names(value, der.read_whole(value)) if value else ()
    except der.DerError:
        return ()


def _is_authority(value: bytes) -> bool:
    try:
        fields = der.children(value, der.read_whole(value))
    except der.DerError:
        return False
    return bool(fields) and fields[0].tag == der.BOOLEAN and any(der.content(value, fields[0]))


def _purposes(value: bytes) -> tuple[str, ...]:
    """Return the purposes of an extended key usage (RFC 5280, 4.2.1.12), in its order."""
    try:
        purposes = der.children(value, der.read_whole(value)) if value else []
        return tuple(
            der.dotted(value, purpose)
            for purpose in purposes[:_PURPOSES_LIMIT]
            if purpose.tag == der.OBJECT_IDENTIFIER
        )
    except der.DerError:
        return ()


def _signature_algorithm(data: bytes, fields: CertificateFields) -> str:
    try:
        name = der.expect(data, fields.signature_algorithm, der.OBJECT_IDENTIFIER)[0]
        oid = der.dotted(data, name)
    except der.DerError:
        return ""
    return SIGNATURE_ALGORITHMS.get(oid) or algorithm_name(oid)


def _is_self_signed(data: bytes, fields: CertificateFields, extensions: dict[str, bytes]) -> bool:
    """Tell whether the certificate's own key signed it, by its key identifiers, else by trying."""
    if not fields.issuer or der.encoding(data, fields.issuer) != der.encoding(data, fields.subject):
        return False
    named = _identifiers_match(extensions)
    return _verifies_itself(data) if named is None else named


def _identifiers_match(extensions: dict[str, bytes]) -> bool | None:
    """Compare authority and subject key identifier (RFC 5280, 4.2.1.1); None if one is absent."""
    authority = extensions.get(AUTHORITY_KEY_IDENTIFIER, b"")
    subject = extensions.get(SUBJECT_KEY_IDENTIFIER, b"")
    try:
        inner = der.read_whole(subject, der.OCTET_STRING)
        first = der.children(authority, der.read_whole(authority))[:1]
    except der.DerError:
        return None
    if not first or first[0].tag != 0x80:
        return None
    return der.content(authority, first[0]) == der.content(subject, inner)


def _verifies_itself(data: bytes) -> bool:
    try:
        with warnings.catch_warnings():
            # What a library thinks of odd certificates is not news here.
            warnings.simplefilter("ignore")
            certificate = x509.load_der_x509_certificate(data)
            certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
