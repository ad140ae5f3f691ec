from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes.parser_stub import ParserStub
from fakes.unprivileged import as_nobody, open_descriptors, open_directory

from keycensus_agent.model import Coverage, Gap, Parsed, Status
from keycensus_agent.parser.triage import text_place
from keycensus_agent.reader import inspect as inspect_module
from keycensus_agent.reader.discovery.directory import Directory, Mount
from keycensus_agent.reader.inspect import Inspected, Inspector
from keycensus_agent.reader.key_names import is_key_like

MOUNT = Mount(b"k" * 16, "ext4", b"/dev/vda", b"/", b"/")
PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@dataclass
class Bench:
    """An inspector over one real directory that is said to be /etc/x."""

    path: Path
    parser: ParserStub = field(default_factory=ParserStub)
    known: frozenset[bytes] = frozenset()

    def __post_init__(self) -> None:
        self.found: list[Inspected] = []
        self.coverage = Coverage()
        self.inspector = Inspector(
            self.parser, self.found.append, self.coverage, is_known=self.known.__contains__
        )
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        self.directory = Directory(b"/etc/x", fd, MOUNT, [], [], [], [], listed=True)

    def inspect(self, name: str, facts: os.stat_result | None = None) -> bool:
        seen = facts or os.stat(name, dir_fd=self.directory.fd, follow_symlinks=False)
        return self.inspector.inspect(self.directory, name, seen.st_size)

    def write(self, name: str, content: bytes) -> os.stat_result:
        (self.path / name).write_bytes(content)
        return (self.path / name).lstat()

    def close(self) -> None:
        os.close(self.directory.fd)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_a_file_with_a_pem_block_is_parsed_and_told_once(bench: Bench) -> None:
    facts = bench.write("any.name", b"some words\n" + PEM)
    assert bench.inspect("any.name")
    bench.inspector.finish()
    (inspected,) = bench.found
    assert inspected.path == b"/etc/x/any.name"
    assert inspected.facts.inode == facts.st_ino
    assert inspected.facts.ctime_ns == facts.st_ctime_ns
    assert inspected.parsed is not None
    assert len(inspected.parsed.entries) == 1
    assert not inspected.changed
    assert bench.parser.received == [b"some words\n" + PEM]


@pytest.mark.parametrize(
    "content",
    [b"", b"tiny", b"plain text " * 50, b"\x7fELF\0" + bytes(9000), b"line\n" * 90_000],
    ids=["empty", "tiny", "text", "binary", "long text"],
)
def test_a_file_that_holds_nothing_is_never_parsed(bench: Bench, content: bytes) -> None:
    bench.write("f", content)
    assert not bench.inspect("f")
    bench.inspector.finish()
    assert bench.found == []
    assert bench.parser.parsed == []


def test_counters_say_what_was_done(bench: Bench) -> None:
    bench.write("tiny", b"x")
    bench.write("binary", b"\x7fELF\0" + bytes(9000))
    bench.write("text", b"some text that holds nothing at all, in one line\n")
    for name in ("tiny", "binary", "text"):
        bench.inspect(name)
    bench.inspector.finish()
    bench.inspector.finish()
    assert bench.coverage.counters == {
        "bytes-read": 9005 + 49,
        "binary-skipped": 1,
        "too-small": 1,
        "files-opened": 2,
    }
    assert bench.inspector.files_opened == 2


def test_a_block_far_behind_the_head_is_found(bench: Bench) -> None:
    bench.write("log", b"word " * 100_000 + PEM)
    assert bench.inspect("log")
    assert bench.parser.received[0].endswith(PEM)


def test_what_looked_like_something_and_is_nothing_is_told_as_nothing(bench: Bench) -> None:
    bench.write("f", PEM + b"nothing")
    assert bench.inspect("f")
    bench.inspector.finish()
    assert [inspected.parsed for inspected in bench.found] == [None]


def test_results_that_come_late_are_told_by_finish(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ParserStub(lazy=True))
    for number in range(5):
        bench.write(f"f{number}", PEM + bytes([65 + number]))
        assert bench.inspect(f"f{number}")
    assert bench.found == []
    bench.inspector.finish()
    assert [inspected.path[-2:] for inspected in bench.found] == [b"f0", b"f1", b"f2", b"f3", b"f4"]
    bench.close()


def test_text_beyond_the_cap_is_searched_at_its_start_and_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect_module, "CONFIGURATION_TEXT_CAP", 15_000)
    short = text_place(b"/srv/")._replace(cap=10_000)
    monkeypatch.setattr(inspect_module, "text_place", lambda _: short)
    bench.write("start", PEM + b"x" * 20_000)
    bench.write("end", b"x" * 20_000 + PEM)
    bench.write("whole", PEM + b"x" * 11_000 + PEM)
    assert bench.inspect("start")
    assert not bench.inspect("end")
    assert bench.inspect("whole")
    bench.inspector.finish()
    inspected, whole = bench.found
    assert whole.parsed is not None
    assert (whole.parsed.status, len(bench.parser.received[1])) == (Status.READ, whole.facts.size)
    assert inspected.parsed is not None
    assert (inspected.parsed.status, inspected.parsed.reason) == (Status.PARTIAL, "text-too-long")
    assert len(bench.parser.received[0]) == 15_000
    assert bench.coverage.counters["text-too-long"] == 2


def test_a_keystore_beyond_the_cap_is_named_and_not_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect_module, "BINARY_CAP", 5000)
    bench.write("big.jks", b"\xfe\xed\xfe\xed\0\0\0\2" + bytes(6000))
    assert bench.inspect("big.jks")
    (inspected,) = bench.found
    assert inspected.parsed == Parsed("", Status.TOO_BIG, "limit-size")
    assert bench.parser.parsed == []


def test_a_sparse_file_of_a_terabyte_costs_one_read(bench: Bench) -> None:
    with (bench.path / "sparse.pem").open("wb") as file:
        file.truncate(1 << 40)
    assert not bench.inspect("sparse.pem")
    bench.inspector.finish()
    assert bench.coverage.counters["bytes-read"] == inspect_module.FIRST_BYTES


def test_a_size_that_lies_does_not_matter(bench: Bench) -> None:
    stale = bench.write("grew.pem", PEM)
    bench.write("grew.pem", b"words " * 2000 + PEM)
    assert bench.inspect("grew.pem", stale)
    assert bench.parser.received[0].endswith(PEM)
    before = bench.write("shrank.pem", b"words " * 2000 + PEM)
    bench.write("shrank.pem", PEM)
    assert bench.inspect("shrank.pem", before)
    assert bench.parser.received[1] == PEM


def rewriting(bench: Bench, times: int) -> Callable[[int, int, int], bytes]:
    """Return an os.pread during which the file is written to, so often."""
    real, left = os.pread, [times]

    def pread(fd: int, count: int, offset: int) -> bytes:
        data = real(fd, count, offset)
        if left[0]:
            left[0] -= 1
            with (bench.path / "f").open("ab") as file:
                file.write(b"more")
        return data

    return pread


def test_a_file_that_changes_while_it_is_read_is_read_once_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write("f", PEM)
    monkeypatch.setattr(os, "pread", rewriting(bench, 1))
    assert bench.inspect("f")
    assert bench.parser.received == [PEM + b"more"]
    assert not bench.found[0].changed
    assert bench.found[0].facts.size == len(PEM) + 4


def test_a_file_that_keeps_changing_is_taken_and_said_to(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write("f", PEM)
    monkeypatch.setattr(os, "pread", rewriting(bench, 9))
    assert bench.inspect("f")
    assert bench.found[0].changed
    assert bench.coverage.gaps == [Gap(b"/etc/x/f", "changed-while-read")]
    assert bench.coverage.counters["changed-while-read"] == 1


def test_a_file_that_vanished_before_it_could_be_refused_is_no_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanishing(_fd: int, _count: int) -> bytes:
        (bench.path / "a.pem").unlink()
        raise OSError(5, "Input/output error")

    bench.write("a.pem", PEM)
    monkeypatch.setattr(os, "read", vanishing)
    assert not bench.inspect("a.pem")
    assert bench.found == []


def test_names_alone_are_enough(bench: Bench) -> None:
    bench.write("a.pem", PEM)
    bench.write("tiny", b"x")
    bench.write("long", b"words " * 5000 + PEM)
    assert bench.inspector.inspect_all(bench.directory, ["a.pem", "tiny", "gone", "long"]) == 2
    bench.inspector.finish()
    assert [found.path for found in bench.found] == [b"/etc/x/a.pem", b"/etc/x/long"]
    assert bench.coverage.counters["too-small"] == 1


def test_names_that_are_something_else_by_now_are_no_files(bench: Bench) -> None:
    facts = bench.write("f.pem", PEM)
    (bench.path / "f.pem").unlink()
    assert not bench.inspect("f.pem", facts)
    (bench.path / "f.pem").symlink_to("/etc/passwd")
    assert not bench.inspect("f.pem", facts)
    (bench.path / "f.pem").unlink()
    (bench.path / "f.pem").mkdir()
    assert not bench.inspect("f.pem", facts)
    bench.inspector.finish()
    assert bench.found == []


@pytest.mark.timeout(20)
def test_a_fifo_that_took_a_files_place_does_not_block(bench: Bench) -> None:
    facts = bench.write("f.txt", PEM)
    (bench.path / "f.txt").unlink()
    os.mkfifo(bench.path / "f.txt")
    assert not bench.inspect("f.txt", facts)
    keeper = os.open(bench.path / "f.txt", os.O_RDWR)
    os.write(keeper, PEM * 3)
    assert not bench.inspect("f.txt", facts)
    os.close(keeper)
    assert bench.parser.parsed == []


def test_an_unreadable_file_is_a_place_if_its_name_promises_much_else_a_gap() -> None:
    with open_directory() as path:
        bench = Bench(path, known=frozenset({b"/etc/x/known.txt"}))
        for name in ("server.key", "notes.txt", "known.txt"):
            bench.write(name, PEM)
            (path / name).chmod(0o000)
        with as_nobody():
            told = [bench.inspect(name) for name in ("server.key", "notes.txt", "known.txt")]
        bench.inspector.finish()
        bench.close()
    assert told == [True, False, True]
    assert [(found.path, found.parsed) for found in bench.found] == [
        (b"/etc/x/server.key", Parsed("", Status.UNREADABLE, "EACCES")),
        (b"/etc/x/known.txt", Parsed("", Status.UNREADABLE, "EACCES")),
    ]
    assert bench.coverage.gaps == [Gap(b"/etc/x/notes.txt", "unreadable", "EACCES")]
    assert bench.coverage.counters["unreadable"] == 3


def test_many_unreadable_files_of_one_directory_are_few_gaps() -> None:
    with open_directory() as path:
        bench = Bench(path)
        names = [f"note{number}" for number in range(100)]
        for name in names:
            bench.write(name, PEM)
            (path / name).chmod(0o000)
        with as_nobody():
            assert not any(bench.inspect(name) for name in names)
        bench.close()
    assert len(bench.coverage.gaps) == inspect_module.GAPS_PER_DIRECTORY + 1
    assert bench.coverage.gaps[-1] == Gap(b"/etc/x", "unreadable", "EACCES, many files")


def test_a_read_error_is_told_like_a_refused_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_fd: int, _count: int) -> bytes:
        raise OSError(5, "Input/output error")

    bench.write("a.pem", PEM)
    monkeypatch.setattr(os, "read", broken)
    assert bench.inspect("a.pem")
    assert bench.found[0].parsed == Parsed("", Status.UNREADABLE, "EIO")


def test_an_ordinary_user_reads_the_files_of_others() -> None:
    # O_NOATIME is for owners: the second attempt is without it.
    with open_directory() as path:
        bench = Bench(path)
        bench.write("a.pem", PEM)
        bench.write("b.pem", PEM)
        with as_nobody():
            assert bench.inspect("a.pem")
            assert bench.inspect("b.pem")
        bench.close()
    assert len(bench.found) == 2
    assert bench.coverage.gaps == []


def test_no_descriptor_is_left_open(bench: Bench) -> None:
    bench.write("a.pem", PEM)
    bench.write("b", b"words " * 2000)
    before = open_descriptors()
    bench.inspect("a.pem")
    bench.inspect("b")
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("server.key", True),
        ("SERVER.PEM", True),
        ("id_ed25519", True),
        ("ssh_host_rsa_key", True),
        ("privkey12.pem", True),
        ("cacerts", True),
        ("store.jks", True),
        ("notes.txt", False),
        ("key.c", False),
        ("monkey", False),
    ],
)
def test_names_that_promise_key_material_are_known(name: str, *, expected: bool) -> None:
    assert is_key_like(name) is expected
