from __future__ import annotations

import pytest
from fixtures.build_fixtures import FILES, PASSWORD

from keycensus_agent.model import Status
from keycensus_agent.parser import der
from keycensus_agent.parser.findings import Confidence, Hint, Request
from keycensus_agent.parser.formats import bcfks

STORE = (FILES / "keystore.bcfks").read_bytes()


def sealed(scheme: str, check: bytes) -> bytes:
    algorithm = der.encode(der.SEQUENCE, der.encode_oid(scheme), b"\x30\0")
    return der.encode(der.SEQUENCE, der.encode(der.SEQUENCE, algorithm, b"\x04\1x"), check)


def test_it_is_recognised_and_locked_even_with_its_password() -> None:
    assert bcfks.recognise(STORE, Hint()) is Confidence.SURE
    result = bcfks.parse(STORE, Request(Hint(), (PASSWORD,)))
    assert (result.status, result.reason) == (Status.LOCKED, "unsupported-keystore")
    assert [item.entry.kind.value for item in result.found] == ["sealed-container"]


@pytest.mark.parametrize(
    ("data", "confidence"),
    [
        (sealed("1.2.840.113549.1.5.13", b"\xa0\0"), Confidence.SURE),
        (sealed("1.2.840.113549.1.5.13", b""), Confidence.NO),
        (sealed("1.2.840.113549.1.5.13", b"\x30\0"), Confidence.NO),
        (sealed("1.2.3", b"\xa0\0"), Confidence.NO),
        ((FILES / "certificate.cer").read_bytes(), Confidence.NO),
        ((FILES / "encrypted.p8").read_bytes(), Confidence.NO),
        (b"text", Confidence.NO),
    ],
)
def test_only_its_own_structure_is_taken(data: bytes, confidence: Confidence) -> None:
    assert bcfks.recognise(data, Hint()) is confidence
