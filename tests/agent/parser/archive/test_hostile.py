"""Archives made to break whoever opens them: bombs, quines, lies. Every limit ends in a reason."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.model import Parsed, Status
from keycensus_agent.parser import dispatch
from keycensus_agent.parser.archive import effort, search, streams, tar_archive, zip_archive
from keycensus_agent.parser.archive.streams import BytesSource
from keycensus_agent.parser.dispatch import parse_archive
from keycensus_agent.parser.findings import FormatResult, Hint, Request

CHAIN = (FILES / "chain-with-key.pem").read_bytes()
CERTIFICATE = (FILES / "certificate.cer").read_bytes()
MEBIBYTE = 1 << 20


def zipped(
    members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, *, comment: bytes = b""
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.comment = comment
    return buffer.getvalue()


def tarred(members: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return buffer.getvalue()


def look(data: bytes, name: bytes = b"/srv/x", clock: Callable[[], float] = lambda: 0.0) -> Parsed:
    return parse_archive(BytesSource(data), Hint(name), clock=clock)


def names(parsed: Parsed) -> list[str]:
    return list(dict.fromkeys(entry.member.decode() for entry in parsed.entries))


# --- limits ---------------------------------------------------------------------------------------


def test_archives_in_archives_are_read_to_a_depth_and_then_said_to_go_on() -> None:
    data = zipped({"x.pem": CHAIN})
    for level in range(effort.DEPTH_LIMIT - 1):
        data = zipped({f"{level}.zip": data, "beside.pem": CHAIN})
    parsed = look(data)
    assert parsed.status is Status.READ
    assert "4.zip!/3.zip!/2.zip!/1.zip!/0.zip!/x.pem" in names(parsed)
    deeper = look(zipped({"deeper.zip": data, "after.pem": CHAIN}))
    assert (deeper.status, deeper.reason) == (Status.PARTIAL, "limit-depth")
    assert "after.pem" in names(deeper)
    assert "deeper.zip!/4.zip!/beside.pem" in names(deeper)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_tower_of_compressions_ends_at_the_depth(compress: Callable[[bytes], bytes]) -> None:
    data = CHAIN
    for _ in range(40):
        data = compress(data)
    parsed = look(data)
    assert (parsed.status, parsed.reason, parsed.entries) == (Status.PARTIAL, "limit-depth", ())


def test_an_archive_that_holds_itself_ends_at_the_depth() -> None:
    """As r.zip does: whatever is read of it, its one member starts like it again."""
    inner = gzip.compress(b"")
    for _ in range(1000):
        inner = gzip.compress(inner)
    assert look(zipped({"r.zip": inner})).reason == "limit-depth"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(tarred({"a": bytes(30 * MEBIBYTE)})), "limit-ratio"),
        (bz2.compress(tarred({"a": bytes(40 * MEBIBYTE)})), "limit-ratio"),
    ],
)
def test_a_bomb_ends_where_it_yields_too_much_for_its_size(data: bytes, reason: str) -> None:
    parsed = look(data)
    assert (parsed.status, parsed.reason, parsed.entries) == (Status.PARTIAL, reason, ())


def test_a_bomb_in_a_zip_is_not_even_unpacked() -> None:
    parsed = look(zipped({"zeros": bytes(64 * MEBIBYTE), "x.pem": CHAIN}))
    assert (parsed.status, names(parsed)) == (Status.READ, ["x.pem"])


def test_a_bomb_of_text_costs_no_more_than_text_does() -> None:
    parsed = look(zipped({**{str(number): b"a" * 2 * MEBIBYTE for number in range(40)}}))
    assert (parsed.status, parsed.reason) == (Status.PARTIAL, "limit-ratio")


def test_more_bytes_than_the_limit_end_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "BYTES_LIMIT", 3 * MEBIBYTE)
    noise = zlib.compress(bytes(range(256)) * 16) * 500
    parsed = look(gzip.compress(tarred({"x.pem": CHAIN, "noise": noise * 100, "y.pem": CHAIN})))
    assert (parsed.status, parsed.reason, names(parsed)) == (
        Status.PARTIAL,
        "limit-size",
        ["x.pem"],
    )


def test_more_members_than_the_limit_end_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "MEMBERS_LIMIT", 50)
    for make in (zipped, tarred):
        members = {"x.pem": CHAIN, **{str(number): b"" for number in range(100)}, "y.pem": CHAIN}
        parsed = look(make(members))
        assert (parsed.status, parsed.reason) == (Status.PARTIAL, "limit-members")
        assert names(parsed) == ["x.pem"]


def test_names_that_are_passed_over_are_counted_and_bounded_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(effort, "MEMBERS_LIMIT", 3)
    few = look(zipped({f"{number}.class": b"" for number in range(100)} | {"x.pem": CHAIN}))
    assert few.counters == (("archive-members-passed-over", 100),)
    assert names(few) == ["x.pem"]
    many = look(zipped({f"{number}.class": b"" for number in range(300)} | {"x.pem": CHAIN}))
    assert (many.status, many.reason) == (Status.PARTIAL, "limit-members")


def test_findings_without_end_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "KEPT_LIMIT", 20_000)
    parsed = look(zipped({f"{number}.cer": CERTIFICATE for number in range(100)}))
    assert (parsed.status, parsed.reason) == (Status.PARTIAL, "limit-entries")
    assert 10 < len(parsed.entries) < 100


def test_processor_time_ends_the_search_and_what_was_found_stays() -> None:
    ticks = iter(range(1000))
    parsed = look(
        zipped({f"{number}.pem": CHAIN for number in range(200)}), clock=lambda: next(ticks)
    )
    assert (parsed.status, parsed.reason) == (Status.PARTIAL, "limit-cpu")
    assert 1 <= len(names(parsed)) < 200


def test_a_keystore_over_the_limit_is_said_to_be_and_the_next_member_read() -> None:
    jks = b"\xfe\xed\xfe\xed\0\0\0\2" + bytes(9 * MEBIBYTE)
    parsed = look(tarred({"huge.jks": jks, "x.pem": CHAIN}))
    assert (parsed.status, parsed.reason, names(parsed)) == (
        Status.PARTIAL,
        "limit-size",
        ["x.pem"],
    )


def test_long_text_is_read_as_far_as_a_file_would_be_and_counted() -> None:
    text = CHAIN + b"# text\n" * 200_000 + CHAIN
    parsed = look(tarred({"long.log": text}), b"/mnt/x.tar")
    assert len(parsed.entries) == 3
    assert (parsed.status, parsed.reason) == (Status.PARTIAL, "text-too-long")
    assert parsed.counters == (("archive-text-too-long", 1),)
    assert len(look(tarred({"long.log": text}), b"/etc/x.tar").entries) == 6


def test_xz_with_a_large_window_is_read_as_far_as_memory_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "_LARGE_WINDOW_OUTPUT", MEBIBYTE)
    small = lzma.compress(tarred({"x.pem": CHAIN}), preset=9)
    assert names(look(small)) == ["x.pem"]
    noise = b"".join(zlib.compress(str(number).encode()) for number in range(150_000))
    large = lzma.compress(
        tarred({"x.pem": CHAIN, "noise": noise + b"\0", "y.pem": CHAIN}),
        filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 26}],
    )
    parsed = look(large)
    assert (parsed.status, parsed.reason, names(parsed)) == (
        Status.PARTIAL,
        "limit-memory",
        ["x.pem"],
    )
    huge = lzma.compress(
        CHAIN, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 27}]
    )
    assert (look(huge).status, look(huge).reason) == (Status.PARTIAL, "limit-memory")


# --- zip that lies --------------------------------------------------------------------------------


def directory_at(data: bytes) -> int:
    return data.rindex(b"PK\x01\x02")


def test_members_that_overlap_are_read_each_and_bounded_by_what_comes_out() -> None:
    """As in the better zip bomb: a thousand entries of the directory mean the same bytes."""
    data = zipped({"x.pem": CHAIN})
    at = directory_at(data)
    end = data.index(b"PK\x05\x06")
    entry = data[at:end]
    count = 200
    record = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(entry) * count, at, 0)
    parsed = look(data[:at] + entry * count + record)
    assert parsed.status in (Status.READ, Status.PARTIAL)
    assert names(parsed) == ["x.pem"]
    bomb = zipped({"a": b"a" * MEBIBYTE})
    count = 60
    at, end = directory_at(bomb), bomb.index(b"PK\x05\x06")
    entry = bomb[at:end]
    record = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(entry) * count, at, 0)
    parsed = look(bomb[:at] + entry * count + record)
    assert (parsed.status, parsed.reason) == (Status.PARTIAL, "limit-ratio")


def test_another_name_in_front_of_the_data_than_in_the_directory_is_told() -> None:
    data = zipped({"x.pem": CHAIN})
    changed = data.replace(b"x.pem", b"y.txt", 1)
    parsed = look(changed)
    assert names(parsed) == ["x.pem"]
    assert (parsed.status, parsed.reason) == (Status.PARTIAL, "mismatched-headers")


def test_an_archive_before_the_archive_is_read_too() -> None:
    first, second = zipped({"hidden.pem": CHAIN}), zipped({"x.pem": CHAIN})
    assert names(look(first + second)) == ["hidden.pem", "x.pem"]
    assert names(look(first[: directory_at(first)] + second)) == ["hidden.pem", "x.pem"]


def test_what_the_directory_does_not_list_is_not_read() -> None:
    """Whoever opens the archive does not see it either."""
    data = zipped({"x.pem": CHAIN, "hidden.pem": CHAIN})
    at, end = directory_at(data), data.index(b"PK\x05\x06")
    record = bytearray(data[end:])
    size = at - data.index(b"PK\x01\x02")
    record[8:16] = struct.pack("<HHI", 1, 1, size)
    assert names(look(data[:at] + bytes(record))) == ["x.pem"]


def test_a_directory_that_leads_nowhere_costs_that_member() -> None:
    data = bytearray(zipped({"a.pem": CHAIN, "b.pem": CHAIN}))
    at = data.index(b"PK\x01\x02")
    data[at + 42 : at + 46] = struct.pack("<I", 0x7FFFFFFF)
    parsed = look(bytes(data))
    assert (parsed.status, parsed.reason, names(parsed)) == (
        Status.PARTIAL,
        "malformed-zip",
        ["b.pem"],
    )


def test_a_directory_that_breaks_off_gives_what_it_listed() -> None:
    data = bytearray(zipped({"a.pem": CHAIN, "b.pem": CHAIN}))
    at = directory_at(bytes(data))
    data[at : at + 4] = b"XXXX"
    parsed = look(bytes(data))
    assert (parsed.status, parsed.reason, names(parsed)) == (
        Status.PARTIAL,
        "malformed-zip",
        ["a.pem"],
    )


@pytest.mark.parametrize("keep", [1, 30, 60])
def test_an_archive_without_its_end_is_read_from_the_front(keep: int) -> None:
    data = zipped({"a.pem": CHAIN, "b.pem": CHAIN})
    parsed = look(data[: data.index(b"PK\x01\x02") + keep])
    assert set(names(parsed)) == {"a.pem", "b.pem"}


def test_bytes_before_an_archive_are_passed_over_however_its_offsets_count() -> None:
    data = zipped({"x.pem": CHAIN}, comment=b"c" * 60_000)
    assert names(look(b"MZ" + bytes(10_000) + data)) == ["x.pem"]
    buffer = io.BytesIO(b"#!/bin/sh\nexit\n")
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("x.pem", CHAIN)
    assert names(look(buffer.getvalue())) == ["x.pem"]
    assert names(look(data + b"behind it")) == ["x.pem"]


def test_a_record_that_looks_like_the_end_in_the_comment_does_not_hide_the_archive() -> None:
    fake = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, 0xFFFFFF, 5, 0)
    assert names(look(zipped({"x.pem": CHAIN}, comment=b"x" + fake + b"x"))) == ["x.pem"]
    assert names(look(zipped({"x.pem": CHAIN}, comment=b"x" + fake[:10]))) == ["x.pem"]


def zip_64(*, before: bytes = b"") -> bytes:
    """Return a zip whose sizes, offset and directory are all in their fields of 64 bits."""
    packed = zlib.compress(CHAIN)[2:-4]
    extra = struct.pack("<HHQQ", 1, 16, len(CHAIN), len(packed))
    other = struct.pack("<HHI", 0x5455, 4, 0)
    local = struct.pack("<4s5HIIIHH", b"PK\3\4", 45, 0, 8, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, 5, 28)
    front = local + b"x.pem" + other + extra + packed
    extra = struct.pack("<HHQQQ", 1, 24, len(CHAIN), len(packed), 0)
    central = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 8, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, 5, 36, 0, 0, 0, 0,
        0xFFFFFFFF,
    )  # fmt: skip
    directory = central + b"x.pem" + other + extra
    end = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(directory), len(front))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(front) + len(directory), 1)
    record = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return before + front + directory + end + locator + record


def test_zip64_is_read_in_place_behind_a_program_and_from_the_front() -> None:
    assert names(look(zip_64())) == ["x.pem"]
    assert names(look(zip_64(before=b"MZ" + bytes(500)))) == ["x.pem"]
    assert names(look(zip_64()[:-150])) == ["x.pem"]
    broken = zip_64().replace(b"PK\6\6", b"XXXX")
    assert names(look(broken)) == ["x.pem"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED])
def test_other_compressions_of_zip_are_read(method: int) -> None:
    assert names(look(zipped({"x.pem": CHAIN}, method))) == ["x.pem"]
    data = zipped({"x.pem": CHAIN}, method)
    assert names(look(data[: directory_at(data)])) == ["x.pem"]


def test_an_unknown_compression_costs_its_member() -> None:
    data = bytearray(zipped({"a.pem": CHAIN, "b.pem": CHAIN}))
    for magic, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        at = data.index(magic)
        data[at + offset : at + offset + 2] = struct.pack("<H", 99)
    for each in (bytes(data), bytes(data[: data.index(b"PK\1\2")])):
        parsed = look(each)
        assert (parsed.status, parsed.reason, names(parsed)) == (
            Status.PARTIAL,
            "unknown-compression",
            ["b.pem"],
        )


@pytest.mark.parametrize("properties", [b"\xff\0\0\1\0", b"\x5d"])
def test_lzma_with_a_broken_header_costs_its_member(properties: bytes) -> None:
    body = struct.pack("<HH", 0, len(properties)) + properties + b"data"
    local = struct.pack("<4s5HIIIHH", b"PK\3\4", 20, 0, 14, 0, 0, 0, len(body), 9999, 5, 0)
    good = zipped({"x.pem": CHAIN})
    parsed = look(local + b"a.pem" + body + good[: directory_at(good)])
    assert (parsed.reason, names(parsed)) == ("unknown-compression", ["x.pem"])


def unsized(name: bytes, body: bytes, method: int, *, magic: bool) -> bytes:
    local = struct.pack("<4s5HIIIHH", b"PK\3\4", 20, 8, method, 0, 0, 0, 0, 0, len(name), 0)
    return local + name + body + (b"PK\7\x08" if magic else b"") + bytes(12)


def test_members_whose_sizes_stand_behind_them_are_read_from_the_front() -> None:
    packed = zlib.compress(CHAIN)[2:-4]
    data = unsized(b"a.pem", packed, 8, magic=True) + unsized(b"b.pem", packed, 8, magic=False)
    assert names(look(data)) == ["a.pem", "b.pem"]
    assert names(look(gzip.compress(tarred({"x.jar": data})))) == ["x.jar!/a.pem", "x.jar!/b.pem"]
    assert names(look(data[:-100])) == ["a.pem", "b.pem"]
    stored = look(data + unsized(b"c.pem", CHAIN, 0, magic=True))
    assert (stored.reason, names(stored)) == ("malformed-zip", ["a.pem", "b.pem"])


def test_encrypted_members_are_told_and_cost_the_others_nothing() -> None:
    good = zipped({"x.pem": CHAIN})
    local = struct.pack("<4s5HIIIHH", b"PK\3\4", 20, 1, 8, 0, 0, 0, 100, 100, 5, 0)
    data = local + b"a.pem" + bytes(100) + good[: directory_at(good)]
    parsed = look(data)
    assert (parsed.status, parsed.reason) == (Status.PARTIAL, "password-needed")
    only = look(local + b"a.pem" + bytes(100))
    assert (only.status, only.reason, only.entries) == (Status.LOCKED, "password-needed", ())
    picture = struct.pack("<4s5HIIIHH", b"PK\3\4", 20, 1, 8, 0, 0, 0, 100, 100, 5, 0)
    assert look(picture + b"a.png" + bytes(100)).status is Status.READ


# --- tar that lies --------------------------------------------------------------------------------


def header(size: bytes, kind: bytes = b"0", name: bytes = b"x.pem") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108] = b"0000644\0"
    block[124:136] = size.ljust(12, b"\0")
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "size",
    [
        b"77777777777",
        b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x80" + b"\xff" * 11,
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"-0000000001",
        b"0x10",
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_sizes_that_are_huge_or_negative_end_the_archive_and_lose_nothing_before(
    size: bytes, compress: Callable[[bytes], bytes]
) -> None:
    front = tarred({"a.pem": CHAIN})[: 512 * 5]
    parsed = look(compress(front + header(size) + CHAIN))
    assert names(parsed)[0] == "a.pem"
    assert parsed.status is Status.PARTIAL
    assert parsed.reason in ("truncated", "malformed-tar")


def test_sizes_on_what_has_no_bytes_are_not_believed() -> None:
    front = header(b"77777777777", b"5", b"directory/") + header(b"00000000777", b"2", b"link")
    assert names(look(front + tarred({"a.pem": CHAIN}))) == ["a.pem"]


def test_a_sparse_file_with_a_long_map_is_read_behind_it() -> None:
    block = bytearray(header(b"%011o" % len(CHAIN), b"S"))
    block[482] = 1
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    more = bytes(504) + b"\1" + bytes(7)
    body = CHAIN + bytes(-len(CHAIN) % 512)
    parsed = look(bytes(block) + more + bytes(512) + body + bytes(1024))
    assert (parsed.status, names(parsed)) == (Status.READ, ["x.pem"])


@pytest.mark.parametrize(
    "record",
    [
        b"999999 path=y\n",
        b"0 path=y\n",
        b"path",
        b"7 a",
        b"12 size=zzzz\n",
        b"30 size=" + b"9" * 25,
    ],
)
def test_broken_extended_headers_are_passed_over(record: bytes) -> None:
    extended = header(b"%011o" % len(record), b"x") + record.ljust(512, b"\0")
    parsed = look(extended + tarred({"a.pem": CHAIN}))
    assert len(parsed.entries) == 3


def test_an_extended_header_may_give_name_and_size() -> None:
    record = b"20 path=dir/new.pem\n" + b"%d size=%d\n" % (13, len(CHAIN))
    extended = header(b"%011o" % len(record), b"x") + record.ljust(512, b"\0")
    body = header(b"0") + CHAIN + bytes(-len(CHAIN) % 512)
    assert names(look(extended + body + bytes(1024))) == ["dir/new.pem"]


def test_an_extended_header_that_breaks_off_ends_the_archive() -> None:
    front = tarred({"a.pem": CHAIN})[: 512 * 5]
    parsed = look(front + header(b"00000001777", b"L") + b"name")
    assert (parsed.status, parsed.reason) == (Status.PARTIAL, "truncated")


def test_archives_joined_behind_their_ends_are_read_and_other_data_is_none() -> None:
    joined = tarred({"a.pem": CHAIN}) + tarred({"b.pem": CHAIN})
    assert names(look(joined)) == ["a.pem", "b.pem"]
    noise = tarred({"a.pem": CHAIN}) + b"not a header" * 100
    assert look(noise).status is Status.READ
    padded = tarred({"a.pem": CHAIN}) + bytes(512 * 200)
    assert look(padded).status is Status.READ
    assert look(tarred({"a.pem": CHAIN})[: 512 * 5] + b"half").reason == "truncated"


# --- compressed files that lie --------------------------------------------------------------------


def test_a_wrong_length_or_checksum_behind_the_data_costs_nothing() -> None:
    data = gzip.compress(CHAIN)
    for trailer in (bytes(8), b"\xff" * 8, b"\xff", b"", bytes(8) + b"not gzip"):
        parsed = look(data[:-8] + trailer)
        assert (parsed.status, len(parsed.entries)) == (Status.READ, 3)


def test_every_field_of_a_gzip_header_is_passed_over() -> None:
    body = gzip.compress(CHAIN, mtime=0)[10:]
    fields = struct.pack("<H", 3) + b"abc" + b"name\0" + b"comment\0" + b"\0\0"
    assert len(look(b"\x1f\x8b\x08\x1e" + bytes(6) + fields + body).entries) == 3
    endless = b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 70_000
    assert look(endless).entries == ()


def test_a_million_empty_streams_end_by_the_clock() -> None:
    ticks = iter(range(100))
    parsed = look(gzip.compress(b"") * 1000, clock=lambda: next(ticks) / 4)
    assert (parsed.status, parsed.reason) == (Status.PARTIAL, "limit-cpu")


@pytest.mark.parametrize(
    "compress", [gzip.compress, partial(bz2.compress, compresslevel=1), lzma.compress]
)
def test_data_that_breaks_gives_what_came_out(compress: Callable[[bytes], bytes]) -> None:
    noise = b"".join(zlib.compress(str(number).encode()) for number in range(30_000))
    data = bytearray(compress(tarred({"x.pem": CHAIN, "noise": noise, "y.pem": CHAIN})))
    data[-len(data) // 8] ^= 0xFF
    data[-len(data) // 8 + 1] ^= 0xFF
    parsed = look(bytes(data))
    assert "x.pem" in names(parsed)


# --- members ----------------------------------------------------------------------------------------


def test_names_are_raw_bytes_and_cut_at_the_protocols_limit() -> None:
    name = b"dir\n\x1b[31m\xff/" + b"n" * 5000
    local = struct.pack(
        "<4s5HIIIHH", b"PK\3\4", 20, 0, 0, 0, 0, 0, len(CHAIN), len(CHAIN), len(name), 0
    )
    (first, *_) = look(local + name + CHAIN).entries
    assert first.member == name[:4096]


def test_the_same_certificate_in_many_members_is_kept_once() -> None:
    parsed = look(zipped({f"{number}.cer": CERTIFICATE for number in range(9)}))
    assert len(parsed.entries) == 9
    assert sum(len(blob.data) == len(CERTIFICATE) for blob in parsed.blobs) == 1


def test_a_damaged_member_makes_the_file_partial_with_that_reason() -> None:
    damaged = (FILES / "damaged.pem").read_bytes()
    parsed = look(zipped({"damaged.pem": damaged, "x.pem": CHAIN}))
    assert (parsed.status, parsed.reason) == (Status.PARTIAL, "bad-base64")
    lost = look(zipped({"x.pem": b"-----BEGIN CERTIFICATE-----\n" + b"QUJD" * 40}))
    assert (lost.status, lost.reason) == (Status.MALFORMED, "unclosed-block")


def test_what_is_no_candidate_is_read_no_further() -> None:
    read: list[bytes] = []

    def spy(_: bytes, request: Request) -> FormatResult:
        read.append(request.hint.name)
        return FormatResult("x")

    members = {"picture.bin": b"\x89PNG\0" * 20, "small": b"x" * 43, "a.exe": CHAIN, "x.pem": CHAIN}
    program = b"MZ" + bytes(100) + zipped({"y.pem": CHAIN})
    members["sfx"] = program
    found = search.search(BytesSource(zipped(members)), Request(Hint(b"/x")), spy, lambda: 0.0)
    assert read == [b"x.pem", b"sfx!/y.pem"]
    assert found.counters == {"archive-members-passed-over": 1}


def test_formats_that_fail_on_a_member_are_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> FormatResult:
        raise MemoryError

    monkeypatch.setattr(dispatch, "_first_that_holds", fail)
    with pytest.raises(MemoryError):
        look(zipped({"x.pem": CHAIN}))


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"7z\xbc\xaf\x27\x1c\0\4", "7z"),
        (b"Rar!\x1a\x07\1\0", "rar"),
        (b"!<arch>\ndebian-binary  \0", "deb"),
        (b"070701" + b"0" * 104 + b"x\0", "cpio"),
    ],
)
def test_other_archives_are_counted_as_not_searched(head: bytes, name: str) -> None:
    parsed = look(head + bytes(100))
    assert parsed == Parsed(name, Status.READ, counters=((f"archives-not-searched-{name}", 1),))


def test_a_trailing_signature_of_the_directory_is_no_damage() -> None:
    data = zipped({"x.pem": CHAIN})
    end = data.index(b"PK\x05\x06")
    record = bytearray(data[end:])
    signature = b"PK\5\5" + struct.pack("<H", 4) + b"sign"
    at = data.index(b"PK\1\2")
    record[12:16] = struct.pack("<I", end - at + len(signature))
    assert look(data[:end] + signature + bytes(record)).status is Status.READ


def test_something_between_the_directory_and_its_end_does_not_hide_it() -> None:
    data = zipped({"x.pem": CHAIN})
    end = data.index(b"PK\x05\x06")
    assert names(look(data[:end] + b"signing block" + data[end:])) == ["x.pem"]


def test_a_directory_longer_than_one_piece_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for piece in (100, 150, 1000):
        monkeypatch.setattr(zip_archive, "_DIRECTORY_PIECE", piece)
        members = {f"{number}.pem": CHAIN for number in range(20)}
        assert names(look(zipped(members))) == list(members)


def test_a_directory_that_is_longer_than_the_file_ends_with_it() -> None:
    data = bytearray(zipped({"x.pem": CHAIN}))
    end = data.index(b"PK\x05\x06")
    data[end + 8 : end + 12] = b"\xff" * 4
    data[end:end] = b"something between"
    parsed = look(bytes(data))
    assert names(parsed) == ["x.pem"]
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, 0, 1)
    assert names(look(bytes(data[: end + 17]) + locator + bytes(data[end + 17 :]))) == ["x.pem"]


def test_an_end_that_means_no_directory_leaves_the_local_headers() -> None:
    data = zipped({"x.pem": CHAIN})
    end = data.index(b"PK\x05\x06")
    record = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, 20, 3, 0)
    assert names(look(data[:end] + record)) == ["x.pem"]


def test_a_tar_passes_over_what_a_zip_does() -> None:
    parsed = look(tarred({"a.class": CHAIN, "x.pem": CHAIN}))
    assert (names(parsed), parsed.counters) == (["x.pem"], (("archive-members-passed-over", 1),))


def test_many_bytes_before_the_first_that_comes_out_of_xz_are_not_kept() -> None:
    """A stream of empty blocks: none of them may grow what is kept to be fed again."""
    empty = lzma.compress(b"")
    assert len(look(empty * 2000 + lzma.compress(CHAIN)).entries) == 3


def test_a_file_that_shrinks_while_it_is_read_ends_there() -> None:
    class Shrinking(BytesSource):
        def read_at(self, offset: int, size: int) -> bytes:
            return b"" if size > 1000 and offset else super().read_at(offset, size)

    parsed = parse_archive(Shrinking(zipped({f"{n}.pem": CHAIN for n in range(30)})), Hint(b"/x"))
    assert parsed.entries == ()


def test_padding_without_end_is_not_followed_to_its_end() -> None:
    assert len(look(lzma.compress(CHAIN) + bytes(MEBIBYTE) + lzma.compress(CHAIN)).entries) == 3


def test_a_map_of_a_sparse_file_without_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_archive, "_SPARSE_BLOCKS", 10)
    block = bytearray(header(b"%011o" % len(CHAIN), b"S"))
    block[482] = 1
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    more = bytes(504) + b"\1" + bytes(7)
    front = tarred({"a.pem": CHAIN})[: 512 * 5]
    assert names(look(front + bytes(block) + more * 200)) == ["a.pem"]
