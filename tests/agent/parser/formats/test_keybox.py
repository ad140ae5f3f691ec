from __future__ import annotations

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.model import Status
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import keybox

BOX = (FILES / "pubring.kbx").read_bytes()
CERTIFICATE = (FILES / "certificate.cer").read_bytes()


def read(data: bytes) -> FormatResult:
    return keybox.parse(data, Request())


def test_its_certificates_are_listed_and_openpgp_keys_are_not() -> None:
    assert keybox.recognise(BOX, Hint()) is Confidence.SURE
    result = read(BOX)
    assert [item.entry.kind.value for item in result.found] == ["certificate"] * 3
    assert CERTIFICATE in [item.public for item in result.found]
    assert result.status is Status.READ


@pytest.mark.parametrize("data", [b"", BOX[:11], BOX[:4] + b"\2" + BOX[5:], BOX[1:]])
def test_other_bytes_are_no_keybox(data: bytes) -> None:
    assert keybox.recognise(data, Hint()) is Confidence.NO


def blob(kind: int, start: int, size: int, body: bytes, *, length: int | None = None) -> bytes:
    content = bytes([kind, 1, 0, 0]) + start.to_bytes(4, "big") + size.to_bytes(4, "big") + body
    return (len(content) + 4 if length is None else length).to_bytes(4, "big") + content


GOOD = blob(3, 16, len(CERTIFICATE), CERTIFICATE)


@pytest.mark.parametrize(
    "broken",
    [
        blob(3, 16, 10_000, b""),
        blob(3, 1 << 31, 1, b""),
        blob(3, 0, 0, b"", length=0),
        blob(2, 0, 0, b"", length=10_000),
    ],
)
def test_behind_a_break_whole_certificates_are_still_found(broken: bytes) -> None:
    result = read(BOX[:32] + GOOD + broken + GOOD)
    assert (result.status, result.reason) == (Status.PARTIAL, "truncated")
    assert [item.public for item in result.found] == [CERTIFICATE] * 2
