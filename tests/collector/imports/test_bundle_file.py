"""A bundle that is not whole, not ours or not fit is refused, and nothing of it is taken."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.bundled import BundledHost
from fakes.census import Census
from fakes.pki import issue
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from keycensus_collector.errors import UsageError
from keycensus_collector.imports.bundle import take_bundle
from keycensus_collector.imports.bundle_file import MAGIC, VERSION, read_bundle
from keycensus_collector.intake.model import Limits
from keycensus_collector.store import schema
from keycensus_proto.v1 import report_pb2

LIMITS = Limits()
Requests = list[report_pb2.ReportRequest]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    host = BundledHost(tmp_path_factory.mktemp("host"))
    host.put_pair(issue("vault.example.com"))
    return host.bundle().read_bytes()


@pytest.fixture
def census(tmp_path: Path) -> Iterator[Census]:
    census = Census.create(tmp_path)
    yield census
    census.store.close()


def read(data: bytes) -> object:
    return read_bundle(io.BytesIO(data), LIMITS)


def requests_of(data: bytes) -> Requests:
    found, at = [], len(MAGIC) + 4
    while size := int.from_bytes(data[at : at + 4], "big"):
        found.append(report_pb2.ReportRequest.FromString(data[at + 4 : at + 4 + size]))
        at += 4 + size
    return found


def written(messages: Requests, *, version: int = VERSION) -> bytes:
    """Return a bundle of any messages, whole by its hash: what a hostile person would write."""
    data = MAGIC + version.to_bytes(4, "big")
    for message in messages:
        frame = message.SerializeToString()
        data += len(frame).to_bytes(4, "big") + frame
    data += bytes(4) + len(messages).to_bytes(4, "big")
    return data + hashlib.sha256(data).digest()


def test_a_whole_bundle_is_read(bundle: bytes) -> None:
    found = read_bundle(io.BytesIO(bundle), LIMITS)
    assert (found.facts.facts.name, found.rows, found.size) == ("vault1", 2, len(bundle))
    assert found.sha256 == hashlib.sha256(bundle).digest()
    assert read(written(requests_of(bundle)))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_cut_and_any_changed_byte_is_refused(bundle: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(bundle) - 1))
    if data.draw(st.booleans()):
        damaged = bundle[:at]
    else:
        damaged = (
            bundle[:at] + bytes([bundle[at] ^ data.draw(st.integers(1, 255))]) + bundle[at + 1 :]
        )
    with pytest.raises(UsageError):
        read(damaged)


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=200))
def test_whatever_stands_in_a_frame_is_read_or_refused_in_words(content: bytes) -> None:
    data = MAGIC + VERSION.to_bytes(4, "big") + len(content).to_bytes(4, "big") + content
    data += bytes(4) + (1).to_bytes(4, "big")
    with pytest.raises(UsageError):
        read(data + hashlib.sha256(data).digest())


def _drop_hello(messages: Requests) -> None:
    del messages[0]


def _second_hello(messages: Requests) -> None:
    messages.append(messages[0])


def _wrong_blob(messages: Requests) -> None:
    messages[1].blob.data += b"x"


def _unknown_kind(messages: Requests) -> None:
    messages[1].blob.kind = 77  # type: ignore[assignment]


def _no_name(messages: Requests) -> None:
    messages[0].hello.host_facts = b""


def _other_protocol(messages: Requests) -> None:
    messages[0].hello.protocol_version = 9


def _twice(messages: Requests) -> None:
    messages.append(messages[-1])


def _gone(messages: Requests) -> None:
    messages[-1].batch.changes[0].gone.reason = "deleted"


def _bad_row(messages: Requests) -> None:
    messages[-1].batch.changes[0].row = b"\xff\xff"


def _nothing(messages: Requests) -> None:
    del messages[1:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_drop_hello, "does not begin with who wrote it"),
        (_second_hello, "neither a blob nor a batch"),
        (_wrong_blob, "hash-mismatch"),
        (_unknown_kind, "unknown kind"),
        (_no_name, "which host"),
        (_other_protocol, "protocol 9"),
        (_twice, "out of order"),
        (_gone, "what is gone"),
        (_bad_row, "row 1 is unfit, malformed"),
        (_nothing, "holds no rows"),
    ],
)
def test_each_lie_is_named(bundle: bytes, change: Callable[[Requests], None], said: str) -> None:
    messages = requests_of(bundle)
    change(messages)
    with pytest.raises(UsageError, match=said):
        read(written(messages))


def test_other_versions_and_what_is_too_long_are_refused(bundle: bytes) -> None:
    with pytest.raises(UsageError, match="of version 2"):
        read(written(requests_of(bundle), version=2))
    with pytest.raises(UsageError, match="behind the end"):
        read(bundle + b"x")
    huge = MAGIC + VERSION.to_bytes(4, "big") + b"\xff\xff\xff\xff"
    with pytest.raises(UsageError, match="too long"):
        read(huge)
    few = Limits(rows_per_host=1)
    with pytest.raises(UsageError, match="more than 1 rows"):
        read_bundle(io.BytesIO(bundle), few)


def test_a_bundle_that_lacks_a_certificate_is_taken_in_no_part(
    bundle: bytes, census: Census
) -> None:
    messages = [m for m in requests_of(bundle) if m.blob.kind != report_pb2.BLOB_KIND_CERTIFICATE]
    checked = read_bundle(io.BytesIO(written(messages)), LIMITS)
    with pytest.raises(UsageError, match="missing-blob"), census.store.write() as connection:
        take_bundle(connection, checked, actor="test", now_ms=1, limits=LIMITS)
    for table in (schema.host, schema.agent, schema.blob, schema.place):
        assert census.row(select(func.count()).select_from(table))[0] == 0
