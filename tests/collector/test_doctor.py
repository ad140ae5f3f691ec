"""Doctor beside a server, without one, and on machines where something is wrong."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from fakes.ports import configuration_in, join, running_server
from sqlalchemy import insert, update

from keycensus_collector.clock import FixedClock, SystemClock
from keycensus_collector.config import Address, Configuration
from keycensus_collector.deployment import set_up
from keycensus_collector.doctor import examine
from keycensus_collector.doctor_database import Check, product_checks
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import host, work

DAY = 86_400


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    configuration = configuration_in(tmp_path / "state")
    set_up(configuration, "test", None, SystemClock())
    return configuration


def checks_of(configuration: Configuration, clock: FixedClock | SystemClock) -> dict[str, Check]:
    return {check.name: check for check in examine(configuration, clock)}


def listening_on(configuration: Configuration, port: int) -> Configuration:
    enrol = Address("127.0.0.1", port)
    return replace(configuration, listen=replace(configuration.listen, enrol=enrol))


async def test_beside_a_server_its_ports_answer(tmp_path: Path) -> None:
    async with running_server(tmp_path / "state") as running:
        listen = replace(
            running.configuration.listen,
            enrol=running.bound.enrol,
            report=running.bound.report,
            web=running.bound.web,
        )
        configuration = replace(running.configuration, listen=listen)
        checks = await asyncio.to_thread(checks_of, configuration, SystemClock())
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        dead = await asyncio.to_thread(
            checks_of, listening_on(running.configuration, port), SystemClock()
        )
    for key in ("listen.enrol", "listen.report", "listen.web"):
        assert (checks[key].state, checks[key].text.endswith("answers")) == ("ok", True)
    assert checks["server certificate"].state == "ok"
    assert dead["listen.enrol"].state == "fail"
    assert "does not answer: Connection refused" in dead["listen.enrol"].text


def test_without_a_server_ports_are_free_or_taken(configuration: Configuration) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = checks_of(listening_on(configuration, port), SystemClock())["listen.enrol"]
    free = checks_of(listening_on(configuration, port), SystemClock())["listen.enrol"]
    assert taken.state == "fail"
    assert "another program listens there" in taken.text
    assert free.state == "ok"


def test_a_queue_that_stands_still_is_told(configuration: Configuration) -> None:
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    with Store.open(configuration.database_url) as store, store.write() as connection:
        row = {"kind": "blob", "subject": b"", "number": 0, "queued_ms": now_ms - 300_000}
        connection.execute(insert(work), [row] * 3)
    check = checks_of(configuration, FixedClock(now_ms))["queue"]
    assert (check.state, check.text) == (
        "warn",
        "3 waiting, the oldest for 300 s; is serve up?",
    )


async def test_silent_hosts_are_told(tmp_path: Path) -> None:
    async with running_server(tmp_path / "state") as running:
        await join(running)
        await join(running)
    with Store.open(running.configuration.database_url) as store, store.write() as connection:
        connection.execute(update(host).where(host.c.host_no == 1).values(state="silent"))
    check = checks_of(running.configuration, SystemClock())["hosts"]
    assert check.state == "warn"
    assert check.text.startswith("1 active, 1 silent")


def test_certificates_that_end_soon_are_told(configuration: Configuration) -> None:
    clock = FixedClock(int(datetime.now(UTC).timestamp() * 1000))
    clock.advance(3500 * DAY)
    authority = checks_of(configuration, clock)["authority"]
    assert authority.state == "warn"
    assert "plan its successor now" in authority.text
    clock.advance(300 * DAY)
    assert checks_of(configuration, clock)["authority"].state == "fail"


def test_a_damaged_server_certificate_is_told_and_healed_by_serve(
    configuration: Configuration,
) -> None:
    file = configuration.state_directory / "server" / "chain.pem"
    file.parent.mkdir()
    file.write_bytes(b"damaged")
    check = checks_of(configuration, SystemClock())["server certificate"]
    assert check.state == "warn"
    assert "serve issues a new one" in check.text


@pytest.mark.parametrize(("free", "state"), [(10**6, "fail"), (10**8, "warn"), (10**11, "ok")])
def test_a_disk_that_fills_up_is_told(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage(10**12, 0, free))
    assert checks_of(configuration, SystemClock())["disk"].state == state


def test_a_log_that_somebody_keeps_from_being_cut_is_told(configuration: Configuration) -> None:
    log = configuration.state_directory / "keycensus.db-wal"
    for mebibytes, state in ((10, "ok"), (300, "warn")):
        with log.open("wb") as file:
            file.truncate(mebibytes * 1024 * 1024)
        check = {each.name: each for each in product_checks(configuration.database_url)}[
            "database log"
        ]
        assert (check.state, f"{mebibytes} MiB" in check.text) == (state, True)


def test_a_sqlite_without_the_fix_is_told(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
    assert checks_of(configuration, SystemClock())["sqlite"].state == "warn"
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    assert checks_of(configuration, SystemClock())["sqlite"].state == "ok"


def test_a_state_directory_that_is_missing_fails_where_it_matters(tmp_path: Path) -> None:
    checks = checks_of(configuration_in(tmp_path / "missing"), SystemClock())
    failed = {name for name, check in checks.items() if check.state == "fail"}
    assert failed == {"database", "disk", "authority"}
    assert not os.path.exists(tmp_path / "missing")  # noqa: PTH110 - nothing was made
