"""What the reader stores of usages, and what of it goes out."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from fakes.collector_in_memory import CollectorInMemory
from hypothesis import given
from hypothesis import strategies as st

from keycensus_agent.model import Blob, BlobKind, RowClass
from keycensus_agent.reader.convert import encode_usage, usage_of
from keycensus_agent.reader.report.blobs import collect_blobs
from keycensus_agent.reader.report.outbox import Outbox
from keycensus_agent.reader.report.reconcile import KEPT_CLASSES, rows_of
from keycensus_agent.reader.report.sync import Circumstances, Conversation, Outcome
from keycensus_agent.reader.state import State
from keycensus_agent.reader.usages import REFRESH_MS, Usages, with_answers
from keycensus_agent.usage import (
    HANDSHAKES,
    Handshake,
    Renewal,
    Usage,
    Verdict,
    binding_of,
    by_weight,
    usage_key,
)
from keycensus_proto.v1 import manifest_pb2

CERTIFICATE = b"presented"
MANIFEST = manifest_pb2.Manifest(
    format="pem",
    entries=[manifest_pb2.Entry(kind="certificate", artifact=hashlib.sha256(CERTIFICATE).digest())],
).SerializeToString()
BLOBS = (
    Blob(BlobKind.MANIFEST, hashlib.sha256(MANIFEST).digest(), MANIFEST),
    Blob(BlobKind.CERTIFICATE, hashlib.sha256(CERTIFICATE).digest(), CERTIFICATE),
)
NGINX = Usage(
    binding=binding_of(
        "nginx", "nginx.service", b"/etc/nginx.conf", "certificate", server_names=["b", "a"]
    ),
    service="nginx",
    unit="nginx.service",
    configuration=b"/etc/nginx.conf",
    line=3,
    directive="certificate",
    places=(bytes(32),),
    server_names=("b", "a"),
)
SERVED = Handshake(1000, "127.0.0.1:443", "a", (b"c" * 32,), "TLSv1.3", "X", "", Verdict.SERVED)

text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=5)
handshakes = st.builds(
    Handshake,
    st.integers(-(2**40), 2**40),
    text,
    text,
    st.tuples(st.binary(max_size=32)),
    text,
    text,
    text,
    st.sampled_from(Verdict),
)
usages = st.builds(
    Usage,
    st.binary(max_size=9),
    text,
    text,
    st.binary(max_size=9),
    st.integers(0, 2**32 - 1),
    text,
    st.tuples(st.binary(max_size=32)),
    st.tuples(text, text),
    st.tuples(text),
    text,
    st.lists(handshakes, max_size=3).map(tuple),
    st.binary(max_size=32),
    st.none() | st.builds(Renewal, text, st.integers(0, 2**40), st.booleans(), text),
    st.tuples(text),
)


class Host:
    def __init__(self) -> None:
        self.state = State.in_memory()
        self.outbox = Outbox(self.state, cap_bytes=1 << 20)
        self.usages = Usages(self.state, self.outbox, lambda: 5)

    def talk(self, collector: CollectorInMemory) -> Outcome:
        circumstances = Circumstances(b"", b"B" * 16, {}, lambda: 1)
        connection = collector.connect()
        return Conversation(self.state, self.outbox, connection, circumstances).converse()


@given(usages)
def test_a_row_is_what_it_was_made_of(usage: Usage) -> None:
    assert usage_of(encode_usage(usage)) == usage
    assert encode_usage(usage_of(encode_usage(usage))) == encode_usage(usage)


def test_the_identity_heeds_no_order_of_names_and_no_line() -> None:
    one = binding_of("nginx", "", b"/c", "key", server_names=["b", "a"], listen=["*:1", "*:0"])
    other = binding_of("nginx", "", b"/c", "key", server_names=["a", "b"], listen=["*:0", "*:1"])
    assert one == other == b"nginx\0\0/c\0key\0a,b\0*:0,*:1"
    assert usage_key(one) == hashlib.sha256(b"keycensus usage v1\0" + one).digest()
    # A NUL inside a field can't shift it into the next.
    assert binding_of("ng\0inx", "", b"/c\0", "key").count(b"\0") == 5


def test_usages_arrive_with_what_was_presented_and_go_when_they_went() -> None:
    host, collector = Host(), CollectorInMemory()
    presented = replace(NGINX, handshakes=(SERVED,), manifest=BLOBS[0].hash)
    assert host.usages.settle([presented], BLOBS) == 1
    assert host.usages.settle([presented]) == 0
    assert host.talk(collector).ok
    key = usage_key(NGINX.binding)
    assert collector.rows[RowClass.USAGE.value, key] == encode_usage(presented)
    assert collector.blobs.keys() >= {blob.hash for blob in BLOBS}
    assert host.usages.known() == {NGINX.binding: presented}
    assert host.usages.settle([]) == 1
    assert host.talk(collector).ok
    assert (RowClass.USAGE.value, key) not in collector.rows


def test_blobs_of_usages_are_kept_while_they_are_named() -> None:
    host = Host()
    host.usages.settle([replace(NGINX, manifest=BLOBS[0].hash)], BLOBS)
    with host.state.transaction() as connection:
        assert collect_blobs(connection) == 0
    host.usages.settle([])
    with host.state.transaction() as connection:
        # The state that waits names them still.
        assert collect_blobs(connection) == 0
        connection.execute("DELETE FROM outbox")
        assert collect_blobs(connection) == 2


def test_usages_are_compared_and_rebuilt_as_places_are() -> None:
    host = Host()
    assert RowClass.USAGE in KEPT_CLASSES
    host.usages.settle([NGINX])
    row = encode_usage(NGINX)
    listed = list(rows_of(host.state, RowClass.USAGE, b""))
    assert listed == [(usage_key(NGINX.binding), hashlib.sha256(row).digest())]
    host.state.new_instance()
    assert host.outbox.rebuild(1) == 1


def test_a_damaged_usage_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    for damage in ("PRAGMA user_version", "UPDATE usage SET manifest = x'00'"):
        state = State.open(path)
        assert state.quarantined is None
        Usages(state, Outbox(state, cap_bytes=1 << 20), lambda: 5).settle([NGINX])
        state.close()
        # Somebody else has it open, so it is read whole.
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE meta SET value = value")
            other.execute(damage)
    state = State.open(path)
    assert state.quarantined is not None
    state.close()


def test_an_answer_that_stays_the_same_keeps_its_time_for_a_day() -> None:
    before = replace(NGINX, handshakes=(SERVED,))
    later = replace(SERVED, at_ms=SERVED.at_ms + REFRESH_MS - 1)
    assert with_answers(NGINX, [later], before) == before
    day = replace(SERVED, at_ms=SERVED.at_ms + REFRESH_MS)
    assert with_answers(NGINX, [day], before).handshakes == (day,)
    # A clock that was set back does not keep a time of the future.
    past = replace(SERVED, at_ms=SERVED.at_ms - 1)
    assert with_answers(NGINX, [past], before).handshakes == (past,)
    other = replace(later, verdict=Verdict.NOT_RELOADED)
    assert with_answers(NGINX, [other], before).handshakes == (other,)
    assert with_answers(NGINX, [later], None).handshakes == (later,)


def test_what_matters_most_comes_first_and_there_is_an_end() -> None:
    bad = replace(SERVED, verdict=Verdict.NOT_RELOADED, address="z")
    silent = replace(SERVED, verdict=Verdict.NONE, error="refused")
    assert by_weight([SERVED, silent, bad]) == (bad, SERVED, silent)
    assert len(by_weight([SERVED] * 40)) == HANDSHAKES
