from __future__ import annotations

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.model import Status
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import gnupg_key
from keycensus_agent.parser.private_key import read_private_key

NAMES = ("gnupg-rsa.key", "gnupg-canonical.key", "gnupg-ed25519.key")


def read(data: bytes) -> FormatResult:
    return gnupg_key.parse(data, Request())


def told(data: bytes) -> tuple[str, str, str, str]:
    (found,) = read(data).found
    return found.entry.kind.value, found.entry.algorithm, found.entry.curve, found.entry.reason


@pytest.mark.parametrize(("name", "encrypted"), list(zip(NAMES, (True, True, False), strict=True)))
def test_a_key_is_known_by_its_public_half(name: str, *, encrypted: bool) -> None:
    data = (FILES / name).read_bytes()
    assert gnupg_key.recognise(data, Hint()) is Confidence.SURE
    (found,) = read(data).found
    assert found.entry.kind.value == "private-key"
    assert found.entry.encrypted is encrypted


def test_the_identity_is_that_of_the_same_key_elsewhere() -> None:
    rsa = read_private_key((FILES / "pkcs1.der").read_bytes()).entry.artifact
    assert [read((FILES / name).read_bytes()).found[0].entry.artifact for name in NAMES[:2]] == (
        [rsa] * 2
    )


def wrapped(body: bytes, kind: bytes = b"private-key") -> bytes:
    return b"Created: 20260101T000000\nKey: (" + kind + b" " + body + b")\n"


POINT = b"(q #04" + b"11" * 64 + b"#)"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            wrapped(b'(ecc (curve "NIST P-256")' + POINT + b")"),
            ("private-key", "ec", "secp256r1", ""),
        ),
        (
            wrapped(b"(ecc (curve Curve25519)(flags djb-tweak)\n (q #40" + b"22" * 32 + b"#))"),
            ("private-key", "x25519", "", ""),
        ),
        (
            wrapped(b"(ecc (curve Ed448)(q #" + b"33" * 57 + b"#))"),
            ("private-key", "ed448", "", ""),
        ),
        (
            wrapped(b"(ecc (curve Ed25519)(q #00#))"),
            ("opaque-key", "ec", "", "no-public-half"),
        ),
        (wrapped(b"(ecc (curve GOST2001)(q #00#))"), ("opaque-key", "ec", "", "no-public-half")),
        (
            wrapped(b"(dsa (p #0B#)(q #05#)(g #04#)(y #03#)(x #02#))"),
            ("private-key", "dsa", "", ""),
        ),
        (
            wrapped(b"(elg (p #0B#)(g #02#)(y #03#))"),
            ("opaque-key", "elgamal", "", "no-public-half"),
        ),
        (wrapped(b"(new (a #0B#))"), ("opaque-key", "new", "", "unknown-algorithm")),
        (
            b"(private-key\n (oid.1.2.840.113549.1.1.1\n  (n #00C1#) (e #03#)))\n",
            ("private-key", "rsa", "", ""),
        ),
        (
            wrapped(b"(rsa (n #C1#)(e #03#)(shadowed t1-v1 (#00# x)))", b"shadowed-private-key"),
            ("external-key", "rsa", "", "smart-card"),
        ),
        (wrapped(b"(new (a b))", b"shadowed-private-key"), ("external-key", "", "", "smart-card")),
    ],
)
def test_every_algorithm_is_told(data: bytes, expected: tuple[str, str, str, str]) -> None:
    assert gnupg_key.recognise(data, Hint()) is Confidence.SURE
    assert told(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        wrapped(b"rsa"),
        wrapped(b"()"),
        wrapped(b"((rsa))"),
        wrapped(b"(rsa (n #C1#))"),
        wrapped(b"(rsa", b"private-key"),
        b"Created: x\nKey: (other (rsa))",
        b"(11:private-key(3:rsa(1:n9:x",
        b"no key here",
    ],
)
def test_what_is_damaged_says_so(data: bytes) -> None:
    assert (read(data).status, read(data).reason) == (Status.MALFORMED, "malformed-private-key")


@pytest.mark.parametrize(
    "data", [b"", b"Key: value\n", b"(11:public-key(", b"text (private-key (rsa"]
)
def test_other_text_is_no_key(data: bytes) -> None:
    assert gnupg_key.recognise(data, Hint()) is Confidence.NO
