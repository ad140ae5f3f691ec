"""How values are written."""

from __future__ import annotations

import pytest

from keycensus_collector.inventory.values import (
    certificate_name,
    mode_text,
    short_name,
    time_text,
)


def test_times_are_rfc_3339_in_utc() -> None:
    assert time_text(1_795_435_200_999) == "2026-11-23T12:00:00Z"
    assert time_text(-1) == "1969-12-31T23:59:59Z"
    assert time_text(253_402_300_799_000) == "9999-12-31T23:59:59Z"
    assert time_text(-62_135_596_800_000) is None
    assert time_text(None) is None


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("CN=R11,O=Let's Encrypt,C=US", "R11"),
        ("O=Let's Encrypt,C=US", "Let's Encrypt"),
        ("CN=R11\\, or so,O=X", "R11, or so"),
        ("C=DE", "C=DE"),
        ("", ""),
        ("O=x\\,CN=y,C=DE", "x,CN=y"),
    ],
)
def test_authorities_have_short_names(name: str, short: str) -> None:
    assert short_name(name) == short


def test_a_certificate_always_has_some_name() -> None:
    assert certificate_name("cn", "a\nb", "s", b"\1" * 32) == "cn"
    assert certificate_name("", "a\nb", "s", b"\1" * 32) == "a"
    assert certificate_name("", "", "s", b"\1" * 32) == "s"
    assert certificate_name("", "", "", b"\1" * 32) == "01" * 8


def test_modes_have_four_digits() -> None:
    assert mode_text(0o640) == "0640"
    assert mode_text(0o104755) == "4755"
