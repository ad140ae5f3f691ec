"""Intake's rate as a share of what the database itself can write.

20,000 places of one host come the way agents send them: serialised requests, decoded, over one
stream of the real reporter, four batches of 1,000 under way at most, into a fresh database, of SQLite and of
PostgreSQL. What that wrote is read back, and written into another fresh database, same schema, indexes and
settings, by bare `executemany`, one commit for each transaction of intake's. `ratio` is the time of
the latter over the time from the first batch to the last ack; the budget is 0.7.

`blob_ratio` is the same of what comes before the batches: offers, wants and 40,000 blobs
(manifests and certificates), at a first contact of a fleet that shares nothing.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import structlog
from fakes.postgres import running_server
from sqlalchemy import Connection, insert

from benchmarks.bare import Database, PostgresDatabase, Rows, SqliteDatabase, transactions
from keycensus_collector.authority.peer import Peer
from keycensus_collector.clock import FixedClock
from keycensus_collector.collection import collect_seldom
from keycensus_collector.intake.model import Limits
from keycensus_collector.intake.reporter import Reporter
from keycensus_collector.intake.rows import place_key
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import agent, agent_certificate, deployment, host
from keycensus_proto.v1 import inventory_pb2, manifest_pb2, report_pb2

PLACES = 20_000
BATCH = 1000
BLOB_GROUP = 500
BUDGET = 0.7
ROUNDS = 7
CREDIT = Limits().batch_credit
# What is measured is the work, not what one agent may ask of it in a second.
_UNHURRIED = Limits(
    bytes_per_second=1e12,
    bytes_peak=1e12,
    messages_per_second=1e9,
    rows_per_second=1e9,
    rows_peak=1e9,
    batches_per_second=1e9,
)
# Length of an ordinary certificate's DER, in bytes.
_DER_BYTES = 1300

PEER = Peer(agent_no=1, agent_id="a", host_no=1, serial="01", deployment="bench")
BATCH_TABLES = ("intake_batch", "place", "place_version", "holding", "work")
BLOB_TABLES = ("blob", "manifest", "manifest_entry", "work")
Fresh = Callable[[], AbstractContextManager[Database]]
Blob = tuple[report_pb2.BlobKind.ValueType, bytes, bytes]  # kind, hash, data


@dataclass(frozen=True, slots=True)
class Workload:
    """Serialised requests: one offer and one batch for each 1,000 places, blobs by hash."""

    offers: list[bytes]
    blobs: dict[bytes, bytes]
    batches: list[bytes]


def _certificate(number: int) -> bytes:
    seed = hashlib.sha256(b"certificate %d" % number).digest()
    return (seed * (_DER_BYTES // len(seed) + 1))[:_DER_BYTES]


def _manifest(number: int) -> tuple[bytes, list[Blob]]:
    """Return a file of a leaf certificate and one of a few intermediates, with its blobs."""
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
    kind = report_pb2.BLOB_KIND_CERTIFICATE
    certificates = [(kind, hashlib.sha256(der).digest(), der) for der in ders]
    return hash_, [(report_pb2.BLOB_KIND_MANIFEST, hash_, manifest), *certificates]


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
    """Return what the agent sends, serialised: offers, blobs by hash, batches; all requests."""
    files = [_manifest(number) for number in range(PLACES)]
    blobs = {
        hash_: report_pb2.ReportRequest(
            blob=report_pb2.Blob(kind=kind, hash=hash_, data=data)
        ).SerializeToString()
        for _, file_blobs in files
        for kind, hash_, data in file_blobs
    }
    offers, batches = [], []
    for sequence, first in enumerate(range(0, PLACES, BATCH), start=1):
        numbers = range(first, first + BATCH)
        offer = report_pb2.Offer(offer=sequence, manifests=[files[at][0] for at in numbers])
        offers.append(report_pb2.ReportRequest(offer=offer).SerializeToString())
        changes = [_change(number, files[number][0]) for number in numbers]
        batch = report_pb2.Batch(sequence=sequence, changes=changes)
        batches.append(report_pb2.ReportRequest(batch=batch).SerializeToString())
    return Workload(offers, blobs, batches)


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


class _Agent:
    """The other end of one stream of a Reporter, in memory, with no more than the credit under way."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._outgoing: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._incoming: asyncio.Queue[report_pb2.ReportResponse] = asyncio.Queue()
        self._serving: asyncio.Task[None] | None = None

    async def _requests(self) -> AsyncIterator[bytes]:
        while (data := await self._outgoing.get()) is not None:
            yield data

    async def write(self, message: report_pb2.ReportResponse, /) -> None:
        self._incoming.put_nowait(message)

    async def connect(self, reporter: Reporter) -> None:
        self._serving = asyncio.create_task(reporter.serve(self._requests(), self, PEER))
        hello = report_pb2.Hello(protocol_version=1, instance=bytes(16))
        self._say(report_pb2.ReportRequest(hello=hello).SerializeToString())
        assert (await self._incoming.get()).HasField("hello_ack")

    async def leave(self) -> None:
        assert self._serving is not None
        self._outgoing.put_nowait(None)
        await self._serving

    def _say(self, request: bytes) -> None:
        self._outgoing.put_nowait(request)

    async def offer_everything(self) -> None:
        """Offer all manifests and supply what is wanted."""
        left = list(reversed(self._workload.offers))
        under_way = 0
        while left or under_way:
            while left and under_way < CREDIT:
                self._say(left.pop())
                under_way += 1
            want = (await self._incoming.get()).want
            for blob in want.blobs:
                self._say(self._workload.blobs[blob.hash])
            under_way -= want.satisfied

    async def send_batches(self) -> None:
        """Send all batches and take their acks."""
        left = list(reversed(self._workload.batches))
        under_way = 0
        while left or under_way:
            while left and under_way < CREDIT:
                self._say(left.pop())
                under_way += 1
            ack = (await self._incoming.get()).ack
            assert ack.sequence
            assert not ack.items
            under_way -= 1


async def _first_contact(database: Database, workload: Workload) -> tuple[float, float]:
    """Report everything into a fresh database; return the seconds for blobs and for batches."""
    with Store.create(database.url) as store:
        with store.write() as connection:
            _enrol(connection)
        agent = _Agent(workload)
        await agent.connect(Reporter(store, FixedClock(1000), _UNHURRIED))
        began = time.perf_counter()
        await agent.offer_everything()
        offered = time.perf_counter()
        await agent.send_batches()
        ended = time.perf_counter()
        await agent.leave()
    return offered - began, ended - offered


def _without_work(transactions: list[Rows], kind: str) -> list[Rows]:
    """Return the transactions with only the `work` rows of one kind, the second column."""
    return [
        [
            (table, [row for row in rows if table != "work" or row[1] == kind])
            for table, rows in tables
        ]
        for tables in transactions
    ]


def _write_bare(database: Database, bare_rows: list[list[Rows]]) -> list[float]:
    """Write rows into a fresh database by bare executemany; return the seconds of each list."""
    with Store.create(database.url) as store, store.write() as connection:
        _enrol(connection)
    seconds = []
    with database.writer() as writer:
        for one in bare_rows:
            began = time.perf_counter()
            for tables in one:
                writer.write(tables)
            seconds.append(time.perf_counter() - began)
    return seconds


def measure(fresh: Fresh, rounds: int = ROUNDS) -> dict[str, float]:
    """Return rates a second and the ratios, as medians over the rounds, each in two databases that `fresh` gives."""
    workload = _workload()
    groups = len(workload.blobs) // BLOB_GROUP
    batches = len(workload.batches)
    with fresh() as database:
        asyncio.run(_first_contact(database, workload))
        bare_rows = [
            _without_work(transactions(database, BLOB_TABLES, groups), "blob"),
            _without_work(transactions(database, BATCH_TABLES, batches), "batch"),
        ]
    # As a collector that serves does; nor does that hold a fleet's files in memory.
    collect_seldom()
    mine: list[tuple[float, float]] = []
    bare: list[list[float]] = []
    for _ in range(rounds):
        with fresh() as database:
            bare.append(_write_bare(database, bare_rows))
        with fresh() as database:
            mine.append(asyncio.run(_first_contact(database, workload)))
    gc.unfreeze()
    rows = sum(len(rows) for tables in bare_rows[1] for _, rows in tables)
    pairs = list(zip(mine, bare, strict=True))
    return {
        "rows": rows,
        "rows_per_second": rows / median(batch for _, batch in mine),
        "bare_rows_per_second": rows / median(batch for _, batch in bare),
        "places_per_second": PLACES / median(batch for _, batch in mine),
        "ratio": median(bare_batch / batch for (_, batch), (_, bare_batch) in pairs),
        "blob_ratio": median(bare_blob / blob for (blob, _), (bare_blob, _) in pairs),
    }


@contextmanager
def sqlite_databases() -> Iterator[Fresh]:
    """Give what makes fresh SQLite databases."""

    @contextmanager
    def fresh() -> Iterator[Database]:
        with tempfile.TemporaryDirectory(prefix="keycensus-bench-") as name:
            yield SqliteDatabase(Path(name))

    yield fresh


@contextmanager
def postgresql_databases() -> Iterator[Fresh]:
    """Give what makes fresh databases of a PostgreSQL server that brings to disk what it acknowledges."""
    with running_server(durable=True, settings=("shared_buffers=256MB",)) as server:

        @contextmanager
        def fresh() -> Iterator[Database]:
            yield PostgresDatabase(server)

        yield fresh


DATABASES = {"SQLite": sqlite_databases, "PostgreSQL": postgresql_databases}


def main() -> int:
    """Print the figures of both databases, or of those that are named; status 1 if the budget is missed."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    status = 0
    for name in sys.argv[1:] or DATABASES:
        with DATABASES[name]() as fresh:
            figures = measure(fresh)
        print(json.dumps(figures, indent=1))
        print(f"intake, {name}: {figures['ratio']:.2f} of bare executemany (budget {BUDGET})")
        status |= figures["ratio"] < BUDGET
    return status


if __name__ == "__main__":
    sys.exit(main())
