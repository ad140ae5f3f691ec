"""The checks of `doctor`: what an operator would look at, each with what to do.

Works beside the running server (through its socket) and without it. Changes nothing.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from keycensus_collector import admin
from keycensus_collector.authority import local, server_identity
from keycensus_collector.authority.authority import anchor, from_ms
from keycensus_collector.clock import Clock
from keycensus_collector.config import Address, Configuration
from keycensus_collector.deployment import authority_directory, server_directory
from keycensus_collector.doctor_database import FAIL, OK, WARN, Check, product_checks
from keycensus_collector.errors import AddressError, AuthorityError, KeycensusError
from keycensus_collector.listening import bind_tcp
from keycensus_collector.store.address import is_postgresql
from keycensus_collector.store.sqlite import database_path

_AUTHORITY_WARN = timedelta(days=180)
_SERVER_WARN = timedelta(days=15)
_QUEUE_WARN_MS = 60_000
_NAMED = 5
_CONNECT_SECONDS = 2.0


def examine(configuration: Configuration, clock: Clock) -> list[Check]:
    """Run every check."""
    now = from_ms(clock.now_ms())
    running = admin.server_runs(configuration)
    checks: tuple[Callable[[], Iterator[Check]], ...] = (
        lambda: product_checks(configuration.database_url),
        lambda: _database(configuration, clock),
        lambda: _permissions(configuration),
        lambda: _authority(configuration, now),
        lambda: _server_certificate(configuration, now),
        lambda: _ports(configuration, running=running),
    )
    return [check for run in checks for check in run()]


def _database(configuration: Configuration, clock: Clock) -> Iterator[Check]:
    try:
        numbers = admin.call(configuration, clock, "doctor", {})
    except KeycensusError as error:
        yield Check("database", FAIL, str(error))
        return
    yield Check("database", OK, f"revision {numbers['revision']}, the newest")
    yield _queue(numbers, clock.now_ms())
    yield from _identities(numbers)
    hosts = numbers["hosts"]
    told = ", ".join(f"{count} {state}" for state, count in hosts.items()) or "none yet"
    yield Check(
        "hosts", WARN if hosts.get("silent") else OK, f"{told}; see: keycensus-collector host list"
    )


def _identities(numbers: dict[str, Any]) -> Iterator[Check]:
    """Say which identities need a person, and whom a roll-over of the authority would strand."""
    cloned = numbers["cloned"]
    yield Check(
        "clones",
        WARN if cloned else OK,
        f"{_some(cloned)}: several machines use one identity; see: keycensus-collector agent show, "
        "then: keycensus-collector agent rekey"
        if cloned
        else "no identity is used by several machines",
    )
    if numbers["replaced"]:
        yield Check(
            "replaced certificates",
            WARN,
            f"used by a copy, or a restored snapshot, of {_some(numbers['replaced'])}; see: "
            "keycensus-collector agent show, then: keycensus-collector agent rekey --keep",
        )
    if numbers["may_succeed"]:
        yield Check(
            "successions",
            WARN,
            f"{numbers['may_succeed']} hosts may be earlier ones installed anew; see: "
            "keycensus-collector host list, then: keycensus-collector host succeeds OLD NEW",
        )
    for text in numbers["like_banned"]:
        yield Check(
            "bans", WARN, f"a host reports that is the {text}; ban its agent, or look at it"
        )
    if numbers["next_authority"]:
        told = numbers["not_told"]
        yield Check(
            "next authority",
            WARN if told else OK,
            f"not yet told: {_some(told)}; they report by themselves, then: keycensus-collector ca "
            "activate"
            if told
            else "every agent trusts it; go on with: keycensus-collector ca activate",
        )
    if numbers["past_authority"]:
        left = numbers["with_old_certificate"]
        yield Check(
            "past authority",
            OK,
            f"still used by {_some(left)}; they renew by themselves"
            if left
            else "used by nobody any more; go on with: keycensus-collector ca retire",
        )


def _some(names: list[str]) -> str:
    """Name the first of many."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _queue(numbers: dict[str, Any], now_ms: int) -> Check:
    waiting, oldest = numbers["queue"], numbers["oldest_queued_ms"]
    if oldest is not None and now_ms - oldest > _QUEUE_WARN_MS:
        seconds = (now_ms - oldest) // 1000
        return Check("queue", WARN, f"{waiting} waiting, the oldest for {seconds} s; is serve up?")
    return Check("queue", OK, f"{waiting} waiting")


def _permissions(configuration: Configuration) -> Iterator[Check]:
    url = configuration.database_url
    secret = (
        *(() if is_postgresql(url) else (database_path(url),)),
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
