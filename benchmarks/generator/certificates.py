"""Real certificates by the hundred thousand: patched into templates, signed with Ed25519. From a seed alone.

What the catalogue would read of one is known without reading it: the template's facts with what was
patched. A test holds both together.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keycensus_collector.catalogue.facts import CertificateFacts
from keycensus_collector.catalogue.names import NameFact
from keycensus_collector.catalogue.parse import parse_certificate

# Names are all as long as this one, so that they can be patched.
_NAME = "www.site0000000.example.com"
_SERIAL = bytes.fromhex("5a" + "c3" * 15)
_BEGIN, _END = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC), datetime(2022, 4, 5, 6, 7, 8, tzinfo=UTC)
_SIGNATURE_BYTES = 64


def seeded(*parts: object) -> bytes:
    """Return 32 bytes that depend on these alone."""
    return hashlib.sha256(repr(parts).encode()).digest()


def modulus(bits: int, *parts: object) -> bytes:
    """Return what looks like the modulus of an RSA key: odd, and of this length."""
    raw = bytearray(hashlib.shake_128(repr(parts).encode()).digest(bits // 8))
    raw[0] |= 0x80
    raw[-1] |= 1
    return bytes(raw)


def own_key(*parts: object) -> Ed25519PrivateKey:
    """Return the key of who issues itself."""
    return Ed25519PrivateKey.from_private_bytes(seeded("own", *parts))


@cache
def _spki_frame(bits: int) -> tuple[bytes, bytes]:
    """Return what stands before and after the number in the public key of such a key; 0 bits: Ed25519."""
    number, public = _public(bits)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    before, after = der.split(number)
    return before, after


def _public(bits: int) -> tuple[bytes, RSAPublicKey | Ed25519PublicKey]:
    if bits == 0:
        key = own_key("frame").public_key()
        return key.public_bytes_raw(), key
    number = modulus(bits, "frame")
    return number, RSAPublicNumbers(65537, int.from_bytes(number)).public_key()


def spki(bits: int, number: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of an RSA key of so many bits, or of an Ed25519 key (0 bits)."""
    before, after = _spki_frame(bits)
    return before + number + after


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority with its certificate."""

    name: str
    key: Ed25519PrivateKey
    der: bytes


@cache
def authority(name: str, issuer: str = "") -> Authority:
    """Return an authority, self-signed unless another one issues it."""
    key = Ed25519PrivateKey.from_private_bytes(seeded("authority", name))
    above = authority(issuer) if issuer else None
    issuer_name = _dn(issuer or name, "Example Trust")
    made = (
        x509.CertificateBuilder()
        .subject_name(_dn(name, "Example Trust"))
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(seeded("serial", name)[:15]))
        .not_valid_before(_BEGIN)
        .not_valid_after(_BEGIN + timedelta(days=7300))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(above.key if above else key, None)
    )
    return Authority(name, key, made.public_bytes(Encoding.DER))


def _dn(name: str, organisation: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organisation:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One certificate with what the catalogue reads of it."""

    der: bytes
    sha256: bytes
    facts: CertificateFacts


@dataclass(frozen=True, slots=True)
class _Template:
    pieces: tuple[bytes, ...]  # what stands between what is patched
    holes: tuple[str, ...]
    facts: CertificateFacts
    subject: bytes  # DER of the subject
    # TBS and signature: what stands before and after them.
    tbs_at: int
    tbs_ends: int


@cache
def _template(issuer: str, bits: int) -> _Template:
    number, public = _public(bits)
    above = authority(issuer, "Example Root") if issuer else None
    subject = _dn(_NAME)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_dn(issuer, "Example Trust") if above else subject)
        .public_key(public)
        .serial_number(int.from_bytes(_SERIAL))
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(_signer(issuer) if issuer else own_key("frame"), None)
    )
    der = made.public_bytes(Encoding.DER)
    marks = {
        _SERIAL: "serial",
        _NAME.encode(): "name",
        b"%s" % _BEGIN.strftime("%y%m%d%H%M%SZ").encode(): "begin",
        b"%s" % _END.strftime("%y%m%d%H%M%SZ").encode(): "end",
        number: "modulus",
        made.signature: "signature",
    }
    places = sorted((at, mark) for mark in marks for at in _all(der, mark))
    pieces, holes, done = [], [], 0
    for at, mark in places:
        pieces.append(der[done:at])
        holes.append(marks[mark])
        done = at + len(mark)
    pieces.append(der[done:])
    tbs_at = der.index(made.tbs_certificate_bytes)
    return _Template(
        tuple(pieces),
        tuple(holes),
        parse_certificate(der),
        subject.public_bytes(),
        tbs_at,
        tbs_at + len(made.tbs_certificate_bytes),
    )


@cache
def _signer(issuer: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seeded("authority", issuer))


def _all(data: bytes, part: bytes) -> list[int]:
    found, at = [], data.find(part)
    while at >= 0:
        found.append(at)
        at = data.find(part, at + 1)
    return found


def site_name(number: int) -> str:
    """Return the name of a site, which is as long as all others."""
    return f"www.site{number:07d}.example.com"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key of a site: of RSA nobody has the private half, so only an Ed25519 one (`own`) can sign."""

    bits: int
    number: bytes
    own: Ed25519PrivateKey | None = None

    @property
    def spki(self) -> bytes:
        """The public key."""
        return spki(self.bits, self.number)

    @property
    def key_id(self) -> bytes:
        """Its identity: these keys are in their canonical form."""
        return hashlib.sha256(self.spki).digest()


def rsa_key(bits: int, *parts: object) -> KeyPair:
    """Return an RSA key."""
    return KeyPair(bits, modulus(bits, *parts))


def signing_key(*parts: object) -> KeyPair:
    """Return an Ed25519 key."""
    key = own_key(*parts)
    return KeyPair(0, key.public_key().public_bytes_raw(), key)


def issue(
    name: str, *, issuer: str, key: KeyPair, serial: bytes, begin_ms: int, end_ms: int
) -> Leaf:
    """Issue a certificate for a site; by its own key without an issuer. Times are whole seconds."""
    template = _template(issuer, key.bits)
    signer = key.own if not issuer and key.own else _signer(issuer)
    serial = b"\x5a" + serial[:15]
    patches = {
        "serial": serial,
        "name": name.encode(),
        "begin": _utc(begin_ms),
        "end": _utc(end_ms),
        "modulus": key.number,
        "signature": bytes(_SIGNATURE_BYTES),
    }
    parts = [template.pieces[0]]
    for hole, piece in zip(template.holes, template.pieces[1:], strict=True):
        parts += (patches[hole], piece)
    der = b"".join(parts)
    signature = signer.sign(der[template.tbs_at : template.tbs_ends])
    der = der[:-_SIGNATURE_BYTES] + signature
    subject = template.subject.replace(_NAME.encode(), name.encode())
    subject_hash = hashlib.sha256(subject).digest()
    before = template.facts
    facts = replace(
        before,
        key=replace(before.key, key_id=key.key_id),
        subject=before.subject.replace(_NAME, name),
        subject_der_hash=subject_hash,
        common_name=name,
        issuer=before.issuer.replace(_NAME, name),
        issuer_der_hash=before.issuer_der_hash if issuer else subject_hash,
        serial=serial.hex(),
        not_before_ms=begin_ms,
        not_after_ms=end_ms,
        names=(NameFact("dns", name),),
    )
    return Leaf(der, hashlib.sha256(der).digest(), facts)


@cache
def _utc(at_ms: int) -> bytes:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%y%m%d%H%M%SZ").encode()


@cache
def authority_facts(name: str, issuer: str = "") -> Leaf:
    """Return an authority's certificate as a leaf's."""
    der = authority(name, issuer).der
    return Leaf(der, hashlib.sha256(der).digest(), parse_certificate(der))
