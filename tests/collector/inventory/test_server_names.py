"""Which configured names a certificate is not for."""

from __future__ import annotations

import pytest

from keycensus_collector.inventory.server_names import uncovered


@pytest.mark.parametrize(
    ("configured", "certified", "missing"),
    [
        (["www.example.com"], ["WWW.example.com."], []),
        (["www.example.com"], ["example.com"], ["www.example.com"]),
        (["a.example.com", "a.b.example.com"], ["*.example.com"], ["a.b.example.com"]),
        (["*.example.com"], ["*.example.com"], []),
        (["*.example.com"], ["www.example.com"], ["*.example.com"]),
        ([".example.com"], ["example.com", "*.example.com"], []),
        ([".example.com"], ["*.example.com"], [".example.com"]),
        (["_", "", "localhost", "*", "~^w(.*)$", "$hostname", "x.$domain"], [], []),
        (["intranet"], ["*.example.com"], ["intranet"]),
    ],
)
def test_names_are_matched_as_clients_do(
    configured: list[str], certified: list[str], missing: list[str]
) -> None:
    assert uncovered(configured, certified) == missing
