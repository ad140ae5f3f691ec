from __future__ import annotations

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.model import Status
from keycensus_agent.parser.findings import Confidence, Hint, Request
from keycensus_agent.parser.formats import oracle_wallet

STORE = (FILES / "cwallet.sso").read_bytes()


def test_it_is_recognised_and_locked() -> None:
    assert oracle_wallet.recognise(STORE, Hint()) is Confidence.SURE
    result = oracle_wallet.parse(STORE, Request())
    assert (result.status, result.reason) == (Status.LOCKED, "unsupported-keystore")
    assert [item.entry.kind.value for item in result.found] == ["sealed-container"]


@pytest.mark.parametrize("data", [STORE[:8], STORE[1:], STORE[:5] + b"xxxx" + STORE[9:]])
def test_a_magic_number_alone_is_no_store(data: bytes) -> None:
    assert oracle_wallet.recognise(data, Hint()) is Confidence.NO
