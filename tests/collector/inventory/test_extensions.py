from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    CertificatePoliciesOID,
    ExtendedKeyUsageOID,
    NameOID,
)
from hypothesis import given
from hypothesis import strategies as st

from keycensus_collector.inventory.extensions import extensions_of

HOSTILE = "http://x/\x1b[31m\u202e<script>"


def signed(*extensions: tuple[x509.ExtensionType, bool]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + dt.timedelta(9))
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.DER)


def key_usage(*said: str) -> x509.KeyUsage:
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: name in said for name in names})


def test_each_extension_is_told_in_words_in_its_order() -> None:
    uri = x509.UniformResourceIdentifier
    policy = x509.PolicyInformation(CertificatePoliciesOID.ANY_POLICY, ["https://cps.example"])
    access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, uri("http://ocsp.example"))
    point = x509.DistributionPoint([uri("http://crl.example/a.crl")], None, None, None)
    der = signed(
        (x509.BasicConstraints(ca=True, path_length=1), True),
        (key_usage("key_cert_sign", "crl_sign"), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectKeyIdentifier(b"\x01\xab"), False),
        (x509.AuthorityKeyIdentifier(b"\x02", None, None), False),
        (x509.CertificatePolicies([policy]), False),
        (x509.AuthorityInformationAccess([access]), False),
        (x509.CRLDistributionPoints([point]), False),
        (x509.NameConstraints([x509.DNSName("example")], [x509.DNSName("bad.example")]), True),
        (x509.OCSPNoCheck(), False),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), False),
    )
    assert [tuple(one) for one in extensions_of(der)] == [
        ("Basic constraints", True, "an authority, at most 1 below it"),
        ("Key usage", True, "key cert sign, CRL sign"),
        ("Extended key usage", False, "serverAuth"),
        ("Subject key identifier", False, "01:ab"),
        ("Authority key identifier", False, "02"),
        ("Policies", False, "2.5.29.32.0 https://cps.example"),
        ("Authority information access", False, "OCSP http://ocsp.example"),
        ("Revocation lists", False, "http://crl.example/a.crl"),
        ("Name constraints", True, "only example, not bad.example"),
        ("1.3.6.1.5.5.7.48.1.5", False, "present"),
        ("1.2.3.4", False, "2 bytes"),
    ]


def test_what_nobody_can_read_is_said_and_hostile_text_is_escaped() -> None:
    broken = signed((x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.15"), b"\xff"), True))
    assert [one.text for one in extensions_of(broken)] == ["can't be read"]
    name = x509.SubjectAlternativeName([x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))])
    assert extensions_of(signed((name, False)))[0].text == "1.2.3"
    directory = x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTILE)]))
    (told,) = extensions_of(signed((x509.SubjectAlternativeName([directory]), False)))
    assert told.text.isprintable()
    assert "\u202e" not in told.text


@given(st.binary(max_size=400))
def test_no_bytes_are_an_error(der: bytes) -> None:
    assert [one.text for one in extensions_of(der)] == ["can't be read"]
