"""Guessing passwords is slow, and keeps nobody out for good."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from keycensus_collector.access import logins
from keycensus_collector.access.users import add_user
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import audit
from keycensus_collector.store.tables.access import login_failure

NOW = 1_800_000_000_000
HOUR = 3_600_000


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with Store.create(f"sqlite:///{tmp_path / 'db'}") as store, store.write() as connection:
        add_user(connection, name="ann", role="viewer", now_ms=NOW, actor="operator")
        yield connection


def attempt(connection: Connection, address: str, at: int, name: str = "ann") -> logins.Attempt:
    return logins.begin(connection, name=name, address=address, now_ms=at)


def guesses_in(connection: Connection, milliseconds: int, addresses: int, name: str = "ann") -> int:
    """Count the passwords that one can try who never tires."""
    tried, now = 0, NOW
    while now < NOW + milliseconds:
        waits = []
        for number in range(addresses):
            made = attempt(connection, f"192.0.{number >> 8}.{number & 255}", now, name)
            tried += not made.wait_ms
            waits.append(made.wait_ms)
        now += max(1, min(waits))
    return tried


def test_guessing_from_one_address_is_slow(connection: Connection) -> None:
    assert guesses_in(connection, HOUR, 1) < 20


def test_guessing_one_account_from_many_addresses_is_slow(connection: Connection) -> None:
    assert guesses_in(connection, HOUR, 30) < 20 + 9 + 13


def test_guessing_many_accounts_from_one_address_is_slow(connection: Connection) -> None:
    tried = 0
    for number in range(200):
        tried += not attempt(connection, "192.0.2.1", NOW + number, f"user{number}").wait_ms
    assert tried == 20


def test_a_network_of_ipv6_is_one_address(connection: Connection) -> None:
    tried = 0
    for number in range(200):
        address = f"2001:db8::{number:x}"
        tried += not attempt(connection, address, NOW, f"user{number}").wait_ms
    assert tried == 20
    assert not attempt(connection, "2001:db8:0:1::1", NOW, "other").wait_ms


def test_an_account_that_nobody_has_waits_as_one_that_somebody_has(
    connection: Connection,
) -> None:
    waits = {
        name: [attempt(connection, address, NOW + at, name).wait_ms for at in range(40)]
        for name, address in (("ann", "192.0.2.1"), ("nobody", "192.0.2.2"))
    }
    assert waits["ann"] == waits["nobody"]


def test_who_guesses_from_elsewhere_does_not_keep_the_user_out(connection: Connection) -> None:
    home = attempt(connection, "198.51.100.7", NOW)
    logins.succeeded(connection, home, NOW)
    assert guesses_in(connection, HOUR, 30)
    later = NOW + HOUR
    assert attempt(connection, "203.0.113.9", later).wait_ms > 0
    again = attempt(connection, "198.51.100.7", later)
    assert not again.wait_ms
    assert again.familiar


def test_the_wait_ends_and_is_forgotten(connection: Connection) -> None:
    for number in range(6):
        attempt(connection, "192.0.2.1", NOW + number)
    wait = attempt(connection, "192.0.2.1", NOW + 6).wait_ms
    assert 0 < wait <= 15 * 60_000
    assert not attempt(connection, "192.0.2.1", NOW + 6 + wait).wait_ms
    assert attempt(connection, "192.0.2.1", NOW + 7 + wait).wait_ms > wait / 2
    assert not attempt(connection, "192.0.2.1", NOW + 3 * HOUR).wait_ms
    rows = connection.execute(select(login_failure.c.failures)).scalars()
    assert set(rows) == {1}


def test_a_sign_in_takes_back_what_it_counted(connection: Connection) -> None:
    for number in range(100):
        made = attempt(connection, "192.0.2.1", NOW + number)
        assert not made.wait_ms
        logins.succeeded(connection, made, NOW + number)


def test_what_was_typed_as_a_name_is_kept_for_users_only(connection: Connection) -> None:
    for name in ("ann", "my-password"):
        made = attempt(connection, "192.0.2.1", NOW, name)
        logins.failed(connection, made, address="192.0.2.1", now_ms=NOW)
    rows = connection.execute(
        select(audit.c.subject, audit.c.detail).where(audit.c.action == "session.refused")
    ).all()
    assert [row.subject for row in rows] == ["ann", ""]
    assert "my-password" not in str(rows)
    assert b"my-password" not in b"".join(
        connection.execute(select(login_failure.c.subject)).scalars()
    )
