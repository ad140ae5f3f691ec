"""No byte of a private key leaves the parser: known keys are searched for in all that it says."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fixtures.build_archives import ARCHIVES
from fixtures.build_archives import FIXTURES as ARCHIVE_FIXTURES
from fixtures.build_fixtures import FILES, FIXTURES, PASSWORD

from keycensus_agent.parser import pipe
from keycensus_agent.parser.archive.streams import BytesSource
from keycensus_agent.parser.dispatch import parse, parse_archive
from keycensus_agent.parser.findings import Hint

NOTHING = {
    "attribute.pem",
    "dbx.esl",
    "dh-parameters.pem",
    "dsa.pem",
    "known_hosts",
    "mentions.md",
    "parameters.pem",
    "question.der",
}
HOLDERS = [row.name for row in FIXTURES if row.name not in NOTHING]
# Lines of base64 that are secret in whole: what follows these words.
SECRET_LINES = {
    "ecdsa.private": b"PrivateKey: ",
    "ed25519.private": b"PrivateKey: ",
    "rsa.private": b"PrivateExponent: ",
    "wg0.conf": b"PrivateKey = ",
}
PIN = b"canary-pin-5521"


def _secrets() -> Iterator[int]:
    # The one that GnuPG made for itself: "(d #…#)", over two lines.
    private = (FILES / "gnupg-ed25519.key").read_bytes().rpartition(b"(d #")[2].partition(b"#")[0]
    yield int(b"".join(private.split()), 16)
    for name in ("sec1.pem", "pkcs1.pem", "ed25519.pem"):
        key = load_pem_private_key((FILES / name).read_bytes(), None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            yield key.private_numbers().private_value
        elif isinstance(key, rsa.RSAPrivateKey):
            numbers = key.private_numbers()
            yield from (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
        elif isinstance(key, ed25519.Ed25519PrivateKey):
            yield int.from_bytes(key.private_bytes_raw(), "big")
    # The private number of Diffie-Hellman has 160 bits there.
    for name, size in (("ed448.pem", 32), ("x25519.pem", 32), ("x448.pem", 32), ("dhx.pem", 20)):
        der = base64.b64decode((FILES / name).read_bytes().split(b"-----")[2])
        yield int.from_bytes(der[-size:], "big")
    for name, word in SECRET_LINES.items():
        (line,) = [row for row in (FILES / name).read_bytes().splitlines() if row.startswith(word)]
        yield int.from_bytes(base64.b64decode(line.removeprefix(word)), "big")
    for name in ("ml-dsa.pem", "ml-kem.pem"):
        der = base64.b64decode((FILES / name).read_bytes().split(b"-----")[2])
        yield int.from_bytes(der[22:54], "big")
    for name in ("nebula-authority.key", "nebula-host.key"):
        body = (FILES / name).read_bytes().split(b"-----")[2]
        yield int.from_bytes(base64.b64decode(body)[:32], "big")
    putty = (FILES / "putty-v2.ppk").read_bytes().split(b"Private-Lines: 1\n")[1].split()[0]
    yield int.from_bytes(base64.b64decode(putty)[4:], "big")


def _needles() -> Iterator[bytes]:
    """Every 16-byte window of each secret: raw, as base64 of each alignment, as numbers."""
    for secret in _secrets():
        raw = secret.to_bytes((secret.bit_length() + 7) // 8, "big")
        yield f"{secret:x}".encode()[:40]
        yield str(secret).encode()[:40]
        for at in range(len(raw) - 15):
            window = raw[at : at + 16]
            yield window
            yield base64.b64encode(window)[:20]
            yield window.hex().encode()
            yield window[::-1]


NEEDLES = tuple(_needles())


def _contains(haystack: bytes) -> bool:
    return any(needle in haystack for needle in NEEDLES)


def test_the_search_finds_a_key_where_there_is_one() -> None:
    assert _contains((FILES / "sec1.der").read_bytes())
    assert _contains((FILES / "pkcs1.der").read_bytes())
    assert _contains((FILES / "ed25519.pem").read_bytes().split(b"\n")[1] * 2) or _contains(
        base64.b64decode((FILES / "ed25519.pem").read_bytes().split(b"\n")[1])
    )


def test_neither_a_pin_nor_an_identity_is_in_what_the_parser_says() -> None:
    for name, secret in (
        ("nginx-pkcs11.conf", PIN),
        ("age.txt", (FILES / "age.txt").read_bytes().split(b"AGE-SECRET-KEY-1")[1][:16]),
    ):
        data = (FILES / name).read_bytes()
        assert secret in data
        answer = pipe.encode_answer(1, parse(data, Hint(name.encode()), details=True))
        assert secret not in answer
        assert secret.lower() not in answer


@pytest.mark.parametrize("name", HOLDERS)
@pytest.mark.parametrize("passwords", [[], [PASSWORD]], ids=["without", "with"])
def test_nothing_of_the_private_half_is_in_what_the_parser_says(
    name: str, passwords: list[str]
) -> None:
    data = (FILES / name).read_bytes()
    parsed = parse(data, Hint(name.encode()), passwords, details=True)
    assert parsed.entries
    assert not _contains(pipe.encode_answer(1, parsed))
    assert not _contains(repr(parsed).encode())
    assert PASSWORD.encode() not in pipe.encode_answer(1, parsed)


@pytest.mark.parametrize("name", [row.name for row in ARCHIVE_FIXTURES])
def test_nothing_of_the_private_half_is_in_what_is_said_of_an_archive(name: str) -> None:
    source = BytesSource((ARCHIVES / name).read_bytes())
    parsed = parse_archive(source, Hint(name.encode()), [PASSWORD], details=True)
    assert not _contains(pipe.encode_answer(1, parsed))
    assert not _contains(repr(parsed).encode())


def test_requests_with_keys_and_passwords_do_not_show_them() -> None:
    request = pipe.ParseRequest(b"/x", b"secret bytes", ("secret password",))
    assert "secret" not in repr(request)
