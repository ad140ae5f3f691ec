from __future__ import annotations

import pytest
from fixtures.build_fixtures import FILES, PASSWORD

from keycensus_agent.model import Status
from keycensus_agent.parser.findings import Confidence, Hint, Request
from keycensus_agent.parser.formats import uber

STORE = (FILES / "keystore.uber").read_bytes()


def test_it_is_recognised_and_locked_even_with_its_password() -> None:
    assert uber.recognise(STORE, Hint()) is Confidence.MAYBE
    result = uber.parse(STORE, Request(Hint(), (PASSWORD,)))
    assert (result.status, result.reason) == (Status.LOCKED, "unsupported-keystore")
    assert [item.entry.kind.value for item in result.found] == ["sealed-container"]


@pytest.mark.parametrize(
    "data",
    [
        STORE[:20],
        STORE[:-1],
        STORE[:36],
        b"\0\0\0\2" + STORE[4:],
        STORE[:7] + b"\x15" + STORE[8:],
        STORE[:28] + bytes(4) + STORE[32:],
    ],
)
def test_numbers_that_its_writer_does_not_write_are_no_store(data: bytes) -> None:
    assert uber.recognise(data, Hint()) is Confidence.NO
