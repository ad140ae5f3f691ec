"""Conversations with a collector: everything arrives once, whatever breaks in between."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from fakes.collector_in_memory import CollectorInMemory, Connection

from keycensus_agent.model import Blob, BlobKind, Cause, FileFacts, Place, RowClass, Status
from keycensus_agent.reader.findings import Findings
from keycensus_agent.reader.report.outbox import Outbox, requeue
from keycensus_agent.reader.report.sync import Circumstances, Conversation, Outcome
from keycensus_agent.reader.state import State
from keycensus_proto.v1 import manifest_pb2, report_pb2

CERTIFICATE = b"a certificate"
MANIFEST = manifest_pb2.Manifest(
    format="pem",
    entries=[manifest_pb2.Entry(kind="certificate", artifact=hashlib.sha256(CERTIFICATE).digest())],
).SerializeToString()
BLOBS = (
    Blob(BlobKind.MANIFEST, hashlib.sha256(MANIFEST).digest(), MANIFEST),
    Blob(BlobKind.CERTIFICATE, hashlib.sha256(CERTIFICATE).digest(), CERTIFICATE),
)
FACTS = FileFacts(1, 2, 0o100600, 0, 0, 10, 20, 30, 1)


class Host:
    """A state with places in it, and conversations out of it."""

    def __init__(self) -> None:
        self.state = State.in_memory()
        self.outbox = Outbox(self.state, cap_bytes=1 << 20)
        self.findings = Findings(self.state, self.outbox, lambda: 1)

    def put(self, *names: str, mode: int = 0o100600) -> None:
        facts = FileFacts(1, 2, mode, 0, 0, 10, 20, 30, 1)
        with self.state.transaction():
            for name in names:
                place = Place(
                    name.encode(), Status.READ, facts, manifest=BLOBS[0].hash, format="pem"
                )
                self.findings.store(place, b"m" * 16, BLOBS)

    def remove(self, name: str) -> None:
        with self.state.transaction():
            known = self.findings.at(name.encode())
            assert known is not None
            self.findings.lose(known, "removed")

    def complete(self) -> None:
        self.state.put_number("complete", 1)

    def talk(self, connection: Connection) -> Outcome:
        circumstances = Circumstances(b"", b"B" * 16, {}, lambda: 1)
        return Conversation(self.state, self.outbox, connection, circumstances).converse()

    def rows(self) -> dict[tuple[int, bytes], bytes]:
        return {
            (1, key): row
            for key, row in self.state.connection.execute("SELECT key, row FROM place")
        }

    def key(self, name: str) -> bytes:
        return bytes(
            self.state.connection.execute(
                "SELECT key FROM place WHERE path = ?", (name.encode(),)
            ).fetchone()[0]
        )


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.state.close()


def test_everything_arrives_and_leaves_the_outbox(host: Host) -> None:
    collector = CollectorInMemory()
    host.put(*(f"/p{number}" for number in range(2500)))
    outcome = host.talk(collector.connect())
    assert outcome.ok
    assert outcome.batches == 3
    assert outcome.blobs == 2
    assert collector.rows == host.rows()
    assert host.outbox.count() == 0


def test_without_change_no_batch_is_sent(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a")
    host.complete()
    assert host.talk(collector.connect()).ok
    connection = collector.connect()
    assert host.talk(connection).ok
    assert connection.sent == ["hello", "heartbeat"]


def test_a_lost_ack_is_learnt_from_the_next_hello(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a", "/b")
    assert host.talk(collector.connect(drop_after_commit=1)).reason == "unreachable"
    assert host.outbox.count() == 2
    connection = collector.connect()
    assert host.talk(connection).ok
    assert "batch" not in connection.sent
    assert host.outbox.count() == 0
    assert collector.rows == host.rows()


def test_a_batch_that_was_not_committed_is_sent_again_under_its_number(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a")
    assert not host.talk(collector.connect(drop_before_commit=1)).ok
    host.put("/b")
    assert host.talk(collector.connect()).ok
    assert [batch.sequence for batch in collector.batches] == [1, 2]
    assert [len(batch.changes) for batch in collector.batches] == [1, 1]
    assert collector.rows == host.rows()


def test_a_row_that_came_and_went_before_any_contact_is_gone_at_the_end(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a", "/b")
    host.remove("/a")
    assert host.talk(collector.connect()).ok
    assert collector.rows == host.rows()
    assert len(collector.rows) == 1


def test_a_refused_item_does_not_block_the_others_and_is_not_sent_again(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a", "/b", "/c")
    collector.verdicts[host.key("/b")] = [("refused", "quota")]
    outcome = host.talk(collector.connect())
    assert outcome.ok
    assert outcome.refused == 1
    assert len(collector.rows) == 2
    host.outbox.rebuild(1)
    assert host.outbox.count() == 0
    refused = host.state.connection.execute("SELECT reason FROM refused").fetchall()
    assert refused == [("quota",)]


def test_an_item_to_be_tried_again_goes_into_a_later_batch(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a", "/b")
    collector.verdicts[host.key("/a")] = [("retry", "missing-blob")]
    assert host.talk(collector.connect()).ok
    assert collector.rows == host.rows()
    assert len(collector.batches) == 2


def test_an_item_tried_again_never_turns_a_row_back(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a", mode=0o100600)
    host.put("/a", mode=0o100644)
    collector.verdicts[host.key("/a")] = [("retry", "missing-blob")]
    assert host.talk(collector.connect()).ok
    assert collector.rows == host.rows()


def test_the_first_full_sweep_is_announced_once(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a")
    assert host.talk(collector.connect()).ok
    assert [batch.complete for batch in collector.batches] == [False]
    host.complete()
    assert host.talk(collector.connect()).ok
    assert collector.complete
    assert host.talk(collector.connect()).ok
    assert len(collector.batches) == 2


def test_another_database_at_the_collector_makes_the_agent_start_over(host: Host) -> None:
    first, second = CollectorInMemory(), CollectorInMemory(database_id=b"E" * 16)
    host.put("/a", "/b")
    assert host.talk(first.connect()).ok
    outcome = host.talk(second.connect())
    assert outcome.start_over
    assert host.talk(second.connect()).ok
    assert second.rows == host.rows()


def test_a_collector_restored_from_an_older_copy_gets_everything_again(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a")
    assert host.talk(collector.connect()).ok
    host.put("/b")
    assert host.talk(collector.connect()).ok
    older = CollectorInMemory(instance=host.state.instance, last_sequence=1)
    assert host.talk(older.connect()).start_over
    assert host.talk(older.connect()).ok
    assert older.rows == host.rows()


def test_a_listing_is_sent_when_it_is_wanted_and_what_differs_is_sent_again(host: Host) -> None:
    collector = CollectorInMemory(list_wanted=True)
    host.put("/a", "/b")
    host.complete()
    collector.wanted_after_listing = [host.key("/a")]
    assert host.talk(collector.connect()).ok
    assert [listing.row_class for listing in collector.listings] == [1, 3]
    assert collector.listings[0].complete
    assert len(collector.listings[0].rows) == 2
    again = collector.batches[-1].changes
    assert [change.cause for change in again] == [Cause.RECONCILE]


def test_a_refusal_ends_the_conversation_with_its_reason(host: Host) -> None:
    refusal = report_pb2.Refusal(reason="banned", text="by an operator", retry_after_seconds=7)
    outcome = host.talk(CollectorInMemory(refusal=refusal).connect())
    assert (outcome.reason, outcome.text, outcome.retry_after_seconds) == (
        "banned",
        "by an operator",
        7,
    )


def test_a_blob_that_is_not_here_any_more_is_said_to_be_missing(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a")
    host.state.connection.execute("DELETE FROM blob WHERE kind = 2")
    connection = collector.connect()
    assert host.talk(connection).ok
    assert "cannot_supply" in connection.sent


def test_a_crash_right_after_starting_over_still_sends_everything(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a", "/b")
    host.complete()
    assert host.talk(collector.connect()).ok
    host.state.new_instance()  # and killed before the outbox was listed again
    fresh = CollectorInMemory()
    assert host.talk(fresh.connect()).ok
    assert fresh.rows == host.rows()


def test_an_item_tried_again_is_offered_again(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a")
    collector.verdicts[host.key("/a")] = [("retry", "missing-blob")]
    connection = collector.connect()
    assert host.talk(connection).ok
    assert connection.sent.count("offer") == 2


def test_no_listing_claims_to_be_whole_for_rows_that_are_not_kept(host: Host) -> None:
    host.put("/a")
    assert requeue(host.state, RowClass.USAGE, [host.key("/a")], 1) == 0
