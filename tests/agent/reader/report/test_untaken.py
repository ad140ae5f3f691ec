"""What the collector has not is told with its place: refused rows, artifacts too long to be sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from keycensus_agent.model import (
    Entry,
    EntryKind,
    FileFacts,
    Gap,
    Place,
    Status,
    gap_key,
)
from keycensus_agent.parser.convert import encode_manifest
from keycensus_agent.reader.findings import Findings
from keycensus_agent.reader.report.outbox import Outbox
from keycensus_agent.reader.report.untaken import (
    count_refused,
    recall_long_artifacts,
    refused_rows,
    remember_long_artifacts,
)
from keycensus_agent.reader.state import State

FACTS = FileFacts(1, 2, 0o100600, 0, 0, 10, 20, 30, 1)


@pytest.fixture
def state() -> Iterator[State]:
    state = State.in_memory()
    yield state
    state.close()


def put(state: State, path: bytes, *entries: Entry) -> bytes:
    manifest, blobs = encode_manifest("pem", entries)
    findings = Findings(state, Outbox(state, cap_bytes=1 << 20), lambda: 1)
    with state.transaction():
        place = Place(path, Status.READ, FACTS, manifest=manifest, format="pem")
        findings.store(place, b"m" * 16, blobs)
        findings.settle_gaps([Gap(b"/gap", "unlisted")])
    return manifest


def entry(kind: EntryKind, size: int, name: bytes = b"a") -> Entry:
    return Entry(kind, hashlib.sha256(name).digest(), size=size)


def test_refused_rows_are_listed_with_path_and_reason(state: State) -> None:
    put(state, b"/srv/\xff.pem", entry(EntryKind.CERTIFICATE, 100))
    connection = state.connection
    connection.execute("INSERT INTO refused SELECT 1, key, row_hash, 'quota' FROM place")
    gap = gap_key(Gap(b"/gap", "unlisted"))
    connection.execute("INSERT INTO refused VALUES (3, ?, x'00', 'malformed')", (gap,))
    assert count_refused(state) == 2
    assert sorted(refused_rows(state), key=lambda row: row["path"]) == [
        {"path": "/gap", "reason": "malformed"},
        {"path": "/srv/\\xff.pem", "reason": "quota"},
    ]


def test_what_is_too_long_to_be_sent_is_listed_with_place_hash_and_size(state: State) -> None:
    put(
        state,
        b"/srv/long.pem",
        entry(EntryKind.CERTIFICATE, 256 * 1024 + 1, b"long"),
        entry(EntryKind.CERTIFICATE, 256 * 1024, b"just fits"),
        entry(EntryKind.CRL, 300 * 1024, b"lists may be longer"),
        entry(EntryKind.PRIVATE_KEY, 256 * 1024 + 7, b"key"),
    )
    put(state, b"/srv/short.pem", entry(EntryKind.CERTIFICATE, 900))
    with state.transaction():
        assert remember_long_artifacts(state) == 2
    listed = recall_long_artifacts(state)["listed"]
    assert [(item["path"], item["kind"], item["size"]) for item in listed] == [
        ("/srv/long.pem", "certificate", 256 * 1024 + 1),
        ("/srv/long.pem", "private-key", 256 * 1024 + 7),
    ]
    assert listed[0]["sha256"] == hashlib.sha256(b"long").hexdigest()


def test_one_in_a_part_of_a_long_file_is_found_at_the_files_place(state: State) -> None:
    entries = [entry(EntryKind.CERTIFICATE, 100, b"%d" % number) for number in range(4096)]
    put(state, b"/srv/bundle.pem", *entries, entry(EntryKind.CERTIFICATE, 1 << 20, b"long"))
    with state.transaction():
        assert remember_long_artifacts(state) == 1
    assert recall_long_artifacts(state)["listed"][0]["path"] == "/srv/bundle.pem"


def test_before_any_sweep_nothing_is_too_long(state: State) -> None:
    assert recall_long_artifacts(state) == {"count": 0, "listed": []}
