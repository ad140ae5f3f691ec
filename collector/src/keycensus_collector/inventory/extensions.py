"""What a certificate says in its extensions, in words, for who looks at one.

Pure, on hostile bytes: read anew each time, from the certificate as it was found. Values are escaped and cut. Sources: RFC 5280
section 4.2, RFC 6960 (OCSP), RFC 6962 (SCTs), RFC 7633 (features).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID as Access

from keycensus_collector.catalogue.algorithms import KEY_PURPOSES
from keycensus_collector.text import safe_text

_SHOWN = 64
_CHARACTERS = 2000
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_ACCESS = {Access.OCSP: "OCSP", Access.CA_ISSUERS: "issuer"}
_UNREADABLE = (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


class Extension(NamedTuple):
    """One extension; `text` is escaped."""

    name: str
    critical: bool
    text: str


def extensions_of(der: bytes) -> tuple[Extension, ...]:
    """Return the extensions of a certificate in its order; one that says so if they can't be read."""
    try:
        found = list(x509.load_der_x509_certificate(der).extensions)
    except _UNREADABLE:
        return (Extension("Extensions", critical=False, text="can't be read"),)
    return tuple(_told(one) for one in found[:_SHOWN])


def _told(extension: x509.Extension[Any]) -> Extension:
    value = extension.value
    name, words = _KNOWN.get(type(value), (extension.oid.dotted_string, _unknown))
    text = ", ".join(words(value)) or "present"
    return Extension(safe_text(name), extension.critical, safe_text(text)[:_CHARACTERS])


def _unknown(value: x509.ExtensionType) -> Iterable[str]:
    return [f"{len(value.value):,} bytes"] if isinstance(value, x509.UnrecognizedExtension) else []


def _key_usage(value: x509.KeyUsage) -> Iterable[str]:
    names = [name for name in _USAGES if getattr(value, name)]
    if value.key_agreement:
        names += [name for name in ("encipher_only", "decipher_only") if getattr(value, name)]
    return [name.replace("_", " ").replace("crl", "CRL") for name in names]


def _constraints(value: x509.BasicConstraints) -> Iterable[str]:
    if not value.ca:
        return ["no authority"]
    length = value.path_length
    return ["an authority", "any depth" if length is None else f"at most {length} below it"]


def _general(names: Iterable[x509.GeneralName]) -> Iterable[str]:
    for name in names:
        match name.value:
            case x509.Name() as value:
                yield value.rfc4514_string()
            case x509.ObjectIdentifier() as value:
                yield value.dotted_string
            case value:
                yield str(value)


def _authority_key(value: x509.AuthorityKeyIdentifier) -> Iterable[str]:
    if value.key_identifier:
        yield _spaced(value.key_identifier)
    yield from _general(value.authority_cert_issuer or ())
    if value.authority_cert_serial_number is not None:
        yield f"serial {value.authority_cert_serial_number:x}"


def _policies(value: x509.CertificatePolicies) -> Iterable[str]:
    for policy in value:
        said = [one for one in policy.policy_qualifiers or () if isinstance(one, str)]
        yield " ".join((policy.policy_identifier.dotted_string, *said))


def _points(value: x509.CRLDistributionPoints | x509.FreshestCRL) -> Iterable[str]:
    for point in value:
        yield from _general(point.full_name or ())


def _access(value: x509.AuthorityInformationAccess) -> Iterable[str]:
    for one in value:
        kind = _ACCESS.get(one.access_method, one.access_method.dotted_string)
        for name in _general([one.access_location]):
            yield f"{kind} {name}"


def _name_constraints(value: x509.NameConstraints) -> Iterable[str]:
    for word, names in (("only", value.permitted_subtrees), ("not", value.excluded_subtrees)):
        for name in _general(names or ()):
            yield f"{word} {name}"


def _purposes(value: x509.ExtendedKeyUsage) -> Iterable[str]:
    return [KEY_PURPOSES.get(oid.dotted_string, oid.dotted_string) for oid in value]


def _timestamps(value: x509.PrecertificateSignedCertificateTimestamps) -> Iterable[str]:
    return [f"{one.timestamp:%Y-%m-%d %H:%M} by {_spaced(one.log_id[:8])}…" for one in value]


def _spaced(octets: bytes) -> str:
    return octets.hex(":")


_Words = Callable[[Any], Iterable[str]]
_KNOWN: dict[type, tuple[str, _Words]] = {
    x509.KeyUsage: ("Key usage", _key_usage),
    x509.ExtendedKeyUsage: ("Extended key usage", _purposes),
    x509.BasicConstraints: ("Basic constraints", _constraints),
    x509.SubjectKeyIdentifier: ("Subject key identifier", lambda value: [_spaced(value.digest)]),
    x509.AuthorityKeyIdentifier: ("Authority key identifier", _authority_key),
    x509.SubjectAlternativeName: ("Subject alternative names", _general),
    x509.IssuerAlternativeName: ("Issuer alternative names", _general),
    x509.CertificatePolicies: ("Policies", _policies),
    x509.CRLDistributionPoints: ("Revocation lists", _points),
    x509.FreshestCRL: ("Latest changes of revocation lists", _points),
    x509.AuthorityInformationAccess: ("Authority information access", _access),
    x509.NameConstraints: ("Name constraints", _name_constraints),
    x509.PrecertificateSignedCertificateTimestamps: ("Logged (SCTs)", _timestamps),
    x509.TLSFeature: ("TLS features", lambda value: [one.name for one in value]),
}
