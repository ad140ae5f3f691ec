"""Intake's rate as a share of what the database itself can write.

20,000 places come the way agents send them: serialised batches of 1,000, decoded, checked, written by
the real code into a fresh SQLite database. What each of its transactions wrote is read back. Then
the same goes a second time into another fresh database, and right after each batch its very rows go
into a third one, same schema, indexes and pragmas, by bare `executemany` with one commit. Both of a
pair are timed, so that whatever else the machine does hits both; the ratio is the median over the
pairs of three rounds. The budget is 0.7.

The blobs of a first contact (manifests and certificates) are measured the same way, apart.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Connection, insert

from keycensus_collector.intake import convert
from keycensus_collector.intake.batches import commit_batch
from keycensus_collector.intake.blobs import check_blob, store_blobs
from keycensus_collector.intake.manifests import ManifestCache
from keycensus_collector.intake.model import Batch, Limits, ReceivedBlob, StreamIdentity
from keycensus_collector.intake.rows import place_key, prepare
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import agent, agent_certificate, deployment, host, session
from keycensus_proto.v1 import inventory_pb2, manifest_pb2, report_pb2

PLACES = 20_000
BATCH = 1000
BLOB_GROUP = 500
BUDGET = 0.7
ROUNDS = 3
# Length of an ordinary certificate's DER, in bytes.
_DER_BYTES = 1300

STREAM = StreamIdentity(agent_no=1, host_no=1, serial="01", session=1, instance=bytes(16))
BATCH_TABLES = ("intake_batch", "place", "place_version", "holding", "work")
BLOB_TABLES = ("blob", "manifest", "manifest_entry", "work")
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA wal_autocheckpoint = 2000",
    "PRAGMA cache_size = -65536",
    "PRAGMA mmap_size = 0",
)


Rows = list[tuple[str, list[tuple[Any, ...]]]]  # by table
Pair = tuple[float, float]  # seconds of intake, of bare writing
Workload = tuple[list[list[ReceivedBlob]], list[bytes]]  # groups of blobs, requests with batches


def _certificate(number: int) -> bytes:
    seed = hashlib.sha256(b"certificate %d" % number).digest()
    return (seed * (_DER_BYTES // len(seed) + 1))[:_DER_BYTES]


def _manifest(number: int) -> tuple[bytes, list[ReceivedBlob]]:
    """Return a file of a leaf certificate and one of a few intermediates, with its new blobs."""
    ders = (_certificate(number), _certificate(-1 - number % 10))
    manifest = manifest_pb2.Manifest(
        format="pem",
        entries=[
            manifest_pb2.Entry(
                kind="certificate", artifact=hashlib.sha256(der).digest(), size=len(der)
            )
            for der in ders
        ],
    ).SerializeToString()
    hash_ = hashlib.sha256(manifest).digest()
    requests = [report_pb2.Blob(kind=1, hash=hash_, data=manifest)]
    requests += [
        report_pb2.Blob(kind=2, hash=hashlib.sha256(der).digest(), data=der) for der in ders
    ]
    return hash_, [_received(blob) for blob in requests]


def _received(blob: report_pb2.Blob) -> ReceivedBlob:
    message = convert.message_of(report_pb2.ReportRequest(blob=blob))
    assert isinstance(message, ReceivedBlob)
    return message


def _change(number: int, manifest: bytes) -> report_pb2.Change:
    path = b"/etc/ssl/sites/%06d.example.com/fullchain.pem" % number
    row = inventory_pb2.Place(
        path=path,
        manifest=manifest,
        status="read",
        format="pem",
        mode=0o644,
        owner="root",
        group="root",
        size=3600,
        mtime_ns=1_700_000_000_000_000_000 + number,
        file_id=hashlib.sha256(path).digest()[:16],
        link_count=1,
        role="server",
        use="live",
        readable_by="world",
    ).SerializeToString()
    return report_pb2.Change(
        row_class=inventory_pb2.ROW_CLASS_PLACE,
        key=place_key("", b"", path),
        row=row,
        cause="first",
        observed_at_unix_ms=1_700_000_000_000,
    )


def _workload() -> Workload:
    """Return blobs in groups and serialised requests, each with one batch."""
    files = [_manifest(number) for number in range(PLACES)]
    blobs = [blob for _, file_blobs in files for blob in file_blobs]
    groups = [blobs[at : at + BLOB_GROUP] for at in range(0, len(blobs), BLOB_GROUP)]
    batches = []
    for sequence, first in enumerate(range(0, PLACES, BATCH), start=1):
        changes = [_change(number, files[number][0]) for number in range(first, first + BATCH)]
        batch = report_pb2.Batch(sequence=sequence, changes=changes)
        batches.append(report_pb2.ReportRequest(batch=batch).SerializeToString())
    return groups, batches


def _enrol(connection: Connection) -> None:
    """Make the one host and agent that reports."""
    connection.execute(
        insert(deployment).values(
            deployment_no=1, name="bench", database_id=bytes(16), created_ms=0
        )
    )
    connection.execute(
        insert(host).values(
            host_no=1,
            host_id="h",
            name="bench",
            state="active",
            created_ms=0,
            last_seen_ms=0,
            complete=False,
            facts=b"",
            operating_system="",
            kernel="",
            agent_version="",
            labels="{}",
            counters="{}",
            clock_skew_ms=0,
        )
    )
    connection.execute(
        insert(agent).values(
            agent_no=1,
            agent_id="a",
            host_no=1,
            state="active",
            state_reason="",
            enrolled_ms=0,
            enrolled_by="",
        )
    )
    connection.execute(
        insert(agent_certificate).values(
            serial="01",
            agent_no=1,
            sha256=bytes(32),
            public_key_hash=bytes(32),
            state="current",
            not_after_ms=0,
            issued_ms=0,
        )
    )
    connection.execute(
        insert(session).values(
            agent_no=1,
            session=1,
            instance=bytes(16),
            last_sequence=0,
            complete=False,
            boot_id=b"",
            opened_ms=0,
            list_wanted=False,
            duplicates=0,
        )
    )


@contextmanager
def _fresh_store(directory: Path, name: str) -> Iterator[Store]:
    with Store.create(f"sqlite:///{directory / name}") as store:
        with store.write() as connection:
            _enrol(connection)
        yield store


def _seconds(work: Callable[[], None]) -> float:
    """Return how long `work` takes, in seconds of wall time."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@dataclass(slots=True)
class _Intake:
    """The real code over one store, one transaction a call."""

    store: Store
    cache: ManifestCache = field(default_factory=ManifestCache)
    limits: Limits = field(default_factory=Limits)

    def store_group(self, group: list[ReceivedBlob]) -> None:
        checked = [check_blob(blob) for blob in group]
        with self.store.write() as connection:
            store_blobs(connection, checked, 1000)
        for blob in checked:
            if blob.manifest is not None:
                self.cache.remember(blob.key.hash, blob.artifacts)
                self.cache.mark_complete([blob.key.hash])

    def commit(self, data: bytes) -> None:
        message = convert.message_of(report_pb2.ReportRequest.FromString(data))
        assert isinstance(message, Batch)
        prepared = prepare(message, self.limits)
        with self.store.write() as connection:
            committed = commit_batch(
                connection, STREAM, prepared, cache=self.cache, unfit={}, now_ms=1000
            )
        assert not committed.results


class _Bare:
    """The same rows by `executemany`, and nothing else."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        for pragma in _PRAGMAS:
            self._database.execute(pragma)

    def write(self, tables: Rows) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        for table, rows in tables:
            if rows:
                marks = ",".join("?" * len(rows[0]))
                statement = f'INSERT INTO "{table}" VALUES ({marks})'  # noqa: S608 - our own names
                self._database.executemany(statement, rows)
        self._database.execute("COMMIT")

    def close(self) -> None:
        self._database.close()


class _Written:
    """Reads back what each transaction added to tables that only grow."""

    def __init__(self, path: Path, tables: tuple[str, ...]) -> None:
        self._database = sqlite3.connect(path)
        self._reached = dict.fromkeys(tables, 0)

    def read(self) -> Rows:
        found: Rows = []
        for table, reached in self._reached.items():
            statement = f'SELECT rowid, * FROM "{table}" WHERE rowid > ? ORDER BY rowid'  # noqa: S608 - our own names
            rows = self._database.execute(statement, (reached,)).fetchall()
            if rows:
                self._reached[table] = rows[-1][0]
            found.append((table, [row[1:] for row in rows]))
        return found

    def close(self) -> None:
        self._database.close()


def _rows_of(directory: Path, workload: Workload) -> tuple[list[Rows], list[Rows]]:
    """Return what each transaction writes, for the groups of blobs and for the batches."""
    groups, batches = workload
    with _fresh_store(directory, "rows.db") as store:
        intake = _Intake(store)
        blob_rows = _read_back(directory, BLOB_TABLES, intake.store_group, groups)
        batch_rows = _read_back(directory, BATCH_TABLES, intake.commit, batches)
    return blob_rows, batch_rows


def _read_back(
    directory: Path, tables: tuple[str, ...], write: Callable[[Any], None], pieces: list[Any]
) -> list[Rows]:
    written = _Written(directory / "rows.db", tables)
    written.read()
    result = []
    for piece in pieces:
        write(piece)
        result.append(written.read())
    written.close()
    return result


def _round(
    directory: Path, workload: Workload, blob_rows: list[Rows], batch_rows: list[Rows]
) -> tuple[list[Pair], list[Pair]]:
    """Return the seconds of intake and of bare writing, pair by pair, of blobs and of batches."""
    groups, batches = workload
    with _fresh_store(directory, "bare.db"):
        pass
    bare = _Bare(directory / "bare.db")
    with _fresh_store(directory, "intake.db") as store:
        intake = _Intake(store)
        blobs = [
            (
                _seconds(lambda g=group: intake.store_group(g)),
                _seconds(lambda r=rows: bare.write(r)),
            )
            for group, rows in zip(groups, blob_rows, strict=True)
        ]
        places = [
            (_seconds(lambda d=data: intake.commit(d)), _seconds(lambda r=rows: bare.write(r)))
            for data, rows in zip(batches, batch_rows, strict=True)
        ]
    bare.close()
    return blobs, places


def measure() -> dict[str, float]:
    """Return rates a second and the ratios, as medians over all pairs of ROUNDS rounds."""
    workload = _workload()
    blobs: list[Pair] = []
    places: list[Pair] = []
    with _directory() as directory:
        blob_rows, batch_rows = _rows_of(directory, workload)
    # The collector does not hold a fleet's files in memory: keep the workload out of its garbage
    # collections.
    gc.collect()
    gc.freeze()
    for _ in range(ROUNDS):
        with _directory() as directory:
            more_blobs, more_places = _round(directory, workload, blob_rows, batch_rows)
            blobs += more_blobs
            places += more_places
    gc.unfreeze()
    return {
        "places_per_second": BATCH / median(mine for mine, _ in places),
        "bare_places_per_second": BATCH / median(bare for _, bare in places),
        "rows_per_batch": median(sum(len(rows) for _, rows in tables) for tables in batch_rows),
        "ratio": median(bare / mine for mine, bare in places),
        "blob_ratio": median(bare / mine for mine, bare in blobs),
    }


@contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="keycensus-bench-") as name:
        yield Path(name)


def main() -> int:
    """Print the figures; status 1 if the budget is missed."""
    figures = measure()
    print(json.dumps(figures, indent=1))
    print(f"intake: {figures['ratio']:.2f} of bare executemany (budget {BUDGET})")
    return 0 if figures["ratio"] >= BUDGET else 1


if __name__ == "__main__":
    sys.exit(main())
