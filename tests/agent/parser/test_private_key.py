from __future__ import annotations

import base64
import hashlib
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    mldsa,
    mlkem,
    rsa,
    x448,
    x25519,
)
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from fixtures.build_fixtures import FILES

from keycensus_agent.model import EntryKind
from keycensus_agent.parser import der
from keycensus_agent.parser.legacy_pem import read_legacy_key
from keycensus_agent.parser.openssh import read_openssh_key
from keycensus_agent.parser.private_key import MalformedKeyError, read_private_key
from keycensus_agent.parser.public_key import ML_DSA_OIDS, KeyFacts, key_facts

DSA_KEY = dsa.generate_private_key(1024)  # noqa: S505 - a longer one takes seconds to make
MADE: dict[str, PrivateKeyTypes] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "dsa": DSA_KEY,
    "secp384r1": ec.generate_private_key(ec.SECP384R1()),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "brainpoolP256r1": ec.generate_private_key(ec.BrainpoolP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ed448": ed448.Ed448PrivateKey.generate(),
    "x25519": x25519.X25519PrivateKey.generate(),
    "x448": x448.X448PrivateKey.generate(),
    "ml-dsa-65": mldsa.MLDSA65PrivateKey.generate(),
}
EC_OID = "1.2.840.10045.2.1"


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_the_public_half_is_the_one_that_the_library_knows(name: str, form: PrivateFormat) -> None:
    key = MADE[name]
    if form is PrivateFormat.TraditionalOpenSSL and name not in {"rsa", "dsa", "secp384r1"}:
        form = PrivateFormat.PKCS8
    found = read_private_key(key.private_bytes(Encoding.DER, form, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert found.entry.kind is EntryKind.PRIVATE_KEY
    assert found.public == public
    assert name in {found.entry.algorithm, found.entry.curve}


def sec1(curve: str | None, *extra: bytes, scalar: bytes = b"\1" * 20) -> bytes:
    named = [der.encode(0xA0, der.encode_oid(curve))] if curve else []
    return der.encode(der.SEQUENCE, der.encode_integer(1), der.encode(4, scalar), *named, *extra)


def pkcs8(oid: str, inner: bytes, *extra: bytes, parameters: bytes = b"") -> bytes:
    algorithm = der.encode(der.SEQUENCE, der.encode_oid(oid), parameters)
    return der.encode(der.SEQUENCE, der.encode_integer(0), algorithm, der.encode(4, inner), *extra)


def test_a_curve_that_is_not_computed_is_taken_from_the_file_or_opaque() -> None:
    unknown = "1.3.132.0.8"
    point = der.encode(0xA1, der.encode_bit_string(b"\x04" + bytes(40)))
    found = read_private_key(sec1(unknown, point))
    assert (found.entry.kind.value, found.entry.curve) == ("private-key", "secp160r1")
    opaque = read_private_key(sec1(unknown))
    assert (opaque.entry.kind.value, opaque.entry.reason) == ("opaque-key", "unknown-curve")
    assert opaque.entry.algorithm == "ec"


P_256 = "1.2.840.10045.3.1.7"


def test_a_key_whose_public_point_is_anothers_is_none() -> None:
    one, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    scalar = one.private_numbers().private_value.to_bytes(32, "big")
    spki = one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for form in (PublicFormat.UncompressedPoint, PublicFormat.CompressedPoint):
        ours, theirs = (key.public_key().public_bytes(Encoding.X962, form) for key in (one, other))
        point = der.encode(0xA1, der.encode_bit_string(ours))
        assert read_private_key(sec1(P_256, point, scalar=scalar)).public == spki
        point = der.encode(0xA1, der.encode_bit_string(theirs))
        with pytest.raises(MalformedKeyError):
            read_private_key(sec1(P_256, point, scalar=scalar))


def test_a_public_point_whose_bits_are_counted_wrongly_is_overlooked() -> None:
    """As OpenSSL does; Bouncy Castle's eckey.pem says that one bit is unused."""
    key = ec.generate_private_key(ec.SECP256R1())
    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    wrong = der.encode(0xA1, der.encode(der.BIT_STRING, b"\1", point))
    assert read_private_key(sec1(P_256, wrong, scalar=scalar)).entry.bits == 256


@pytest.mark.parametrize("name", ["ed25519", "x448", "ml-dsa-65"])
def test_a_public_key_beside_the_private_one_in_any_form_must_be_its_own(name: str) -> None:
    key = MADE[name]
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    fields = [der.encoding(plain, field) for field in der.children(plain, der.read_whole(plain))]
    public = der.bit_string(spki, der.children(spki, der.read_whole(spki))[1])
    for beside in (
        der.encode(0x81, b"\0", public),
        der.encode(0xA1, der.encode(der.OCTET_STRING, public)),  # as wolfSSL writes it
        der.encode(0xA1, b"\0"),
    ):
        assert read_private_key(der.encode(der.SEQUENCE, *fields[:3], beside)).public == spki
    with pytest.raises(MalformedKeyError):
        read_private_key(der.encode(der.SEQUENCE, *fields[:3], der.encode(0x81, b"\0" * 33)))


def test_an_unknown_algorithm_is_opaque_unless_the_public_key_stands_beside_it() -> None:
    opaque = read_private_key(pkcs8("1.2.3.4", b"x")).entry
    assert (opaque.kind.value, opaque.algorithm) == ("opaque-key", "1.2.3.4")
    assert opaque.reason == "unknown-algorithm"
    beside = read_private_key(pkcs8("1.2.3.4", b"x", der.encode(0x81, b"\0public"))).entry
    assert (beside.kind.value, beside.algorithm) == ("private-key", "1.2.3.4")
    known = read_private_key(pkcs8("2.16.840.1.101.3.4.3.18", b"x")).entry
    assert (known.algorithm, known.reason) == ("ml-dsa-65", "no-public-half")


def integers(*values: int) -> bytes:
    return der.encode(der.SEQUENCE, *map(der.encode_integer, values))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30\x00",
        b"\x31\x00",
        sec1(None),
        sec1("1.2.840.10045.3.1.7", scalar=b""),
        der.encode(der.SEQUENCE, der.encode_integer(2), b"\x04\x01\x01"),
        pkcs8(EC_OID, b"\x30\x00"),
        pkcs8("1.2.840.113549.1.1.1", integers(0, 1, 2)),
        pkcs8("1.2.840.10040.4.1", b"\x02\x01\x05", parameters=integers(0, 0, 0)),
        pkcs8("1.2.840.10040.4.1", b"\x02\x01\x05"),
        integers(7, 15, 3, 3, 3, 5, 1, 1, 1),
        integers(0, 0, 3, 3, 3, 5, 1, 1, 1),
        integers(0, 16, 3, 3, 3, 5, 1, 1, 1),
        integers(0, 23, 11, 2, 3, 5),
        integers(1, 23, 11, 2, 9, 5),
    ],
)
def test_what_contradicts_itself_is_malformed_and_quotes_nothing(data: bytes) -> None:
    with pytest.raises(MalformedKeyError, match=r"^malformed-private-key$") as caught:
        read_private_key(data)
    assert caught.value.__cause__ is None


def test_primes_that_were_left_out_or_are_many_are_not_checked() -> None:
    assert read_private_key(integers(0, 15, 3, 3, 0, 0, 0, 0, 0)).entry.bits == 4
    many = der.encode(
        der.SEQUENCE, *map(der.encode_integer, (1, 105, 3, 3, 3, 5, 1, 1, 1)), integers(7, 1, 1)
    )
    assert read_private_key(many).entry.bits == 7


def test_explicit_parameters_stay_as_they_are() -> None:
    explicit = integers(1)
    point = der.encode(0xA1, der.encode_bit_string(b"\x04" + bytes(40)))
    key = pkcs8(EC_OID, sec1(None, point), parameters=explicit)
    found = read_private_key(key)
    assert explicit in found.public
    assert (found.entry.algorithm, found.entry.curve) == ("ec", "")


@pytest.mark.parametrize(
    ("spki", "facts"),
    [
        (b"", KeyFacts()),
        (pkcs8("1.2.3", b""), KeyFacts()),
        (
            der.encode(
                der.SEQUENCE,
                der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.1.3.1"), integers(0, 2)),
                der.encode_bit_string(b"y"),
            ),
            KeyFacts("dh", 0),
        ),
        (
            der.encode(
                der.SEQUENCE,
                der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.1.3.1")),
                der.encode_bit_string(b"y"),
            ),
            KeyFacts("dh", 0),
        ),
        (
            der.encode(
                der.SEQUENCE,
                der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.1.1.10")),
                der.encode_bit_string(b"no integers"),
            ),
            KeyFacts("rsa"),
        ),
    ],
)
def test_facts_of_odd_public_keys_are_what_can_be_said(spki: bytes, facts: KeyFacts) -> None:
    assert key_facts(spki) == facts


def strings(*values: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(value)) + value for value in values)


def openssh(*blobs: bytes, cipher: bytes = b"none", count: int | None = None) -> bytes:
    head = b"openssh-key-v1\0" + strings(cipher, b"none", b"")
    return head + struct.pack(">I", len(blobs) if count is None else count) + strings(*blobs, b"")


def test_every_kind_of_openssh_key_is_known_by_its_public_half() -> None:
    for name in ("rsa", "dsa", "ed25519", "secp384r1"):
        key = MADE[name].public_key()
        if name == "dsa":
            numbers = DSA_KEY.public_key().public_numbers()
            parameters = numbers.parameter_numbers
            values = (parameters.p, parameters.q, parameters.g, numbers.y)
            blob = strings(b"ssh-dss", *(value.to_bytes(300, "big") for value in values))
        else:
            line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
            blob = base64.b64decode(line.split()[1])
        (found,) = read_openssh_key(openssh(blob, cipher=b"aes256-ctr"))
        assert found.public == key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert found.entry.encrypted


def test_openssh_keys_of_other_kinds_are_opaque_or_external() -> None:
    blobs = (
        strings(b"sk-ssh-ed25519@openssh.com", b"k", b"ssh:"),
        strings(b"ssh-new"),
        strings(b"ecdsa-sha2-nistp999", b"nistp999", b"p"),
    )
    kinds = [found.entry.kind.value for found in read_openssh_key(openssh(*blobs))]
    assert kinds == ["external-key", "opaque-key", "opaque-key"]


@pytest.mark.parametrize(
    "data", [b"", b"openssh-key-v1\0", openssh(count=0), openssh(count=65), openssh(count=1)]
)
def test_an_openssh_key_that_breaks_off_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedKeyError):
        read_openssh_key(data)


@pytest.mark.parametrize(
    ("header", "ciphertext", "reason"),
    [
        (b"AES-128-CBC,00112233445566778899AABBCCDDEEFF", b"not whole", "password-needed"),
        (b"AES-128-CBC,00", bytes(16), "password-needed"),
        (b"AES-128-CBC,zz", bytes(16), "malformed-sealed-key"),
        (b"CAMELLIA-128-CBC,00", bytes(16), "unknown-encryption"),
    ],
)
def test_a_legacy_key_that_can_not_be_opened_is_sealed(
    header: bytes, ciphertext: bytes, reason: str
) -> None:
    assert read_legacy_key(header, ciphertext, ["p"]).entry.reason == reason


def test_a_wrong_password_that_looks_right_does_not_make_a_key() -> None:
    # Found by trying: the padding of this cipher text comes out under one password in 256.
    ciphertext = bytes(16)
    header = b"DES-EDE3-CBC,0011223344556677"
    passwords = [str(number) for number in range(1500)]
    assert read_legacy_key(header, ciphertext, passwords).entry.kind is EntryKind.SEALED_KEY
    assert (FILES / "legacy-encrypted.pem").exists()


def test_the_public_half_inside_an_slh_dsa_key_is_told() -> None:
    for oid, size, name in (
        ("2.16.840.1.101.3.4.3.20", 64, "slh-dsa-sha2-128s"),
        ("2.16.840.1.101.3.4.3.31", 128, "slh-dsa-shake-256f"),
        ("2.16.840.1.101.3.4.3.35", 64, "hash-slh-dsa-sha2-128s"),
    ):
        found = read_private_key(pkcs8(oid, b"\1" * (size // 2) + b"\2" * (size // 2)))
        assert (found.entry.kind, found.entry.algorithm) == (EntryKind.PRIVATE_KEY, name)
        assert found.public.endswith(b"\0" + b"\2" * (size // 2))
        named = read_private_key(pkcs8(oid, b"\1" * 10))
        assert (named.entry.kind, named.entry.reason) == (EntryKind.OPAQUE_KEY, "no-public-half")


@pytest.mark.parametrize("kind", [mldsa.MLDSA44PrivateKey, mldsa.MLDSA87PrivateKey])
def test_the_public_half_of_an_ml_dsa_key_with_seed_and_expanded_form_is_computed(
    kind: type[mldsa.MLDSA44PrivateKey | mldsa.MLDSA87PrivateKey],
) -> None:
    """As OpenSSL 3.5 and later write it unless they are told otherwise (RFC 9881, 6)."""
    key = kind.generate()
    oid = ML_DSA_OIDS["ml-dsa-44" if kind is mldsa.MLDSA44PrivateKey else "ml-dsa-87"]
    expanded = der.encode(4, bytes(4000))
    both = der.encode(der.SEQUENCE, der.encode(4, key.private_bytes_raw()), expanded)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert read_private_key(pkcs8(oid, both)).public == public
    assert read_private_key(pkcs8(oid, key.private_bytes_raw())).public == public
    for other in (expanded, der.encode(der.SEQUENCE, der.encode(4, b"short"), expanded)):
        assert read_private_key(pkcs8(oid, other)).entry.reason == "no-public-half"


@pytest.mark.parametrize(
    ("level", "expanded", "size"), [(44, 2560, 1312), (65, 4032, 1952), (87, 4896, 2592)]
)
def test_the_public_half_behind_an_expanded_ml_dsa_key_is_told_if_its_digest_fits(
    level: int, expanded: int, size: int
) -> None:
    """As wolfSSL writes it, in an OCTET STRING, and liboqs, without."""
    oid = ML_DSA_OIDS[f"ml-dsa-{level}"]
    public = bytes(range(256)) * 11
    public = public[:size]
    digest = hashlib.shake_256(public).digest(64)
    both = bytes(64) + digest + bytes(expanded - 128) + public
    for inner in (both, der.encode(4, both)):
        found = read_private_key(pkcs8(oid, inner))
        assert found.entry.kind is EntryKind.PRIVATE_KEY
        assert found.public.endswith(public)
    for inner in (both[:-1] + b"x", both[:-1], both + b"x", both[:70] + b"x" + both[71:]):
        assert read_private_key(pkcs8(oid, inner)).entry.reason == "no-public-half"


def test_the_public_half_of_an_ml_kem_key_that_is_its_seed_alone_is_computed() -> None:
    key = mlkem.MLKEM768PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    found = read_private_key(pkcs8("2.16.840.1.101.3.4.4.2", key.private_bytes_raw()))
    assert found.public == public


@pytest.mark.parametrize("oid", ["1.2.840.113549.1.3.1", "1.2.840.10046.2.1"])
def test_the_public_half_of_a_diffie_hellman_key_in_a_small_group_is_computed(oid: str) -> None:
    prime, secret = 0xFFFFFFFFFFFFFFC5, 12345
    parameters = integers(prime, 5, 7)
    found = read_private_key(pkcs8(oid, der.encode_integer(secret), parameters=parameters))
    number = der.encode_bit_string(der.encode_integer(pow(5, secret, prime)))
    algorithm = der.encode(der.SEQUENCE, der.encode_oid(oid), parameters)
    assert found.public == der.encode(der.SEQUENCE, algorithm, number)
    assert (found.entry.algorithm, found.entry.bits) == ("dh", 64)


def test_a_version_that_there_is_not_is_overlooked_where_the_numbers_agree() -> None:
    for name in ("rsa", "dsa"):
        key = MADE[name]
        plain = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        numbers = [der.integer(plain, item) for item in der.children(plain, der.read_whole(plain))]
        odd = integers(17, *numbers[1:])
        assert read_private_key(odd).public == read_private_key(plain).public
        wrong = integers(17, *(number + 1 for number in numbers[1:]))
        with pytest.raises(MalformedKeyError):
            read_private_key(wrong)
    with pytest.raises(MalformedKeyError):
        read_private_key(integers(5, 7, 3, 2, 4, 2))


@pytest.mark.parametrize("exponent", [65_537, 3])
def test_an_rsa_key_of_modulus_and_private_exponent_alone_has_its_public_half(
    exponent: int,
) -> None:
    key = rsa.generate_private_key(exponent, 2048)
    numbers = key.private_numbers()
    alone = integers(0, numbers.public_numbers.n, 0, numbers.d, 0, 0, 0, 0, 0)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert read_private_key(alone).public == public
    for secret in (numbers.d + 2, 0, numbers.public_numbers.n):
        with pytest.raises(MalformedKeyError):
            read_private_key(integers(0, numbers.public_numbers.n, 0, secret, 0, 0, 0, 0, 0))


def _expanded_ml_kem() -> tuple[bytes, bytes]:
    public = mlkem.MLKEM768PrivateKey.generate().public_key().public_bytes_raw()
    digest = hashlib.sha3_256(public).digest()
    return b"\1" * 1152 + public + digest + b"\2" * 32, public


def test_the_public_half_inside_an_expanded_ml_kem_key_is_told_if_its_digest_fits() -> None:
    expanded, public = _expanded_ml_kem()
    oid = "2.16.840.1.101.3.4.4.2"
    alone = der.encode(4, expanded)
    both = der.encode(der.SEQUENCE, der.encode(4, b"\3" * 64), alone)
    for inner in (alone, both):
        found = read_private_key(pkcs8(oid, inner))
        assert found.entry.kind is EntryKind.PRIVATE_KEY
        assert found.public.endswith(public)
    wrong = der.encode(4, expanded[:-40] + b"\4" * 40)
    assert read_private_key(pkcs8(oid, wrong)).entry.reason == "no-public-half"


@pytest.mark.parametrize(
    ("oid", "name"),
    [
        ("2.16.840.1.101.3.4.3.32", "hash-ml-dsa-44"),
        ("2.16.840.1.101.3.4.3.35", "hash-slh-dsa-sha2-128s"),
        ("2.16.840.1.101.3.4.3.46", "hash-slh-dsa-shake-256f"),
        ("1.3.6.1.5.5.7.6.37", "mldsa44-rsa2048-pss-sha256"),
        ("1.3.6.1.5.5.7.6.54", "mldsa87-ecdsa-p521-sha512"),
        ("1.3.6.1.5.5.7.6.55", "mlkem768-rsa2048-sha3-256"),
        ("1.3.6.1.5.5.7.6.66", "mlkem1024-ecdh-p521-sha3-256"),
        ("1.2.840.113549.1.9.16.3.17", "hss-lms"),
        ("1.3.6.1.5.5.7.6.34", "xmss"),
    ],
)
def test_post_quantum_algorithms_have_names(oid: str, name: str) -> None:
    key = read_private_key(pkcs8(oid, b"\1" * 40))
    assert (key.entry.algorithm, key.entry.reason) == (name, "no-public-half")
