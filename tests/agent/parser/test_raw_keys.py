from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fixtures.build_fixtures import FILES

from keycensus_agent.parser.private_key import MalformedKeyError
from keycensus_agent.parser.raw_keys import (
    RsaNumbers,
    ec_public_half,
    ec_public_key,
    raw_public_half,
    raw_public_key,
    rsa_public_half,
)

RSA = load_pem_private_key((FILES / "pkcs1.pem").read_bytes(), None)
assert isinstance(RSA, rsa.RSAPrivateKey)
NUMBERS = RSA.private_numbers()
N, E = NUMBERS.public_numbers.n, NUMBERS.public_numbers.e


def test_an_rsa_key_whose_numbers_agree_has_a_public_half() -> None:
    with_primes = rsa_public_half(RsaNumbers(N, E, 1, NUMBERS.p, NUMBERS.q))
    assert with_primes == rsa_public_half(RsaNumbers(N, E, NUMBERS.d))


@pytest.mark.parametrize(
    "numbers",
    [
        RsaNumbers(N, E),
        RsaNumbers(N, E, NUMBERS.d + 1),
        RsaNumbers(N, E, N),
        RsaNumbers(N, E, NUMBERS.d, NUMBERS.p, NUMBERS.q + 2),
        RsaNumbers(N, E, NUMBERS.d, 3, 5),
        RsaNumbers(N, 1, 1),
        RsaNumbers(N, N, 1),
        RsaNumbers(3, 2, 1),
        RsaNumbers(1 << 9000, 3, 1),
    ],
)
def test_numbers_that_contradict_each_other_are_no_key(numbers: RsaNumbers) -> None:
    with pytest.raises(MalformedKeyError):
        rsa_public_half(numbers)


def test_numbers_do_not_show_themselves() -> None:
    assert repr(RsaNumbers(1, 2, 3)) == "RsaNumbers(…)"


@pytest.mark.parametrize(
    ("curve", "scalar"),
    [("unknown", b"\1"), ("secp256r1", b""), ("secp256r1", bytes(32)), ("sect163k1", b"\1")],
)
def test_scalars_that_are_no_key_are_refused(curve: str, scalar: bytes) -> None:
    with pytest.raises(MalformedKeyError):
        ec_public_half(curve, scalar)


@pytest.mark.parametrize(
    ("algorithm", "secret"), [("unknown", b"1" * 32), ("x25519", b"1"), ("ml-dsa-44", b"1")]
)
def test_seeds_of_the_wrong_length_or_algorithm_are_refused(algorithm: str, secret: bytes) -> None:
    with pytest.raises(MalformedKeyError):
        raw_public_half(algorithm, secret)


def test_public_halves_are_checked() -> None:
    with pytest.raises(ValueError, match="unknown curve"):
        ec_public_key("sect163k1", b"\1", b"\1")
    with pytest.raises(ValueError, match="curve"):
        ec_public_key("secp256r1", b"\1", b"\1")
    with pytest.raises(ValueError, match="no key"):
        raw_public_key("x25519", b"1")
    assert raw_public_key("x448", bytes(56))
