from __future__ import annotations

import hashlib
import os
import random
import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from fixtures.build_fixtures import FILES

from keycensus_agent.parser import ciphers, der, rc2
from keycensus_agent.parser.derivation import java_halves
from keycensus_agent.parser.sealed_key import read_sealed_key
from keycensus_agent.parser.sealing import (
    IterationBudget,
    LimitError,
    UnknownSchemeError,
    open_sealed,
)

KEY = (FILES / "pkcs8.der").read_bytes()
LEGACY = ("PBE-MD5-DES", "PBE-SHA1-DES", "PBE-MD5-RC2-64", "PBE-SHA1-RC2-64")
PKCS12 = ("PBE-SHA1-RC4-128", "PBE-SHA1-RC4-40", "PBE-SHA1-3DES", "PBE-SHA1-2DES")
RC2 = ("PBE-SHA1-RC2-128", "PBE-SHA1-RC2-40")


def opened(data: bytes, *passwords: str | None) -> str:
    return read_sealed_key(data, passwords, IterationBudget()).entry.kind.value


@pytest.mark.parametrize("scheme", [*LEGACY, *PKCS12, *RC2])
def test_every_scheme_that_openssl_writes_is_opened_by_its_password_only(
    scheme: str, tmp_path: Path
) -> None:
    (tmp_path / "key.der").write_bytes(KEY)
    command = ["openssl", "pkcs8", "-topk8", "-v1", scheme, "-inform", "DER", "-in", "key.der"]
    command += ["-outform", "DER", "-passout", "pass:pässword", "-out", "out.der"]
    command += ["-provider", "legacy", "-provider", "default"]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    data = (tmp_path / "out.der").read_bytes()
    assert opened(data, "wrong", None, "") == "sealed-key"
    assert opened(data, "wrong", "pässword") == "private-key"


@pytest.mark.parametrize(
    "cipher", ["camellia-192-cbc", "seed-cbc", "rc2-cbc", "rc2-40-cbc", "des-cbc"]
)
def test_ciphers_that_are_rare_in_pbes2_are_opened_too(cipher: str, tmp_path: Path) -> None:
    (tmp_path / "key.der").write_bytes(KEY)
    command = ["openssl", "pkcs8", "-topk8", "-v2", cipher, "-inform", "DER", "-in", "key.der"]
    command += ["-outform", "DER", "-passout", "pass:p", "-out", "out.der"]
    command += ["-provider", "legacy", "-provider", "default"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    data = (tmp_path / "out.der").read_bytes()
    assert opened(data, "wrong") == "sealed-key"
    assert opened(data, "p") == "private-key"


@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des3"])
@pytest.mark.parametrize("digest", ["hmacWithSHA1", "hmacWithSHA384", "hmacWithSHA512"])
def test_pbes2_is_opened_by_its_password_only(cipher: str, digest: str, tmp_path: Path) -> None:
    (tmp_path / "key.der").write_bytes(KEY)
    command = ["openssl", "pkcs8", "-topk8", "-v2", cipher, "-v2prf", digest, "-inform", "DER"]
    command += ["-in", "key.der", "-outform", "DER", "-passout", "pass:p", "-out", "out.der"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    data = (tmp_path / "out.der").read_bytes()
    assert opened(data, "wrong") == "sealed-key"
    assert opened(data, "p") == "private-key"


def pbes2(
    derivation: bytes, cipher: str = "2.16.840.1.101.3.4.1.2", iv: bytes = bytes(16)
) -> bytes:
    encryption = der.encode(der.SEQUENCE, der.encode_oid(cipher), der.encode(4, iv))
    parameters = der.encode(der.SEQUENCE, derivation, encryption)
    return der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.1.5.13"), parameters)


def function(oid: str, *parameters: bytes) -> bytes:
    return der.encode(
        der.SEQUENCE, der.encode_oid(oid), der.encode(der.SEQUENCE, b"\x04\x01s", *parameters)
    )


def pbkdf2(iterations: int, *parameters: bytes) -> bytes:
    return function("1.2.840.113549.1.5.12", der.encode_integer(iterations), *parameters)


def scrypt(*numbers: int) -> bytes:
    return function("1.3.6.1.4.1.11591.4.11", *map(der.encode_integer, numbers))


@pytest.mark.parametrize(
    ("algorithm", "error"),
    [
        (pbes2(pbkdf2(2**31)), LimitError),
        (pbes2(pbkdf2(0)), LimitError),
        (pbes2(scrypt(2**30, 8, 1)), LimitError),
        (pbes2(scrypt(2**14, 8, 2**20)), LimitError),
        (pbes2(scrypt(0, 8, 1)), LimitError),
        (pbes2(function("1.2.3")), UnknownSchemeError),
        (pbes2(pbkdf2(1), cipher="1.2.3"), UnknownSchemeError),
        (
            pbes2(pbkdf2(1, der.encode(der.SEQUENCE, der.encode_oid("1.2.3")))),
            UnknownSchemeError,
        ),
        (der.encode(der.SEQUENCE, der.encode_oid("1.2.3"), b"\x30\x00"), UnknownSchemeError),
        (b"\x30\x00", der.DerError),
    ],
)
def test_work_without_bounds_and_unknown_schemes_are_refused_before_they_start(
    algorithm: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        open_sealed(algorithm, bytes(16), ["p"], IterationBudget(), lambda _: True)


@pytest.mark.parametrize(
    "algorithm", [pbes2(pbkdf2(1), iv=b"short"), pbes2(scrypt(3, 8, 1)), pbes2(pbkdf2(1))]
)
def test_parameters_that_fit_no_cipher_are_opened_by_no_password(algorithm: bytes) -> None:
    budget = IterationBudget()
    assert open_sealed(algorithm, bytes(15), ["p"], budget, lambda _: True) is None
    assert open_sealed(algorithm, b"", ["p"], budget, lambda _: True) is None


def test_a_cipher_that_openssl_was_built_without_is_an_unknown_scheme(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> bytes:
        raise UnsupportedAlgorithm("not built")

    monkeypatch.setattr(ciphers, "decrypt_cbc", refuse)
    with pytest.raises(UnknownSchemeError):
        open_sealed(pbes2(pbkdf2(1)), bytes(16), ["p"], IterationBudget(), lambda _: True)


def test_rc2_with_parameters_that_are_not_its_own_is_unknown() -> None:
    rc2_cbc = "1.2.840.113549.3.2"
    odd = der.encode(der.SEQUENCE, der.encode_integer(7), der.encode(4, bytes(8)))
    encryption = der.encode(der.SEQUENCE, der.encode_oid(rc2_cbc), odd)
    parameters = der.encode(der.SEQUENCE, pbkdf2(1), encryption)
    algorithm = der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.1.5.13"), parameters)
    with pytest.raises(UnknownSchemeError):
        open_sealed(algorithm, bytes(16), ["p"], IterationBudget(), lambda _: True)


def test_rc2_spends_what_a_megabyte_of_it_costs() -> None:
    parameters = der.encode(der.SEQUENCE, der.encode_integer(160), der.encode(4, bytes(8)))
    encryption = der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.3.2"), parameters)
    scheme = der.encode(der.SEQUENCE, pbkdf2(1), encryption)
    algorithm = der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.1.5.13"), scheme)
    megabyte, cost = bytes(1024 * 1024), 2 * 1024 * 1024 // 8 + 2
    with pytest.raises(LimitError):
        open_sealed(algorithm, megabyte, [""], IterationBudget(cost - 1), lambda _: True)
    open_sealed(algorithm, megabyte, [""], IterationBudget(cost), lambda _: True)


@pytest.mark.parametrize("password", ["pässword", "пароль", "\U0001f511 key"])
@pytest.mark.parametrize("scheme", ["PBE-SHA1-3DES", "PBE-SHA1-DES"])
def test_passwords_are_tried_as_old_writers_spelled_them(
    password: str, scheme: str, tmp_path: Path
) -> None:
    """OpenSSL in the C locale takes each byte of a password for a character."""
    (tmp_path / "key.der").write_bytes(KEY)
    (tmp_path / "pass").write_bytes(password.encode())
    command = ["openssl", "pkcs8", "-topk8", "-v1", scheme, "-inform", "DER", "-in", "key.der"]
    command += ["-outform", "DER", "-passout", "file:pass", "-out", "out.der"]
    command += ["-provider", "legacy", "-provider", "default"]
    for locale in ("C", "C.UTF-8"):
        environment = {**os.environ, "LC_ALL": locale}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
        assert opened((tmp_path / "out.der").read_bytes(), password) == "private-key"


def test_a_password_in_latin_1_is_tried_and_one_beyond_it_is_not() -> None:
    key = hashlib.pbkdf2_hmac("sha1", "größe".encode("latin-1"), b"s", 1, 16)
    encryptor = Cipher(AES(key), modes.CBC(bytes(16))).encryptor()
    sealed = encryptor.update(b"15 plain bytes." + b"\1") + encryptor.finalize()
    for password, plain in (("größe", b"15 plain bytes."), ("ключ", None)):
        found = open_sealed(
            pbes2(pbkdf2(1)), sealed, [password], IterationBudget(), b"15 plain bytes.".__eq__
        )
        assert (found.plain if found else None) == plain


@pytest.mark.parametrize("stated", [b"", der.encode_integer(32), der.encode_integer(7)])
def test_keys_of_old_nss_are_opened_which_took_utf_16_and_long_keys(stated: bytes) -> None:
    size = 32 if stated == der.encode_integer(32) else 16
    key = hashlib.pbkdf2_hmac("sha1", "nss".encode("utf-16-be"), b"s", 1, size)
    encryptor = Cipher(AES(key), modes.CBC(bytes(16))).encryptor()
    sealed = encryptor.update(b"15 plain bytes." + b"\1") + encryptor.finalize()
    algorithm = pbes2(pbkdf2(1, stated) if stated else pbkdf2(1))
    found = open_sealed(
        algorithm, sealed, ["", "nss"], IterationBudget(), b"15 plain bytes.".__eq__
    )
    assert found is not None


def test_spellings_of_the_standard_are_all_tried_before_the_others() -> None:
    budget = IterationBudget(4)
    passwords = ["é", "ü"]
    with pytest.raises(LimitError):
        open_sealed(pbes2(pbkdf2(1)), bytes(16), passwords, budget, lambda _: False)
    key = hashlib.pbkdf2_hmac("sha1", "ü".encode(), b"s", 1, 16)
    encryptor = Cipher(AES(key), modes.CBC(bytes(16))).encryptor()
    sealed = encryptor.update(b"15 plain bytes." + b"\1") + encryptor.finalize()
    budget = IterationBudget(2)
    assert open_sealed(pbes2(pbkdf2(1)), sealed, passwords, budget, lambda _: True)


def test_java_derives_from_each_half_of_the_salt_with_its_slip_where_they_are_equal() -> None:
    """Values of the formula, written down a second time."""
    for salt, first in ((b"abcdefgh", b"abcd"), (b"abcdabcd", b"dabd")):
        expected = b""
        for half in (first, salt[4:]):
            piece = hashlib.md5(half + b"pw").digest()  # noqa: S324 - the format's hash
            expected += hashlib.md5(piece + b"pw").digest()  # noqa: S324 - the format's hash
        assert java_halves(b"pw", salt, 2, IterationBudget()) == expected
    with pytest.raises(UnknownSchemeError):
        java_halves(b"pw", b"short", 1, IterationBudget())


def test_the_budget_is_shared_by_all_that_one_file_asks_for() -> None:
    budget = IterationBudget(100)
    budget.spend(60)
    with pytest.raises(LimitError):
        budget.spend(60)
    budget.spend(40)


@pytest.mark.parametrize(
    ("key", "bits", "plain", "cipher"),
    [
        ("0000000000000000", 63, "0000000000000000", "ebb773f993278eff"),
        ("ffffffffffffffff", 64, "ffffffffffffffff", "278b27e42e2f0d49"),
        ("3000000000000000", 64, "1000000000000001", "30649edf9be7d2c2"),
        ("88", 64, "0000000000000000", "61a8a244adacccf0"),
        ("88bca90e90875a7f0f79c384627bafb2", 128, "0000000000000000", "2269552ab0f85ca6"),
    ],
)
def test_rc2_gives_the_values_of_rfc_2268(key: str, bits: int, plain: str, cipher: str) -> None:
    got = rc2.decrypt_cbc(bytes.fromhex(key), bits, bytes(8), bytes.fromhex(cipher))
    assert got.hex() == plain


@pytest.mark.parametrize("blocks", [1, 4095, 4096, 4097, 9001])
def test_rc2_gives_what_openssl_enciphered_however_many_blocks_go_at_once(
    blocks: int, tmp_path: Path
) -> None:
    plain = random.Random(blocks).randbytes(8 * blocks)  # noqa: S311 - no secret
    (tmp_path / "plain").write_bytes(plain)
    command = ["openssl", "enc", "-rc2-40-cbc", "-K", "0123456789", "-iv", "fedcba9876543210"]
    command += ["-nopad", "-in", "plain", "-out", "sealed", "-provider", "legacy"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    iv = bytes.fromhex("fedcba9876543210")
    sealed = (tmp_path / "sealed").read_bytes()
    assert rc2.decrypt_cbc(bytes.fromhex("0123456789"), 40, iv, sealed) == plain


@pytest.mark.parametrize(("iv", "ciphertext"), [(b"", bytes(8)), (bytes(8), b"7 bytes")])
def test_rc2_refuses_what_is_not_whole_blocks(iv: bytes, ciphertext: bytes) -> None:
    with pytest.raises(ValueError, match="whole blocks"):
        rc2.decrypt_cbc(b"key", 40, iv, ciphertext)
