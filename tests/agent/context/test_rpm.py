from __future__ import annotations

import gzip
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.package_root import names_in, owners_in

from keycensus_agent.context import rpm_berkeley, rpm_ndb, rpm_sqlite
from keycensus_agent.context.root_files import BlobFile, DamagedError
from keycensus_agent.context.rpm_header import files_of
from keycensus_agent.model import Package

FIXTURES = Path(__file__).parents[2] / "fixtures/packages"
PATHS = (
    b"/usr/share/demo/tls/root-7.pem",
    b"/etc/pki/demo/server.pem",
    b"/usr/share/pki/ca/root.crt",
)
EXPECTED = {
    PATHS[0]: "keycensus-demo-tls 4:1.2-3",
    PATHS[1]: "keycensus-demo-tls 4:1.2-3",
    PATHS[2]: "keycensus-demo-ca 2024.1-1",
}


def fixture(name: str) -> bytes:
    return gzip.decompress((FIXTURES / f"{name}.gz").read_bytes())


def read(file: Path, blobs: Callable[[BlobFile], Iterator[bytes]]) -> list[bytes]:
    with file.open("rb") as opened:
        return list(blobs(BlobFile(opened.fileno())))


def headers(tmp_path: Path) -> list[bytes]:
    file = tmp_path / "rpmdb.sqlite"
    file.write_bytes(fixture("rpmdb.sqlite"))
    return read(file, rpm_sqlite.blobs)


def ndb_of(blobs: list[bytes], *, pages: int = 1) -> bytes:
    """Write rpm's ndb form, as lib/backend/ndb/rpmpkg.c does; the first package was removed."""
    head = struct.pack("<4sIIII12x", b"RpmP", 0, 7, pages, len(blobs) + 1)
    slots = [struct.pack("<4sIII", b"Slot", 0, 0, 0)]
    body = b""
    for number, blob in enumerate(blobs, start=2):
        whole = struct.pack("<4sIII", b"BlbS", number, 1, len(blob)) + blob
        tail = struct.pack("<II4s", zlib.adler32(whole), len(blob), b"BlbE")
        whole += bytes(-(len(whole) + len(tail)) % 16) + tail
        at = (pages * 4096 + len(body)) // 16
        slots.append(struct.pack("<4sIII", b"Slot", number, at, len(whole) // 16))
        body += whole
    slots += [struct.pack("<4sIII", b"Slot", 0, 0, 0)] * (pages * 256 - 2 - len(slots))
    return head + b"".join(slots) + body


@pytest.fixture(params=["sqlite", "ndb", "berkeley-little", "berkeley-big"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, bytes]:
    if request.param == "sqlite":
        return "rpmdb.sqlite", fixture("rpmdb.sqlite")
    if request.param == "ndb":
        return "Packages.db", ndb_of(headers(tmp_path), pages=2)
    return "Packages", fixture(f"Packages-{request.param.partition('-')[2]}")


@pytest.mark.parametrize("where", ["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"])
def test_each_form_tells_whose_a_file_is(
    tmp_path: Path, database: tuple[str, bytes], where: str
) -> None:
    name, data = database
    root = tmp_path / "root"
    (root / where).mkdir(parents=True)
    (root / where / name).write_bytes(data)
    assert names_in(root, *PATHS, b"/usr/share/demo/tls/other.pem", b"/x") == EXPECTED
    installed = {package.installed_ns for package in owners_in(root, *PATHS).by_path.values()}
    assert all(1_700_000_000 < time / 1e9 < 2_000_000_000 for time in installed)


def test_an_empty_database_beside_the_real_one_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    (tmp_path / "var/lib/rpm/rpmdb.sqlite").touch()
    (tmp_path / "var/lib/rpm/Packages").write_bytes(fixture("Packages-little"))
    assert names_in(tmp_path, *PATHS) == EXPECTED


def test_a_damaged_database_is_named_as_unread(tmp_path: Path) -> None:
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    (tmp_path / "var/lib/rpm/Packages.db").write_bytes(
        struct.pack("<4sIII", b"RpmP", 0, 0, 1) + bytes(9000)
    )
    owners = owners_in(tmp_path, *PATHS)
    assert (owners.by_path, owners.unread) == ({}, ("rpm",))


def test_no_damage_does_worse_than_that(tmp_path: Path, database: tuple[str, bytes]) -> None:
    """Whatever bytes are flipped or missing: DamagedError, or what is left."""
    name, data = database
    blobs = {"rpmdb.sqlite": rpm_sqlite.blobs, "Packages.db": rpm_ndb.blobs}.get(
        name, rpm_berkeley.blobs
    )
    chance = random.Random(5)  # noqa: S311 - the same damage in each run
    damaged = tmp_path / "damaged"
    wanted = {b"/usr/share/demo/tls/": frozenset({b"root-7.pem"})}
    for round_ in range(150):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 4, 64))):
            # The structure stands at the beginning of pages.
            page = chance.randrange(len(data) // 4096 + 1) * 4096
            at = min(page + chance.randrange(40), len(data) - 1)
            changed[at] = chance.choice((0, 1, 127, 255, chance.randrange(256)))
        if round_ % 5 == 0:
            del changed[chance.randrange(len(changed)) :]
        damaged.write_bytes(changed)
        try:
            for blob in read(damaged, blobs):
                files_of(blob, wanted)
        except DamagedError:
            continue


@pytest.mark.parametrize(
    ("form", "at", "value"),
    [
        ("rpmdb.sqlite", 0, b"x"),
        ("rpmdb.sqlite", 16, b"\x00\x03"),
        ("rpmdb.sqlite", 100, b"\x07"),
        ("rpmdb.sqlite", 103, b"\xff\xff"),
        ("Packages-little", 12, b"x"),
        ("Packages-little", 20, b"\x03"),
        ("Packages-little", 24, b"\x01"),
    ],
)
def test_what_is_no_database_is_said_to_be_damaged(
    tmp_path: Path, form: str, at: int, value: bytes
) -> None:
    data = bytearray(fixture(form))
    data[at : at + len(value)] = value
    file = tmp_path / form
    file.write_bytes(data)
    with pytest.raises(DamagedError):
        read(file, rpm_sqlite.blobs if "sqlite" in form else rpm_berkeley.blobs)


def test_a_tree_that_goes_round_in_circles_ends(tmp_path: Path) -> None:
    page = bytearray(4096)
    page[:16], page[16:18] = b"SQLite format 3\0", struct.pack(">H", 4096)
    page[100], page[108:112] = 5, struct.pack(">I", 1)
    file = tmp_path / "circle"
    file.write_bytes(page * 40)
    with pytest.raises(DamagedError, match=r"circles|too often"):
        read(file, rpm_sqlite.blobs)


def header(tags: dict[int, tuple[int, int, bytes]]) -> bytes:
    index, data = b"", b""
    for tag, (kind, count, value) in tags.items():
        index += struct.pack(">IIII", tag, kind, len(data), count)
        data += value
    return struct.pack(">II", len(tags), len(data)) + index + data


def test_old_packages_have_whole_paths() -> None:
    blob = header(
        {
            1000: (6, 1, b"old\0"),
            1001: (6, 1, b"1\0"),
            1027: (8, 2, b"/etc/a.pem\0/etc/b.pem\0"),
        }
    )
    found = files_of(blob, {b"/etc/": frozenset({b"b.pem"})})
    assert found == (Package("rpm", "old", "1"), [b"/etc/b.pem"])
    assert files_of(blob, {b"/usr/": frozenset({b"b.pem"})}) is None


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        struct.pack(">II", 1, 0),
        struct.pack(">II", 0x10000, 0) + bytes(16 * 0x10000),
        header({1118: (8, 1, b"/etc/\0")})[:-1],
        header({1118: (8, 10_000, b"/etc/\0")}),
        header({1118: (8, 1, b"/etc/\0"), 1117: (8, 1, b"a\0"), 1116: (4, 9, bytes(4))}),
    ],
)
def test_a_header_that_is_none_is_damaged(blob: bytes) -> None:
    with pytest.raises(DamagedError):
        files_of(blob, {b"/etc/": frozenset({b"a"})})
