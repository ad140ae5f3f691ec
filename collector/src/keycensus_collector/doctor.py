"""The checks of `doctor`: what an operator would look at, each with what to do.

Works beside the running server (through its socket) and without it. Changes nothing.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from sqlalchemy.engine import make_url

from keycensus_collector import admin
from keycensus_collector.authority import local, server_identity
from keycensus_collector.authority.authority import anchor, from_ms
from keycensus_collector.clock import Clock
from keycensus_collector.config import Address, Configuration
from keycensus_collector.deployment import authority_directory, server_directory
from keycensus_collector.errors import AddressError, AuthorityError, KeycensusError
from keycensus_collector.listening import bind_tcp
from keycensus_collector.store.sqlite import FIXED_VERSION, database_path

OK, WARN, FAIL = "ok", "warn", "fail"

_DISK_FAIL_BYTES = 64 * 1024 * 1024
_DISK_WARN_BYTES = 1024 * 1024 * 1024
# The log is cut to 64 MiB when nobody reads from before it; four times that is somebody who does.
_LOG_WARN_BYTES = 256 * 1024 * 1024
_AUTHORITY_WARN = timedelta(days=180)
_SERVER_WARN = timedelta(days=15)
_QUEUE_WARN_MS = 60_000
_CONNECT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: "ok", "warn" or "fail", and a text that says what to do."""

    name: str
    state: str
    text: str


def examine(configuration: Configuration, clock: Clock) -> list[Check]:
    """Run every check."""
    now = from_ms(clock.now_ms())
    running = admin.server_runs(configuration)
    checks: tuple[Callable[[], Iterator[Check]], ...] = (
        _sqlite_version,
        lambda: _database(configuration, clock),
        lambda: _disk(configuration),
        lambda: _log_size(configuration),
        lambda: _permissions(configuration),
        lambda: _authority(configuration, now),
        lambda: _server_certificate(configuration, now),
        lambda: _ports(configuration, running=running),
    )
    return [check for run in checks for check in run()]


def _sqlite_version() -> Iterator[Check]:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < FIXED_VERSION:
        fixed = ".".join(map(str, FIXED_VERSION))
        yield Check(
            "sqlite",
            WARN,
            f"version {version}; before {fixed} two connections that write at once could damage a "
            "database. This program writes with one, so: let no other program open the file",
        )
    else:
        yield Check("sqlite", OK, f"version {version}")


def _database(configuration: Configuration, clock: Clock) -> Iterator[Check]:
    try:
        numbers = admin.call(configuration, clock, "doctor", {})
    except KeycensusError as error:
        yield Check("database", FAIL, str(error))
        return
    yield Check("database", OK, f"revision {numbers['revision']}, the newest")
    yield _queue(numbers, clock.now_ms())
    hosts = numbers["hosts"]
    told = ", ".join(f"{count} {state}" for state, count in hosts.items()) or "none yet"
    yield Check(
        "hosts", WARN if hosts.get("silent") else OK, f"{told}; see: keycensus-collector host list"
    )


def _queue(numbers: dict[str, Any], now_ms: int) -> Check:
    waiting, oldest = numbers["queue"], numbers["oldest_queued_ms"]
    if oldest is not None and now_ms - oldest > _QUEUE_WARN_MS:
        seconds = (now_ms - oldest) // 1000
        return Check("queue", WARN, f"{waiting} waiting, the oldest for {seconds} s; is serve up?")
    return Check("queue", OK, f"{waiting} waiting")


def _disk(configuration: Configuration) -> Iterator[Check]:
    directory = database_path(make_url(configuration.database_url)).parent
    try:
        free = shutil.disk_usage(directory).free
    except OSError as error:
        yield Check("disk", FAIL, f"{directory}: {error.strerror}")
        return
    state = FAIL if free < _DISK_FAIL_BYTES else WARN if free < _DISK_WARN_BYTES else OK
    yield Check("disk", state, f"{free // (1024 * 1024)} MiB free in {directory}")


def _log_size(configuration: Configuration) -> Iterator[Check]:
    path = database_path(make_url(configuration.database_url))
    log = path.with_name(path.name + "-wal")
    size = log.stat().st_size if log.exists() else 0
    if size > _LOG_WARN_BYTES:
        yield Check(
            "database log",
            WARN,
            f"{log} has {size // (1024 * 1024)} MiB: another program has been reading the database "
            f"for long, so the log can't be cut. Find it and end it: fuser -v {path}",
        )
    else:
        yield Check("database log", OK, f"{size // (1024 * 1024)} MiB")


def _permissions(configuration: Configuration) -> Iterator[Check]:
    secret = (
        database_path(make_url(configuration.database_url)),
        authority_directory(configuration) / local.KEY_FILE,
        server_directory(configuration) / server_identity.KEY_FILE,
    )
    wrong = [f"{path} ({mode:04o}): chmod 600 {path}" for path, mode in _open_to_others(secret)]
    yield Check("permissions", FAIL if wrong else OK, "; ".join(wrong) or "secrets are ours alone")


def _open_to_others(paths: tuple[Path, ...]) -> Iterator[tuple[Path, int]]:
    for path in paths:
        try:
            mode = stat.S_IMODE(os.stat(path).st_mode)  # noqa: PTH116 - follows links like open
        except OSError:
            continue  # what is missing is told by its own check
        if mode & 0o077:
            yield path, mode


def _authority(configuration: Configuration, now: datetime) -> Iterator[Check]:
    try:
        authority = local.load(authority_directory(configuration), now)
    except AuthorityError as error:
        yield Check("authority", FAIL, str(error))
        return
    end = min(certificate.not_valid_after_utc for certificate in authority.chain)
    name = anchor(authority).subject.rfc4514_string()
    if end - now < _AUTHORITY_WARN:
        yield Check("authority", WARN, f"{name} ends on {end:%Y-%m-%d}; plan its successor now")
    else:
        yield Check("authority", OK, f"{name}, valid until {end:%Y-%m-%d}")


def _server_certificate(configuration: Configuration, now: datetime) -> Iterator[Check]:
    file = server_directory(configuration) / server_identity.CHAIN_FILE
    try:
        end = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except FileNotFoundError:
        yield Check("server certificate", OK, "none yet; serve issues one")
        return
    except (OSError, ValueError) as error:
        yield Check("server certificate", WARN, f"{file}: {error}; serve issues a new one")
        return
    state = WARN if end - now < _SERVER_WARN else OK
    yield Check(
        "server certificate", state, f"valid until {end:%Y-%m-%d}; serve renews it by itself"
    )


def _ports(configuration: Configuration, *, running: bool) -> Iterator[Check]:
    listen = configuration.listen
    for key, address in (
        ("listen.enrol", listen.enrol),
        ("listen.report", listen.report),
        ("listen.web", listen.web),
    ):
        if address.port == 0:
            continue
        yield _reached(key, address) if running else _free(key, address)


def _reached(key: str, address: Address) -> Check:
    try:
        socket.create_connection(
            (address.host or "localhost", address.port), _CONNECT_SECONDS
        ).close()
    except OSError as error:
        return Check(key, FAIL, f"{address} does not answer: {error.strerror or error}")
    return Check(key, OK, f"{address} answers")


def _free(key: str, address: Address) -> Check:
    try:
        bind_tcp(address, key).close()
    except AddressError as error:
        return Check(key, FAIL, str(error))
    return Check(key, OK, f"{address} is free; serve is not running")
