from __future__ import annotations

from fakes.agent_stream import gap_change, place_change, place_row, sha256
from hypothesis import given
from hypothesis import strategies as st

from keycensus_agent.model import Gap
from keycensus_collector.intake import convert
from keycensus_collector.intake.model import Batch, Limits
from keycensus_collector.intake.rows import Prepared, prepare
from keycensus_collector.text import safe_path
from keycensus_proto.v1 import inventory_pb2, report_pb2

LIMITS = Limits()


def prepared(*changes: report_pb2.Change) -> Prepared:
    request = report_pb2.ReportRequest(batch=report_pb2.Batch(sequence=1, changes=changes))
    message = convert.message_of(request)
    assert isinstance(message, Batch)
    return prepare(message, LIMITS)


def test_every_message_of_the_protocol_is_read() -> None:
    for field in report_pb2.ReportRequest.DESCRIPTOR.oneofs_by_name["message"].fields:
        request = report_pb2.ReportRequest()
        getattr(request, field.name).SetInParent()
        assert convert.message_of(request) is not None


def test_row_hash_is_over_the_bytes_as_they_came() -> None:
    # An unknown field, as a later agent may send it: kept, hashed, not understood.
    row = place_row(b"/a") + b"\xfa\x3e\x02hi"
    (change,) = prepared(place_change(b"/a", row)).places
    assert (change.row, change.row_hash) == (row, sha256(row))


def test_a_large_batch_gives_way_in_between() -> None:
    paths = [b"/srv/%d" % number for number in range(1000)]
    changes = [place_change(path, place_row(path)) for path in paths]
    message = convert.message_of(
        report_pb2.ReportRequest(batch=report_pb2.Batch(sequence=1, changes=changes))
    )
    assert isinstance(message, Batch)
    ways: list[None] = []
    assert prepare(message, LIMITS, lambda: ways.append(None)) == prepare(message, LIMITS)
    assert len(ways) >= 3


@given(st.binary(max_size=60).map(lambda tail: b"/" + tail.replace(b"\0", b"")))
def test_a_path_becomes_the_text_that_people_see(path: bytes) -> None:
    (change,) = prepared(place_change(path, place_row(path))).places
    text = change.columns[4]
    assert text == safe_path(path)
    assert isinstance(text, str)
    assert text.isprintable()


def test_package_and_readers_of_a_place_have_columns() -> None:
    package = inventory_pb2.Package(kind="dpkg", name="open\x1bssl", version="3.0-1")
    row = inventory_pb2.Place.FromString(place_row(b"/a"))
    row.package.CopyFrom(package)
    row.readable_by = "group user:web"
    changes = prepared(
        place_change(b"/a", row.SerializeToString()), place_change(b"/b", place_row(b"/b"))
    ).places
    columns = {change.columns[4]: change.columns[-3:] for change in changes}
    assert columns["/a"] == ("group user:web", "open\\x1bssl", "3.0-1")
    assert columns["/b"][1:] == ("", "")


def test_places_are_sorted_by_key_and_states_of_one_stay_in_order() -> None:
    paths = [b"/b", b"/a", b"/b", b"/c", b"/b"]
    result = prepared(
        *(place_change(path, place_row(path, size=at)) for at, path in enumerate(paths))
    )
    keys = [change.key for change in result.places]
    assert keys == sorted(keys)
    repeated = [change.position for change in result.places if change.columns[4] == "/b"]
    assert repeated == [0, 2, 4]


def test_what_is_no_row_of_its_class_is_refused_as_malformed() -> None:
    place = place_change(b"/a", place_row(b"/a"))
    wrong = [report_pb2.Change() for _ in range(6)]
    for change in wrong:
        change.CopyFrom(place)
    wrong[0].row = b"\xff\xff"
    wrong[1].ClearField("row")
    wrong[2].key = b"short"
    wrong[2].gone.SetInParent()
    wrong[3].row_class = inventory_pb2.ROW_CLASS_GAP
    wrong[4].row_class = inventory_pb2.ROW_CLASS_USAGE
    wrong[5].row_class = inventory_pb2.ROW_CLASS_HOST
    result = prepared(*wrong, place)
    assert [(item.position, item.reason) for item in result.refused] == [
        (at, "malformed") for at in range(6)
    ]
    assert len(result.places) == 1


def test_rows_with_oversized_fields_are_refused_as_malformed() -> None:
    scope = inventory_pb2.Scope(kind="host", name=b"n" * 4097)
    long_kind = inventory_pb2.Scope(kind="k" * 257)
    rows = [
        place_row(b"/a", target=b"/" + b"t" * 4096),
        place_row(b"/a", target=b"/\0"),
        place_row(b"/a", file_id=b"f" * 33),
        place_row(b"/a", status="s" * 257),
        place_row(b"/a", scope=scope),
        place_row(b"/a", scope=long_kind),
        place_row(b""),
    ]
    result = prepared(
        *(place_change(b"/a", row) for row in rows),
        place_change(b"/a", place_row(b"/a"), cause="c" * 257),
        gap_change(Gap(b"/a", "r", "d" * 1025)),
        gap_change(Gap(b"relative", "r")),
        gap_change(Gap(b"/a", "r" * 257)),
    )
    assert len(result.refused) == 11
    assert result.places == []


def test_host_facts_that_are_too_many_are_refused() -> None:
    many = inventory_pb2.HostFacts(labels={str(number): "x" for number in range(65)})
    long = inventory_pb2.HostFacts(roots=[b"r" * 65_536])
    short = inventory_pb2.HostFacts(machine_hash=b"short")
    for facts in (many, long, short):
        change = report_pb2.Change(
            row_class=inventory_pb2.ROW_CLASS_HOST, key=bytes(32), row=facts.SerializeToString()
        )
        assert [item.reason for item in prepared(change).refused] == ["malformed"]


@given(st.binary(max_size=200))
def test_any_bytes_as_a_row_give_a_refusal_and_nothing_else(row: bytes) -> None:
    for row_class in (1, 2, 3, 4, 5):
        change = report_pb2.Change(
            row_class=inventory_pb2.RowClass.ValueType(row_class), key=bytes(32), row=row
        )
        result = prepared(change)
        assert len(result.refused) + (result.host is not None) == 1


@given(st.binary(max_size=200))
def test_any_bytes_as_a_manifest_are_read_or_refused(data: bytes) -> None:
    from keycensus_collector.intake.blobs import UnfitBlobError, check_blob
    from keycensus_collector.intake.model import BlobKey, ReceivedBlob

    try:
        checked = check_blob(ReceivedBlob(BlobKey(1, sha256(data)), data))
    except UnfitBlobError as error:
        assert str(error) == "malformed"  # noqa: PT017 - most bytes are refused, not all
    else:
        assert checked.manifest is not None
