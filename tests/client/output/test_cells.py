"""What stands in a cell."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keycensus_client.output.cells import ago, day, duration, expires_in, key_type, urgency

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("not_after", "text", "style"),
    [
        ("2026-11-23T12:00:30Z", "0 min", "yellow"),
        ("2026-11-23T17:59:59Z", "5 h", "yellow"),
        ("2026-12-22T12:00:00Z", "29 d", "yellow"),
        ("2026-12-24T12:00:00Z", "31 d", ""),
        ("2036-11-23T12:00:00Z", "10.0 y", ""),
        ("2026-11-20T11:00:00Z", "expired 3 d ago", "red"),
        (None, "unknown", "yellow"),
        ("soon", "unknown", "yellow"),
    ],
)
def test_an_end_is_told_as_time_left(not_after: str | None, text: str, style: str) -> None:
    assert expires_in(not_after, NOW) == text
    assert urgency(not_after, NOW) == style


def test_times_in_words() -> None:
    assert ago("2026-11-23T11:55:00Z", NOW) == "5 min ago"
    assert ago(None, NOW) == "never"
    assert duration(2 * 31_536_000) == "2.0 y"
    assert (day("2026-11-23T11:55:00Z"), day(None)) == ("2026-11-23", "-")


def test_keys_in_words() -> None:
    assert key_type("rsa", 2048, "") == "rsa 2048"
    assert key_type("ec", 256, "secp256r1") == "ec 256"
    assert key_type("ec", 256, "brainpoolP256r1") == "ec brainpoolP256r1"
    assert key_type("ed25519", 256, "") == "ed25519"
    assert key_type("", 0, "") == ""
