"""The state's tables: how they are made, and whether what is in them can be what was stored.

A file that somebody else may have touched is read whole before it is believed: SQLite sees what
breaks its own structure, and each row here carries, or is derived from, a hash. So a damaged state
is put aside at the start, and never turns into a wrong report. Runs in the reader.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from keycensus_agent.errors import StateNewerError
from keycensus_agent.model import BlobKind, RowClass, gap_key, key_of
from keycensus_agent.reader.convert import batch_rows, gap_of, place_at, place_of, usage_of
from keycensus_agent.reader.discovery.mounts import mount_key
from keycensus_agent.reader.places import file_identity
from keycensus_agent.reader.report.rebuilding import TABLES
from keycensus_agent.usage import usage_key

SCHEMA_VERSION = 4
# Written into the header beside the version, so that a flipped byte is not taken for a newer agent.
APPLICATION_ID = 0x6B63_0000
# Write-ahead log pages before a checkpoint: small, so that a full disk is met with little to undo.
CHECKPOINT_PAGES = 256

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
-- One row a directory that was listed whole: the digest of what lstat said of its names, to compare
-- with, and its length. `path` has NUL for / so that its order is the order of the walk.
-- The weight is for agents of before, which divided the disk between two processes by it.
CREATE TABLE directory (
    path BLOB PRIMARY KEY, mount BLOB NOT NULL, digest BLOB NOT NULL, weight INTEGER NOT NULL
) WITHOUT ROWID;
-- What was digested; apart, since it is fifty times as long and read only where something changed.
CREATE TABLE listing (path BLOB PRIMARY KEY, listing BLOB NOT NULL) WITHOUT ROWID;
-- Mounts that a place was ever seen on.
CREATE TABLE mount (
    key BLOB PRIMARY KEY, type TEXT NOT NULL, source BLOB NOT NULL, root BLOB NOT NULL,
    mount_point BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE place (
    path BLOB PRIMARY KEY, key BLOB NOT NULL UNIQUE, directory BLOB NOT NULL,
    is_link INTEGER NOT NULL, mount BLOB NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,
    manifest BLOB NOT NULL, row BLOB NOT NULL, row_hash BLOB NOT NULL,
    -- The key of the tree that the collector is told of instead; empty: it is told of this.
    tree BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX place_directory ON place (directory);
CREATE INDEX place_mount ON place (mount);
-- Trust-store directories that are told as one place.
CREATE TABLE tree (
    key BLOB PRIMARY KEY, path BLOB NOT NULL, manifest BLOB NOT NULL, row BLOB NOT NULL,
    row_hash BLOB NOT NULL
) WITHOUT ROWID;
-- The places as the collector is to have them.
CREATE VIEW told AS SELECT key, row, row_hash FROM place WHERE tree = x''
    UNION ALL SELECT key, row, row_hash FROM tree;
CREATE TABLE gap (key BLOB PRIMARY KEY, row BLOB NOT NULL, row_hash BLOB NOT NULL) WITHOUT ROWID;
-- Who uses places. `manifest` lists what listeners presented; empty: nothing.
CREATE TABLE usage (
    key BLOB PRIMARY KEY, row BLOB NOT NULL, row_hash BLOB NOT NULL, manifest BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE blob (hash BLOB PRIMARY KEY, kind INTEGER NOT NULL, data BLOB NOT NULL);
-- What the collector has, by its own word.
CREATE TABLE acknowledged (
    class INTEGER NOT NULL, key BLOB NOT NULL, row_hash BLOB NOT NULL, PRIMARY KEY (class, key)
) WITHOUT ROWID;
-- States not yet acknowledged, in order. `row` null: gone. `sequence` set: part of a fixed batch.
CREATE TABLE outbox (
    item INTEGER PRIMARY KEY, class INTEGER NOT NULL, key BLOB NOT NULL, row BLOB,
    cause TEXT NOT NULL, observed_ms INTEGER NOT NULL, skipped INTEGER NOT NULL,
    gone_reason TEXT NOT NULL, sequence INTEGER, position INTEGER
);
CREATE INDEX outbox_key ON outbox (class, key);
CREATE INDEX outbox_sequence ON outbox (sequence);
CREATE TABLE batch (sequence INTEGER PRIMARY KEY, message BLOB NOT NULL);
-- What the collector will not take, until the row changes.
CREATE TABLE refused (
    class INTEGER NOT NULL, key BLOB NOT NULL, row_hash BLOB NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (class, key)
) WITHOUT ROWID;
"""


def connect(path: Path, *, checked: bool = False) -> sqlite3.Connection:
    """Open, check and prepare; sqlite3.DatabaseError if the file is damaged.

    `checked`: nothing has touched the file since this agent closed it, so it is not read whole.
    StateNewerError if a newer agent wrote it.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # Exclusive: no other process opens it, so no shared-memory file is needed. FULL: a
        # commit is on the disk before anybody is told (durability before acknowledgement).
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute("PRAGMA journal_size_limit = 1048576")
        connection.execute("PRAGMA cache_size = -4096")
        damage = "ok"
        if not checked:
            (damage,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        prepare(connection, str(damage))
        if not checked:
            _verify(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, damage: str = "ok") -> None:
    """Check the content and create what is missing; sqlite3.DatabaseError if it is damaged."""
    if damage != "ok":
        raise sqlite3.DatabaseError(damage)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if version > SCHEMA_VERSION and application != APPLICATION_ID | version:
        raise sqlite3.DatabaseError("the schema's number is none")
    if version > SCHEMA_VERSION:
        raise StateNewerError(
            f"the agent's state has schema {version}, this agent knows {SCHEMA_VERSION}: "
            "it was written by a newer agent. Install that version again, or move the state "
            "directory away to start over with a full scan."
        )
    if version == SCHEMA_VERSION:
        # A database whose tables were lost passes quick_check; this does not.
        connection.execute("SELECT 1 FROM meta, place, outbox, batch LIMIT 1").fetchone()
        if connection.execute("SELECT 1 FROM meta WHERE name = 'instance'").fetchone() is None:
            raise sqlite3.DatabaseError("the state has no instance")
        return
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('instance', ?)", (secrets.token_bytes(16),))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID | SCHEMA_VERSION}")
    connection.execute("COMMIT")


# --- whether the content can be what was stored ---------------------------------------------------

INSTANCE_BYTES = 16
_NUMBERS = frozenset(
    {
        "acknowledged_sequence",
        "complete",
        "complete_acknowledged",
        "digest_due_ms",
        "not_supplied",
        "outbox_dropped",
        "outbox_rebuild",
        "outbox_unlisted",
        "parser_epoch",
    }
)
_DOCUMENTS = frozenset(
    {
        "asked",
        "configurations",
        "counters",
        "over_cap",
        "reconciliation",
        "roots",
        "scopes",
        "sweep_progress",
    }
)
# Columns of bytes, by table; a flipped byte may turn them into something else.
_BYTES = {
    "meta": ("value",),
    "directory": ("path", "mount", "digest"),
    "listing": ("path", "listing"),
    "mount": ("key", "source", "root", "mount_point"),
    "place": ("path", "key", "directory", "mount", "manifest", "row", "row_hash", "tree"),
    "tree": ("key", "path", "manifest", "row", "row_hash"),
    "gap": ("key", "row", "row_hash"),
    "usage": ("key", "row", "row_hash", "manifest"),
    "blob": ("hash", "data"),
    "acknowledged": ("key", "row_hash"),
    "refused": ("key", "row_hash"),
    "batch": ("message",),
}
_NUMBER_COLUMNS = {
    "directory": ("weight",),
    "place": ("is_link", "device", "inode"),
    "blob": ("kind",),
    "acknowledged": ("class",),
    "refused": ("class",),
    "outbox": ("item", "class", "observed_ms", "skipped"),
}


def _verify(connection: sqlite3.Connection) -> None:
    """Read everything and compare it with its hashes; sqlite3.DatabaseError if something is wrong."""
    try:
        _check_types(connection, _BYTES, "blob")
        _check_types(connection, _NUMBER_COLUMNS, "integer")
        meta = dict(connection.execute("SELECT name, value FROM meta"))
        _check_meta(meta)
        _check_mounts(connection, meta.get("root", b""))
        _check_places(connection, meta.get("salt", b""))
        _check_trees(connection)
        _check_gaps(connection)
        _check_usages(connection)
        for digest, kind, data in connection.execute("SELECT hash, kind, data FROM blob"):
            BlobKind(kind)
            _require(hashlib.sha256(data).digest() == digest, "a blob")
        _check_outbox(connection)
        _check_batches(connection)
    except (ValueError, TypeError, OverflowError, DecodeError, RecursionError) as error:
        raise sqlite3.DatabaseError(f"the content is not what was stored: {error}") from error


def _require(condition: object, what: str) -> None:
    if not condition:
        raise ValueError(what)


def _check_types(
    connection: sqlite3.Connection, columns: dict[str, tuple[str, ...]], kind: str
) -> None:
    for table, names in columns.items():
        wrong = " OR ".join(f"typeof({name}) != '{kind}'" for name in names)
        found = connection.execute(f"SELECT 1 FROM {table} WHERE {wrong} LIMIT 1").fetchone()  # noqa: S608 - names from above
        _require(found is None, table)


def _check_meta(meta: dict[str, bytes]) -> None:
    _require(len(meta["instance"]) == INSTANCE_BYTES, "the instance")
    for name in _NUMBERS & meta.keys():
        _require(int(meta[name]) >= 0, name)
    for name in _DOCUMENTS & meta.keys():
        document = json.loads(meta[name])
        if name == "roots":
            for path in document:
                base64.b64decode(path, validate=True)


def _check_mounts(connection: sqlite3.Connection, root: bytes) -> None:
    """Check mounts: the key is over where one is; stored is where that is within the root."""
    known = set()
    for key, fs_type, source, fs_root, point in connection.execute(
        "SELECT key, type, source, root, mount_point FROM mount"
    ):
        known.add(key)
        candidates = _mount_points(root, point) if root else ()
        _require(
            not root or any(mount_key(fs_type, source, fs_root, at) == key for at in candidates),
            "a mount",
        )
    if root:
        seen = {mount for (mount,) in connection.execute("SELECT DISTINCT mount FROM place")}
        _require(seen <= known, "the mount of a place")


def _mount_points(root: bytes, point: bytes) -> Iterator[bytes]:
    if point != b"/":
        yield root.rstrip(b"/") + point
        return
    path = root
    while path not in (b"/", b""):
        yield path
        path = path.rpartition(b"/")[0]
    yield b"/"


def _check_places(connection: sqlite3.Connection, salt: bytes) -> None:
    for path, key, directory, is_link, device, inode, manifest, row, row_hash in connection.execute(
        "SELECT path, key, directory, is_link, device, inode, manifest, row, row_hash FROM place"
    ):
        place = place_at(path, row)
        _require(
            hashlib.sha256(row).digest() == row_hash
            and (place.path, place.manifest) == (path, manifest)
            and key_of(place) == key
            and (not place.prefix or place.scope.kind != "host")
            and (path.rpartition(b"/")[0] or b"/") == directory
            and is_link == bool(place.target),
            "a place",
        )
        if place.file_id and not is_link:
            identity = file_identity(salt, device % (1 << 64), inode % (1 << 64))
            _require(identity == place.file_id, "a place's file")


def _check_trees(connection: sqlite3.Connection) -> None:
    """Check trees, and that each name is in the one of its own directory."""
    directories = {}
    for key, path, manifest, row, row_hash in connection.execute(
        "SELECT key, path, manifest, row, row_hash FROM tree"
    ):
        place = place_at(path, row)
        _require(
            hashlib.sha256(row).digest() == row_hash
            and (place.path, place.manifest) == (path, manifest)
            and key_of(place) == key,
            "a tree",
        )
        directories[key] = path
    for directory, tree in connection.execute(
        "SELECT DISTINCT directory, tree FROM place WHERE tree != x''"
    ):
        _require(directories.get(tree) == directory, "a name in a tree")


def _check_gaps(connection: sqlite3.Connection) -> None:
    for key, row, row_hash in connection.execute("SELECT key, row, row_hash FROM gap"):
        _require(hashlib.sha256(row).digest() == row_hash and gap_key(gap_of(row)) == key, "a gap")


def _check_usages(connection: sqlite3.Connection) -> None:
    for key, row, row_hash, manifest in connection.execute(
        "SELECT key, row, row_hash, manifest FROM usage"
    ):
        usage = usage_of(row)
        _require(
            (hashlib.sha256(row).digest(), usage_key(usage.binding), usage.manifest)
            == (row_hash, key, manifest),
            "a usage",
        )


def _check_outbox(connection: sqlite3.Connection) -> None:
    """Check that the last state that waits is the row as it is, and each one is of its key."""
    last: dict[tuple[int, bytes], bytes | None] = {}
    for row_class, key, row in connection.execute(
        "SELECT class, key, row FROM outbox ORDER BY item"
    ):
        last[row_class, key] = row
        if row is not None and row_class == RowClass.PLACE.value:
            place = place_of(row)
            _require(key_of(place) == key, "a change of a place")
    for row_class, table in TABLES.items():
        rows = dict(connection.execute(f"SELECT key, row FROM {table}"))  # noqa: S608 - our names
        for (number, key), row in last.items():
            _require(number != row_class.value or rows.get(key) == row, "a change")


def _check_batches(connection: sqlite3.Connection) -> None:
    """Check that a fixed batch holds what the outbox says of it."""
    for sequence, message in connection.execute("SELECT sequence, message FROM batch"):
        waiting = connection.execute(
            "SELECT row FROM outbox WHERE sequence = ? ORDER BY position", (sequence,)
        )
        rows = [row for (row,) in waiting]
        _require((sequence, rows) == batch_rows(message), "a batch")
