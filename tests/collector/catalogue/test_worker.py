"""The queue's worker over a real database and the real child."""

from __future__ import annotations

import asyncio
import hashlib
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from fakes.census import CSR, Census, Item, blob_item, certificate, private_key
from fakes.pki import Issued, issue
from sqlalchemy import Connection, func, insert, select, update
from structlog.testing import capture_logs

from keycensus_collector.catalogue import issuers
from keycensus_collector.catalogue import worker as worker_module
from keycensus_collector.catalogue.parser import COMMAND, CatalogueParser
from keycensus_collector.catalogue.worker import Unread, Worker, requeue
from keycensus_collector.errors import StoreFullError
from keycensus_collector.fold.fold import fold_batches
from keycensus_collector.store import schema

ROOT = issue("Example Root", is_ca=True, days=3650)
ISSUER = issue("Example Issuer", issuer=ROOT, is_ca=True, days=1800)
LEAF = issue("www.example.com", issuer=ISSUER, sans=("www.example.com", "example.com"))


@pytest.fixture
def census(tmp_path: Path) -> Iterator[Census]:
    census = Census.create(tmp_path)
    yield census
    census.store.close()


def edges(census: Census) -> set[tuple[bytes, bytes]]:
    return {(row.child, row.parent) for row in census.rows(select(schema.issuer_edge))}


def queue_length(census: Census) -> int:
    return int(census.row(select(func.count()).select_from(schema.work))[0])


def test_a_reported_certificate_gets_its_row_names_and_key(census: Census) -> None:
    host = census.host("web1")
    census.report(host, "/etc/nginx/cert.pem", certificate(LEAF), private_key(LEAF.key))
    census.fold()
    row = census.row(select(schema.certificate))
    assert row.common_name == "www.example.com"
    assert row.sha1 == hashlib.sha1(LEAF.der, usedforsecurity=False).digest()
    assert (row.live_places, row.retained_places, row.hosts) == (1, 0, 1)
    names = census.rows(
        select(schema.certificate_name).order_by(schema.certificate_name.c.position)
    )
    assert [(name.kind, name.reversed_labels) for name in names] == [
        ("common-name", ""),
        ("dns", "com.example.www"),
        ("dns", "com.example"),
    ]
    key = census.row(select(schema.public_key))
    assert key.key_id == row.key_id
    assert (key.algorithm, key.live_places, key.hosts) == ("ec", 1, 1)
    assert queue_length(census) == 0


@pytest.mark.parametrize(
    "order", [(ROOT, ISSUER, LEAF), (LEAF, ISSUER, ROOT), (ISSUER, LEAF, ROOT)]
)
def test_issuers_are_resolved_in_whatever_order_they_arrive(
    census: Census, order: tuple[Issued, ...]
) -> None:
    host = census.host("web1")
    for number, issued in enumerate(order):
        census.report(host, f"/etc/ssl/{number}.pem", certificate(issued))
        census.fold()
    assert edges(census) == {(LEAF.sha256, ISSUER.sha256), (ISSUER.sha256, ROOT.sha256)}
    row = census.row(select(schema.certificate).where(schema.certificate.c.sha256 == ROOT.sha256))
    assert row.self_signed
    assert row.is_ca


def test_an_impostor_of_the_same_name_is_no_issuer(census: Census) -> None:
    impostor = issue("Example Root", is_ca=True)
    host = census.host("web1")
    census.report(host, "/etc/ssl/all.pem", *map(certificate, (impostor, ISSUER, ROOT)))
    census.fold()
    assert edges(census) == {(ISSUER.sha256, ROOT.sha256)}


def test_more_children_than_one_step_takes_are_gone_through_in_steps(
    census: Census, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuers, "CHILDREN", 2)
    host = census.host("web1")
    leaves = [issue(f"{n}.example.com", issuer=ISSUER, key=LEAF.key) for n in range(5)]
    census.report(host, "/etc/ssl/leaves.pem", *map(certificate, leaves))
    census.fold()
    census.report(host, "/etc/ssl/issuer.pem", certificate(ISSUER))
    census.fold()
    assert edges(census) == {(leaf.sha256, ISSUER.sha256) for leaf in leaves}


def test_what_can_not_be_parsed_is_kept_with_the_reason(census: Census) -> None:
    host = census.host("web1")
    census.report(
        host,
        "/etc/ssl/odd.pem",
        blob_item("certificate", b"\x30\x03junk"),
        blob_item("csr", b"no request"),
        blob_item("crl", b"no list"),
        blob_item("public-key", b"no key"),
    )
    census.fold()
    tables = (schema.certificate, schema.request, schema.revocation_list, schema.public_key)
    for table in tables:
        assert census.row(select(table.c.problem))[0], table.name
    assert queue_length(census) == 0


def test_a_crash_before_the_commit_loses_nothing(
    census: Census, monkeypatch: pytest.MonkeyPatch
) -> None:
    census.report(census.host("web1"), "/etc/ssl/a.pem", certificate(LEAF))
    before = queue_length(census)

    def crash(*_: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(worker_module, "write_blobs", crash)
        with pytest.raises(RuntimeError, match="power cut"):
            census.fold()
    assert queue_length(census) == before
    census.fold()
    assert census.row(select(schema.certificate.c.live_places))[0] == 1


async def test_of_two_workers_only_the_one_that_deletes_writes(census: Census) -> None:
    census.report(census.host("web1"), "/etc/ssl/a.pem", certificate(LEAF))
    workers = [Worker(census.store, census.clock) for _ in range(2)]
    done = 0
    while queue_length(census):
        done += sum(await asyncio.gather(*(worker.run_once() for worker in workers)))
    for worker in workers:
        worker.close()
    assert done == 3  # the blob, the batch, and the certificate's issuers, each once


def test_a_batch_waits_for_the_blobs_that_it_names(census: Census) -> None:
    census.report(census.host("web1"), "/etc/ssl/a.pem", certificate(LEAF), private_key(LEAF.key))
    with census.store.write() as connection:
        connection.execute(schema.work.delete().where(schema.work.c.kind == "blob"))
    census.fold()
    assert census.row(select(schema.certificate.c.live_places))[0] == 1
    assert census.row(select(schema.public_key.c.live_places))[0] == 1


def test_a_private_key_without_its_public_half_is_still_a_key(census: Census) -> None:
    key = private_key(LEAF.key)
    claimed = Item("private-key", key.artifact, algorithm="ec", bits=256)
    census.report(census.host("web1"), "/etc/ssl/a.key", claimed)
    census.fold()
    row = census.row(select(schema.public_key))
    assert (row.algorithm, row.bits, row.live_places) == ("ec", 256, 1)
    assert "not received" in row.problem
    census.report(census.host("web2"), "/etc/ssl/a.key", key, private_key(ROOT.key))
    census.fold()
    row = census.row(select(schema.public_key).where(schema.public_key.c.key_id == key.artifact))
    assert (row.problem, row.live_places, row.hosts) == ("", 2, 2)


def test_a_csr_and_a_certificate_of_one_hash_are_two_things(census: Census) -> None:
    poisoned = Item("csr", LEAF.sha256, LEAF.der, CSR)
    census.report(census.host("evil"), "/tmp/a", poisoned)  # noqa: S108 - a path in the inventory
    census.report(census.host("web1"), "/etc/ssl/a.pem", certificate(LEAF))
    census.fold()
    assert census.row(select(schema.certificate.c.problem))[0] == ""
    assert census.row(select(schema.request.c.problem))[0]


def test_work_of_a_kind_that_is_not_known_stays_for_a_newer_collector(census: Census) -> None:
    with census.store.write() as connection:
        queue_work(connection, "later", 0)
        queue_work(connection, "blob", 2, b"x" * 32)
    census.fold()
    assert census.row(select(schema.work.c.kind))[0] == "later"


async def test_one_round_folds_many_small_batches_and_few_large_ones(census: Census) -> None:
    host_no = census.host("web1")
    identity = {"agent_id": "a", "state": "active", "state_reason": "", "enrolled_by": "t"}
    with census.store.write() as connection:
        agent_no = connection.execute(
            insert(schema.agent)
            .values(host_no=host_no, enrolled_ms=0, **identity)
            .returning(schema.agent.c.agent_no)
        ).scalar_one()
        for number, changes in enumerate([1_000] * 5 + [1] * 40, start=1):
            row = {"agent_no": agent_no, "instance": b"i" * 16, "ack": b"", "duplicates": 0}
            batch_no = connection.execute(
                insert(schema.intake_batch)
                .values(sequence=number, received_ms=0, changes=changes, **row)
                .returning(schema.intake_batch.c.batch_no)
            ).scalar_one()
            queue_work(connection, "batch", batch_no)
        queue_work(connection, "batch", batch_no + 1)  # whose row went with its ack
    worker = Worker(census.store, census.clock)
    assert [await worker.run_once() for _ in range(3)] == [4, 42, 0]
    worker.close()


def queue_work(connection: Connection, kind: str, number: int, subject: bytes = b"") -> None:
    connection.execute(
        insert(schema.work).values(kind=kind, subject=subject, number=number, queued_ms=0)
    )


async def test_running_reads_again_what_an_older_catalogue_read(census: Census) -> None:
    census.report(census.host("web1"), "/etc/ssl/a.pem", certificate(LEAF))
    await census.work()
    with census.store.write() as connection:
        connection.execute(
            update(schema.certificate).values(catalogue_version=0, subject="read badly")
        )
    worker = Worker(census.store, census.clock)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(10):
        while census.row(select(schema.certificate.c.catalogue_version))[0] == 0:
            await asyncio.sleep(0.02)
            worker.wake()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    row = census.row(select(schema.certificate))
    assert (row.subject, row.live_places) == ("CN=www.example.com", 1)


async def test_running_goes_on_after_trouble(
    census: Census, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "RETRY_SECONDS", 0.01)
    tries: list[int] = []

    def fail_once(
        connection: Connection, batches: Sequence[int], now_ms: int
    ) -> set[tuple[bytes, int]]:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("the disk is full")
        return fold_batches(connection, batches, now_ms)

    monkeypatch.setattr(worker_module, "fold_batches", fail_once)
    census.report(census.host("web1"), "/etc/ssl/a.pem", certificate(LEAF))
    running = asyncio.create_task(Worker(census.store, census.clock).run())
    with capture_logs() as logs:
        await finished(census, running)
    assert [log["event"] for log in logs] == ["catalogue.round-failed"]
    assert len(tries) > 1


async def test_all_that_an_older_catalogue_read_is_read_again_in_steps(
    census: Census, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_REQUEUE_ROWS", 2)
    host = census.host("web1")
    for number in range(5):
        leaf = issue(f"{number}.example.com", issuer=ISSUER)
        census.report(host, f"/etc/ssl/{number}.pem", certificate(leaf), private_key(leaf.key))
    await census.work()
    tables = (schema.certificate, schema.public_key)
    with census.store.write() as connection:
        for table in tables:
            connection.execute(update(table).values(catalogue_version=0))
    running = asyncio.create_task(Worker(census.store, census.clock).run())
    async with asyncio.timeout(10):
        for column in (table.c.catalogue_version for table in tables):
            while census.row(select(func.min(column)))[0] == 0:  # noqa: ASYNC110 - as below
                await asyncio.sleep(0.02)
    await finished(census, running)


def test_what_is_read_again_is_found_in_one_pass_and_ends(census: Census) -> None:
    hashes = [hashlib.sha256(b"%d" % number).digest() for number in range(15_000)]
    queued = hashes[:10_000]
    with census.store.write() as connection:
        connection.execute(
            insert(schema.blob),
            [{"hash": hash_, "kind": 2, "data": b"", "received_ms": 1} for hash_ in hashes],
        )
        connection.execute(
            insert(schema.work),
            [{"kind": "blob", "subject": hash_, "number": 2, "queued_ms": 1} for hash_ in queued],
        )
    started = time.process_time()
    with census.store.write() as connection:
        after_certificates = requeue(connection, Unread(), 1)
        assert after_certificates is not None
        assert requeue(connection, after_certificates, 1) is None
    assert time.process_time() - started < 60  # a pass for each row takes many minutes
    assert sorted(row[0] for row in census.rows(select(schema.work.c.subject))) == sorted(hashes)


async def test_a_full_disk_at_the_start_is_waited_out(
    census: Census, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "RETRY_SECONDS", 0.01)
    write = census.store.run_write
    room = asyncio.Event()
    tries: list[int] = []

    async def full(function: Callable[[Connection], Unread | None]) -> Unread | None:
        tries.append(1)
        if len(tries) == 3:
            room.set()
        if len(tries) <= 3:
            raise StoreFullError("the disk is full")
        return await write(function)

    monkeypatch.setattr(census.store, "run_write", full)
    running = asyncio.create_task(Worker(census.store, census.clock).run())
    with capture_logs() as logs:
        async with asyncio.timeout(10):
            await room.wait()
        census.report(census.host("web1"), "/etc/ssl/a.pem", certificate(LEAF))
        await finished(census, running)
    assert [log["event"] for log in logs] == ["catalogue.round-failed"] * 3


async def test_while_nothing_can_be_parsed_everything_waits(
    census: Census, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "RETRY_SECONDS", 0.01)
    census.report(census.host("web1"), "/etc/ssl/a.pem", certificate(LEAF))
    before = queue_length(census)
    child = tmp_path / "child"
    worker = Worker(census.store, census.clock, parser=CatalogueParser((str(child),)))
    with capture_logs() as logs:
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(10):
            while len(logs) < 2:  # noqa: ASYNC110 - nobody but the log says so
                await asyncio.sleep(0.01)
        assert queue_length(census) == before
        assert census.rows(select(schema.certificate)) == []
        child.write_text(f"#!/bin/sh\nexec {shlex.join(COMMAND)}\n")
        child.chmod(0o700)
        await finished(census, running)
    assert census.row(select(schema.certificate.c.problem))[0] == ""


async def test_a_blob_that_hangs_does_not_hold_up_the_end(census: Census, tmp_path: Path) -> None:
    census.report(census.host("web1"), "/etc/ssl/a.pem", certificate(LEAF))
    began = tmp_path / "began"
    began.with_suffix(".sh").write_text(f"#!/bin/sh\n: > {began}\nexec sleep 60\n")
    parser = CatalogueParser(("/bin/sh", str(began.with_suffix(".sh"))))
    running = asyncio.create_task(Worker(census.store, census.clock, parser=parser).run())
    async with asyncio.timeout(10):
        while not began.exists():  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.01)
    started = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.get_running_loop().shutdown_default_executor()
    assert time.monotonic() - started < 1


async def finished(census: Census, running: asyncio.Task[None]) -> None:
    """Wait until the queue is empty, then end the worker."""
    async with asyncio.timeout(10):
        while queue_length(census):  # noqa: ASYNC110 - the queue is in the database
            await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
