"""Conversations with a collector: everything arrives once, whatever breaks in between."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import pytest
from fakes.collector_in_memory import CollectorInMemory, Connection

from keycensus_agent.model import Blob, BlobKind, Cause, FileFacts, Place, RowClass, Status
from keycensus_agent.reader.findings import Findings
from keycensus_agent.reader.report import reconcile
from keycensus_agent.reader.report.outbox import Outbox
from keycensus_agent.reader.report.sync import (
    LISTINGS,
    Circumstances,
    Conversation,
    Outcome,
)
from keycensus_agent.reader.state import State
from keycensus_agent.relay import FrameKind
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

    def __init__(self, cap_bytes: int = 1 << 20) -> None:
        self.state = State.in_memory()
        self.outbox = Outbox(self.state, cap_bytes=cap_bytes)
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

    def talk(
        self,
        connection: Connection,
        *,
        now_ms: int = 1,
        facts: bytes = b"",
        swept: bool = True,
        fraction: float = 0.5,
    ) -> Outcome:
        circumstances = Circumstances(facts, b"B" * 16, {}, lambda: now_ms, swept, fraction)
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
    assert [listing.row_class for listing in collector.listings] == [1, 3, 2]
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


def test_of_the_hosts_facts_no_list_is_whole_and_every_class_is_compared(host: Host) -> None:
    host.put("/a")
    host.complete()
    collector = CollectorInMemory(differing=[4])
    assert host.talk(collector.connect()).ok
    assert [digest.row_class for digest in collector.digests] == [1, 3, 2, 4]
    (listing,) = reconcile.listing_pieces(host.state, RowClass.HOST, b"", whole=True)
    assert not report_pb2.ReportRequest.FromString(listing).listing.complete


def test_what_the_link_was_asked_is_reported_in_the_same_conversation(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a")
    connection = collector.connect()
    connection.answer = lambda question: b"answer to " + question

    def inquire(ask: Callable[[bytes], bytes]) -> bool:
        assert host.outbox.count() == 0, "news goes first"
        heard.append(ask(b"question"))
        host.put("/b")
        return True

    heard: list[bytes] = []
    circumstances = Circumstances(b"", b"B" * 16, {}, lambda: 1)
    outcome = Conversation(
        host.state, host.outbox, connection, circumstances, inquire=inquire
    ).converse()
    assert (outcome.ok, heard) == (True, [b"answer to question"])
    assert collector.rows == host.rows()


def test_a_link_that_answers_nothing_ends_the_conversation_not_what_was_said(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a")
    connection = collector.connect()

    def inquire(ask: Callable[[bytes], bytes]) -> bool:
        connection.broken = True
        ask(b"question")
        return True

    circumstances = Circumstances(b"", b"B" * 16, {}, lambda: 1)
    outcome = Conversation(
        host.state, host.outbox, connection, circumstances, inquire=inquire
    ).converse()
    assert outcome.reason == "unreachable"
    assert collector.rows == host.rows()


# --- the daily comparison -----------------------------------------------------------------------

DAY_MS = 86_400_000


def test_the_digests_are_over_the_sorted_rows_of_each_class(host: Host) -> None:
    host.put("/a", "/b", "/c")
    host.complete()
    collector = CollectorInMemory()
    assert host.talk(collector.connect(), facts=b"facts").ok
    places = b"".join(
        key + hashlib.sha256(row).digest() for (_, key), row in sorted(host.rows().items())
    )
    facts = bytes(32) + hashlib.sha256(b"facts").digest()
    assert [(digest.row_class, digest.count, digest.digest) for digest in collector.digests] == [
        (1, 3, hashlib.sha256(places).digest()),
        (3, 0, hashlib.sha256(b"").digest()),
        (2, 0, hashlib.sha256(b"").digest()),
        (4, 1, hashlib.sha256(facts).digest()),
    ]


def test_digests_go_out_once_a_day_a_little_more_or_less(host: Host) -> None:
    host.put("/a")
    host.complete()
    collector = CollectorInMemory()
    for now_ms, fraction, expected in (
        (DAY_MS, 0.0, 4),  # the first time
        (DAY_MS + int(0.89 * DAY_MS), 0.0, 4),
        (DAY_MS + int(0.91 * DAY_MS), 1.0, 8),  # fraction 0: a tenth early
        (3 * DAY_MS, 1.0, 8),
        (3 * DAY_MS + int(0.02 * DAY_MS), 1.0, 12),  # fraction 1: a tenth late
    ):
        assert host.talk(collector.connect(), now_ms=now_ms, fraction=fraction).ok
        assert len(collector.digests) == expected, now_ms


def test_a_clock_that_was_set_back_does_not_put_the_comparison_off(host: Host) -> None:
    host.put("/a")
    host.complete()
    collector = CollectorInMemory()
    assert host.talk(collector.connect(), now_ms=1000 * DAY_MS).ok
    assert host.talk(collector.connect(), now_ms=10 * DAY_MS).ok
    assert len(collector.digests) == 8


def test_before_the_first_full_sweep_nothing_is_compared(host: Host) -> None:
    host.put("/a")
    collector = CollectorInMemory(list_wanted=True)
    assert host.talk(collector.connect()).ok
    assert collector.digests == []
    assert collector.listings == []


def test_where_digests_differ_the_list_follows_and_what_is_wanted_is_sent_again(
    host: Host,
) -> None:
    host.put("/a", "/b")
    host.complete()
    collector = CollectorInMemory(differing=[1, 4])
    collector.wanted_after_listing = [host.key("/b")]
    assert host.talk(collector.connect(), facts=b"facts").ok
    assert [listing.row_class for listing in collector.listings] == [1, 4]
    (last,) = collector.batches[-1].changes
    assert (last.key, last.cause) == (host.key("/b"), Cause.RECONCILE)
    assert reconcile.last_comparison(host.state) == {
        "at_ms": 1,
        "differing": 2,
        "sent_again": 1,
        "removed": 0,
    }


def test_host_facts_that_are_wanted_are_sent_as_a_row(host: Host) -> None:
    host.complete()
    collector = CollectorInMemory(differing=[4])
    collector.wanted_after_listing = [bytes(32)]
    assert host.talk(collector.connect(), facts=b"facts").ok
    assert collector.rows[4, bytes(32)] == b"facts"


def test_a_suspicion_is_looked_into_at_the_next_occasion(host: Host) -> None:
    host.put("/a")
    host.complete()
    collector = CollectorInMemory()
    assert host.talk(collector.connect()).ok
    reconcile.suspect(host.state)
    assert host.talk(collector.connect()).ok
    assert len(collector.digests) == 8


def test_a_list_claims_to_be_whole_only_after_a_full_sweep_of_this_process(host: Host) -> None:
    host.put("/a")
    host.complete()
    collector = CollectorInMemory(list_wanted=True)
    assert host.talk(collector.connect(), swept=False).ok
    assert not any(listing.complete for listing in collector.listings)
    assert host.talk(collector.connect()).ok
    assert all(listing.complete for listing in collector.listings[3:])


def test_a_long_list_comes_in_sorted_pieces(host: Host) -> None:
    host.put(*(f"/p{number}" for number in range(2 * reconcile.LISTING_ROWS + 5)))
    host.complete()
    collector = CollectorInMemory(list_wanted=True)
    assert host.talk(collector.connect()).ok
    pieces = [listing for listing in collector.listings if listing.row_class == 1]
    assert [len(piece.rows) for piece in pieces] == [4096, 4096, 5]
    assert [piece.more for piece in pieces] == [True, True, False]
    keys = [row.key for piece in pieces for row in piece.rows]
    assert keys == sorted(keys)
    assert all(piece.ByteSize() < 512 * 1024 for piece in pieces)


def test_a_collector_that_asks_for_lists_without_end_gets_some(host: Host) -> None:
    host.put("/a")
    host.complete()
    collector = CollectorInMemory(differing=[1] * 3, asks_again=True)
    outcome = host.talk(collector.connect())
    assert outcome.listings == LISTINGS


# --- what the collector will not take -----------------------------------------------------------


def test_what_was_refused_is_tried_again_once_a_day(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a", "/b")
    host.complete()
    collector.verdicts[host.key("/b")] = [("refused", "quota")]
    assert host.talk(collector.connect()).refused == 1
    collector.differing = [1]
    collector.wanted_after_listing = [host.key("/b")]
    assert host.talk(collector.connect(), now_ms=2 * DAY_MS).ok
    assert collector.rows == host.rows()
    assert host.state.connection.execute("SELECT count(*) FROM refused").fetchone() == (0,)


def test_a_blob_that_was_damaged_here_is_not_sent(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/a")
    host.state.connection.execute("UPDATE blob SET data = x'00' WHERE kind = 2")
    connection = collector.connect()
    assert host.talk(connection).not_supplied == 1
    assert "cannot_supply" in connection.sent


def test_a_file_whose_blob_was_lost_is_read_again_and_reported_again(host: Host) -> None:
    collector = CollectorInMemory()
    host.put("/srv/a")
    host.state.connection.execute("INSERT INTO directory VALUES (?, ?, ?, 0)", (b"srv", b"m", b""))
    host.state.connection.execute("DELETE FROM blob")
    collector.verdicts[host.key("/srv/a")] = [("refused", "missing-blob")]
    assert host.talk(collector.connect()).refused == 1
    # The next sweep finds the directory unknown, and so opens the file again.
    assert host.state.connection.execute("SELECT count(*) FROM directory").fetchone() == (0,)
    host.put("/srv/a")
    outcome = host.talk(collector.connect())
    assert (outcome.changes, outcome.blobs) == (1, 2)
    assert collector.rows == host.rows()


def test_batches_under_way_take_half_of_the_cap_at_most() -> None:
    host = Host(cap_bytes=60_000)
    host.put(*(f"/p{number}" for number in range(250)))
    fixed: list[int] = []

    class Watched(Connection):
        def receive(self, timeout: float) -> tuple[FrameKind, bytes] | None:
            query = "SELECT sum(length(row)) FROM outbox WHERE sequence IS NOT NULL"
            fixed.append(host.state.connection.execute(query).fetchone()[0] or 0)
            return super().receive(timeout)

    assert host.talk(Watched(CollectorInMemory())).ok
    assert 0 < max(fixed) <= 30_000
    host.state.close()


def test_a_rebuild_stays_below_the_cap_and_still_sends_everything() -> None:
    host = Host(cap_bytes=60_000)
    host.put(*(f"/p{number}" for number in range(1200)))
    with host.state.transaction():
        host.outbox.enforce_cap()
    assert host.outbox.count() == 0
    collector = CollectorInMemory()
    most = 0

    class Watched(Connection):
        def receive(self, timeout: float) -> tuple[FrameKind, bytes] | None:
            nonlocal most
            most = max(most, host.outbox.size_bytes())
            return super().receive(timeout)

    assert host.talk(Watched(collector)).ok
    assert collector.rows == host.rows()
    # A step of the rebuild may pass the cap by its own rows.
    assert most < 60_000 + 1000 * 250
    host.state.close()
