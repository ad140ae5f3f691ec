"""No byte of a private key leaves the parser: known keys are searched for in all that it says."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fixtures.build_fixtures import FILES, FIXTURES, PASSWORD

from keycensus_agent.parser import pipe
from keycensus_agent.parser.dispatch import parse
from keycensus_agent.parser.findings import Hint

HOLDERS = [
    row.name for row in FIXTURES if row.name not in {"mentions.md", "parameters.pem", "dsa.pem"}
]


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


def test_requests_with_keys_and_passwords_do_not_show_them() -> None:
    request = pipe.ParseRequest(b"/x", b"secret bytes", ("secret password",))
    assert "secret" not in repr(request)
