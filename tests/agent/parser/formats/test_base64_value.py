from __future__ import annotations

import base64
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.text_formats import kinds, read
from fixtures.build_fixtures import FILES, PASSWORD

from keycensus_agent.model import Status
from keycensus_agent.parser import der
from keycensus_agent.parser.formats import base64_value

CERTIFICATE = (FILES / "certificate.cer").read_bytes()
KEY = (FILES / "pkcs8.der").read_bytes()
VALUE, KEY_VALUE = base64.b64encode(CERTIFICATE), base64.b64encode(KEY)
LINES = base64.encodebytes(CERTIFICATE)


def _file(name: str) -> bytes:
    return (FILES / name).read_bytes()


@pytest.mark.parametrize(
    ("text", "member"),
    [
        (VALUE, b""),
        (b"cert: " + VALUE, b"cert"),
        (b"cert=" + VALUE + b"\nnext=1", b"cert"),
        (b'{"x5c": ["' + VALUE + b'"]}', b"x5c"),
        (b"<ds:X509Certificate>\n  " + LINES.replace(b"\n", b"\r\n  ") + b"</ds:X509Certificate>",
         b"ds:X509Certificate"),
        (b'"cert": "' + LINES.replace(b"\n", b"\\n") + b'"', b"cert"),
        (b'"cert": "\\n' + LINES.replace(b"\n", b"\\r\\n") + b'"', b""),
        (b"cert=" + LINES.replace(b"\n", b"\\\n    "), b"cert"),
        (b'String c = "' + LINES.strip().replace(b"\n", b'" +\n   "') + b'";', b"c"),
        (b"c := `" + LINES.strip().replace(b"\n", b"` +\n\t`") + b"`", b""),
        (b"|" + LINES.strip().replace(b"\n", b"\n      |") + b'\n""".trimMargin()', b""),
        (b"usercert:: " + LINES.replace(b"\n", b"\n "), b"usercert"),
        (b"a" * 90 + b"(" + VALUE + b")", b""),
    ],
)  # fmt: skip
def test_a_certificate_is_found_in_whatever_value_it_is(text: bytes, member: bytes) -> None:
    (found,) = read("base64", text).found
    assert found.public == CERTIFICATE
    assert found.entry.member == member


def folded(line: bytes) -> bytes:
    """Return a line of LDIF as OpenLDAP folds it (RFC 2849, note 2)."""
    return line[:76] + b"".join(b"\n " + line[at : at + 75] for at in range(76, len(line), 75))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_of_ldif_goes_on_behind_a_blank(end: bytes) -> None:
    for attribute, name, found in (
        (b"userSMIMECertificate;binary:: ", "haproxy.pem", 3),
        (b"userSMIMECertificate:: ", "chain.p7b", 3),
        (b"store:: ", "truststore.jks", 1),
        (b"javaSerializedData;binary:: ", "truststore.jks", 1),
    ):
        line = folded(attribute + base64.b64encode(_file(name)))
        text = (b"dn: cn=a\n" + line + b"\nsn: b\n").replace(b"\n", end)
        result = read("base64", text)
        assert len(result.found) == found
        assert result.status is Status.READ
    short = b"a:\n b: " + base64.b64encode(b"-----BEGIN X-----") + b"\n c: " + VALUE
    assert [item.entry.member for item in read("base64", short).found] == [b"c"]


def test_a_certificate_under_256_bytes_is_found() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "short")])
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 0x1234, day, day.replace(year=2027)
    )
    short = builder.sign(key, None).public_bytes(Encoding.DER)
    assert len(short) < 256
    result = read("base64", b'{"x5c": ["' + base64.b64encode(short) + b'"]}')
    assert [item.public for item in result.found] == [short]


def test_certificates_inside_an_answer_of_ocsp_are_found() -> None:
    """EncapsulatedOCSPValue of XAdES (ETSI EN 319 132-1, 5.4.2)."""
    chain = der.encode(0xA0, der.encode(der.SEQUENCE, CERTIFICATE))
    octets = der.encode(der.OCTET_STRING, der.encode(der.SEQUENCE, chain))
    answer = der.encode(der.SEQUENCE, der.encode(der.ENUMERATED, b"\0"), der.encode(0xA0, octets))
    text = b"<OCSPValue>" + base64.b64encode(answer) + b"</OCSPValue>"
    assert [item.public for item in read("base64", text).found] == [CERTIFICATE]


def test_every_key_and_store_is_found_once() -> None:
    sec1, rsa = _file("sec1.der"), _file("pkcs1.der")
    sealed, request = _file("encrypted.p8"), _file("request.p10")
    for data, kind in (
        (KEY, "private-key"),
        (sec1, "private-key"),
        (rsa, "private-key"),
        (sealed, "sealed-key"),
        (request, "csr"),
    ):
        result = read("base64", b"a: " + base64.b64encode(data) + b"\n")
        assert kinds(result) == [kind]
    chain = read("base64", b"a: " + base64.b64encode(_file("chain.p7c")))
    assert kinds(chain) == ["certificate", "certificate"]
    streamed = read("base64", b"a: " + base64.encodebytes(_file("signature.p7s")))
    assert kinds(streamed) == ["certificate", "certificate"]


@pytest.mark.parametrize("line", [76, 100])
@pytest.mark.parametrize("joint", [b'"\n    + "', b"` +\n\t`", b'" +\r\n  "', b"' .\n'", b'"\n"'])
def test_a_keystore_in_joined_string_literals_is_read(line: int, joint: bytes) -> None:
    value = base64.b64encode(_file("truststore.jks"))
    pieces = [value[at : at + line] for at in range(0, len(value), line)]
    joined = b'decode("' + joint.join(pieces) + b'");\n'
    result = read("base64", joined)
    assert (kinds(result), result.status) == (["certificate"], Status.READ)
    two = b'{"' + value + b'", "' + value + b'"}'
    assert kinds(read("base64", two)) == ["certificate"] * 2


def test_a_keystore_is_opened_or_locked() -> None:
    store = b"store: " + base64.b64encode(_file("locked.p12")) + b"\nca: " + VALUE
    locked = read("base64", store)
    assert (locked.status, locked.reason) == (Status.LOCKED, "password-needed")
    assert kinds(locked)[-1] == "certificate"
    assert kinds(read("base64", store, PASSWORD)) == ["certificate", "private-key", "certificate"]
    java = read("base64", b"k: " + base64.b64encode(_file("keystore.jks")), PASSWORD)
    assert "private-key" in kinds(java)
    assert {item.entry.member for item in java.found} == {b"server", "größe".encode()}


def test_pem_inside_is_read_and_its_damage_told() -> None:
    pem = _file("damaged.pem")
    result = read("base64", b"tls.crt: " + base64.b64encode(pem))
    assert (result.status, result.reason) == (Status.PARTIAL, "bad-base64")
    assert kinds(result) == ["certificate", "certificate"]
    wrapped = base64.encodebytes(_file("certificate.pem")[_file("certificate.pem").index(b"--") :])
    assert kinds(read("base64", b"tls.crt: |\n  " + wrapped.replace(b"\n", b"\n  "))) == [
        "certificate"
    ]


def test_values_inside_values_end_somewhere() -> None:
    inner = b"apiVersion: v1\nkey: " + KEY_VALUE
    for _ in range(2):
        inner = b"apiVersion: v1\nvalue: " + base64.b64encode(inner)
    assert kinds(read("base64", inner)) == ["private-key"]
    assert kinds(read("base64", b"apiVersion: v1\nvalue: " + base64.b64encode(inner))) == []


@pytest.mark.parametrize(
    "text",
    [
        VALUE[:-8],
        b"a" + VALUE,
        VALUE[:40] + b"!" + VALUE[41:],
        VALUE[:400] + b"\n" + VALUE[400:500],
        base64.b64encode(b"\x30\x82\x01\x10" + bytes(280)),
        base64.b64encode(_file("public.der")),
        base64.b64encode(_file("rsa-public.der")),
        base64.b64encode(CERTIFICATE[:60] + bytes(len(CERTIFICATE) - 60)),
        base64.b64encode(b"\x30\x82\x01\x10\x02\x01\x03\x30\x82\x01\x09" + bytes(280)),
        b"MIAAAAAAAAAAAAAA",
        b"LS0tLS1CRUdJ",
        b"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tDQo=",
        b"/u3+7QAA",
        b"YXBpVmVyc2lvbjog",
        b"LS0tLS1CRUdJA",
        b"/u3+7QAAA",
        KEY_VALUE[:40] + b"A" + KEY_VALUE[41:],
    ],
)
def test_what_does_not_pass_as_a_whole_is_none(text: bytes) -> None:
    result = read("base64", b"value: " + text)
    if b"/u3" not in text:
        assert (result.found, result.reason) == ((), "")
    assert "private-key" not in kinds(result)


def test_an_unknown_algorithm_is_not_taken_for_a_key() -> None:
    unknown = KEY.replace(bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0209"))
    assert unknown != KEY
    assert not read("base64", base64.b64encode(unknown)).found


def test_a_text_can_not_cost_more_than_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    text = VALUE + b"\n" + LINES
    monkeypatch.setattr(base64_value, "_WORK", -3 * len(text) + len(VALUE))
    result = read("base64", text)
    assert (len(result.found), result.reason) == (1, "limit-values")
    monkeypatch.undo()
    monkeypatch.setattr(base64_value, "_STORES", 1)
    store = base64.b64encode(_file("empty-password.p12"))
    result = read("base64", b"a: " + store + b"\nb: " + store + b"\nc: " + VALUE)
    assert kinds(result).count("private-key") == 1
    assert result.reason == "limit-values"
    java = base64.b64encode(_file("truststore.jks"))
    result = read("base64", b"a: " + java + b"\nb: " + java)
    assert (len(result.found), result.reason) == (1, "limit-values")
