"""What `doctor` looks at that is particular to one database product."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keycensus_collector.errors import StoreError
from keycensus_collector.store.address import is_postgresql
from keycensus_collector.store.sqlite import FIXED_VERSION, database_path

OK, WARN, FAIL = "ok", "warn", "fail"

_DISK_FAIL_BYTES = 64 * 1024 * 1024
_DISK_WARN_BYTES = 1024 * 1024 * 1024
# The log is cut to 64 MiB when nobody reads from before it; four times that is somebody who does.
_LOG_WARN_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: "ok", "warn" or "fail", and a text that says what to do."""

    name: str
    state: str
    text: str


def product_checks(url: str) -> Iterator[Check]:
    """Look at the product below the database at `url`."""
    if is_postgresql(url):
        yield from _postgresql(url)
        return
    yield from _sqlite_version()
    yield from _disk(database_path(url))
    yield from _log_size(database_path(url))


def _postgresql(url: str) -> Iterator[Check]:
    # Here, because its driver takes as long to load as a command does to run.
    from keycensus_collector.store.postgresql import server_facts

    try:
        facts = server_facts(url)
    except StoreError as error:
        yield Check("postgresql", FAIL, str(error))
        return
    yield Check("postgresql", OK, f"version {facts.version}, {facts.megabytes} MiB of data")
    yield Check(
        "database role",
        WARN if facts.is_superuser else OK,
        "a superuser; a role that owns this database and nothing else is enough"
        if facts.is_superuser
        else "no more than it needs",
    )
    yield Check(
        "database encryption",
        OK if facts.is_private else WARN,
        "TLS, or the same machine"
        if facts.is_private
        else "none on the network: what hosts report can be read on its way; set sslmode=verify-full",
    )
    yield Check(
        "trigram indexes",
        OK if facts.has_trigrams else WARN,
        "searches for a part of a name are indexed"
        if facts.has_trigrams
        else "none, so searches for a part of a name read all rows; as a superuser: CREATE EXTENSION "
        "pg_trgm, then: keycensus-collector db upgrade",
    )
    yield Check(
        "durability",
        OK if facts.is_durable else FAIL,
        "a commit waits for the disk"
        if facts.is_durable
        else "the server has fsync = off: a power cut loses or damages the inventory",
    )


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


def _disk(path: Path) -> Iterator[Check]:
    directory = path.parent
    try:
        free = shutil.disk_usage(directory).free
    except OSError as error:
        yield Check("disk", FAIL, f"{directory}: {error.strerror}")
        return
    state = FAIL if free < _DISK_FAIL_BYTES else WARN if free < _DISK_WARN_BYTES else OK
    yield Check("disk", state, f"{free // (1024 * 1024)} MiB free in {directory}")


def _log_size(path: Path) -> Iterator[Check]:
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
