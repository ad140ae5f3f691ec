"""Archives between reader and parser: handed over, not sent; what changes meanwhile is told."""

from __future__ import annotations

import gzip
import io
import os
import signal
import sys
import tarfile
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.unprivileged import open_descriptors
from fixtures.build_fixtures import FILES

from keycensus_agent.descriptors import OpenFile
from keycensus_agent.model import Coverage, Gap, Parsed, Status
from keycensus_agent.parser import pipe
from keycensus_agent.reader.discovery.directory import Directory, Mount
from keycensus_agent.reader.inspect import Inspected, Inspector
from keycensus_agent.reader.parser_client import ParserClient, ParserLimits
from keycensus_agent.reader.same_bytes import SameBytes

CHAIN = (FILES / "chain-with-key.pem").read_bytes()
MOUNT = Mount(b"k" * 16, "ext4", b"/dev/vda", b"/", b"/")


class Bench:
    """An inspector over one real directory that is said to be another, with the real parser."""

    def __init__(self, path: Path, client: ParserClient, place: bytes = b"/srv") -> None:
        self.path = path
        self.place = place
        self.found: list[Inspected] = []
        self.coverage = Coverage()
        self.inspector = Inspector(SameBytes(client), self.found.append, self.coverage)

    def inspect(self, *names: str) -> None:
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        directory = Directory(self.place, fd, MOUNT, [], [], [], [], listed=False)
        try:
            self.inspector.inspect_all(directory, names)
            self.inspector.finish()
        finally:
            os.close(fd)


@pytest.fixture
def client() -> Iterator[ParserClient]:
    with ParserClient(details=True) as started:
        yield started


@pytest.fixture
def bench(tmp_path: Path, client: ParserClient) -> Bench:
    return Bench(tmp_path, client)


def zipped(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names or ("x.pem",):
            archive.writestr(name, CHAIN)


def members(inspected: Inspected) -> list[bytes]:
    assert inspected.parsed is not None
    return list(dict.fromkeys(entry.member for entry in inspected.parsed.entries))


def test_an_archive_is_searched_and_its_descriptor_closed(bench: Bench) -> None:
    zipped(bench.path / "a.zip")
    bench.inspect("a.zip")
    before = open_descriptors()
    for _ in range(3):
        zipped(bench.path / "a.zip")
        bench.inspect("a.zip")
    assert [members(each) for each in bench.found] == [[b"x.pem"]] * 4
    assert open_descriptors() == before
    assert bench.coverage.counters["archives-searched"] == 4


def test_what_policy_leaves_out_is_counted_and_never_handed_over(
    tmp_path: Path, client: ParserClient
) -> None:
    bench = Bench(tmp_path, client, b"/usr/share/doc/x")
    zipped(tmp_path / "a.zip")
    bench.inspect("a.zip")
    assert bench.found == []
    assert bench.coverage.counters["archives-not-searched"] == 1
    assert client._child is None


def test_what_was_passed_over_inside_is_counted_once_for_each_archive(bench: Bench) -> None:
    zipped(bench.path / "a.zip", "a.class", "b.class", "x.pem")
    (bench.path / "b.zip").hardlink_to(bench.path / "a.zip")
    bench.inspect("a.zip", "b.zip")
    assert len(bench.found) == 2
    assert bench.coverage.counters["archive-members-passed-over"] == 4


@pytest.mark.parametrize("front", [b"#!/bin/sh\n" + b"# long\n" * 9000, b"MZ\0" + bytes(9000)])
def test_an_archive_behind_a_program_is_found(bench: Bench, front: bytes) -> None:
    zipped(bench.path / "a.zip")
    archive = (bench.path / "a.zip").read_bytes()
    (bench.path / "self-extracting").write_bytes(front + archive)
    (bench.path / "program").write_bytes(front + b"\0" * 100)
    bench.inspect("self-extracting", "program")
    found = [each for each in bench.found if each.parsed is not None]
    assert [members(each) for each in found] == [[b"x.pem"]]


def test_an_archive_behind_an_elf_program_is_found(bench: Bench) -> None:
    zipped(bench.path / "a.zip")
    program = Path(sys.executable).resolve().read_bytes()
    (bench.path / "self-extracting").write_bytes(program + (bench.path / "a.zip").read_bytes())
    (bench.path / "program").write_bytes(program)
    bench.inspect("self-extracting", "program")
    assert [members(each) for each in bench.found] == [[b"x.pem"]]
    assert bench.coverage.counters["binary-skipped"] == 1


def test_an_archive_that_changes_meanwhile_is_searched_once_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped(bench.path / "a.zip", "x.pem")
    real, left = ParserClient.submit_archive, [1]

    def submit(self: ParserClient, ticket: int, archive: OpenFile, name: bytes) -> None:
        real(self, ticket, archive, name)
        if left[0]:
            left[0] -= 1
            with zipfile.ZipFile(bench.path / "a.zip", "a") as appended:
                appended.writestr(f"y{left[0]}.pem", CHAIN)

    monkeypatch.setattr(ParserClient, "submit_archive", submit)
    bench.inspect("a.zip")
    (found,) = bench.found
    assert members(found) == [b"x.pem", b"y0.pem"]
    assert not found.changed
    assert found.facts.size == (bench.path / "a.zip").stat().st_size
    left[0] = 9
    zipped(bench.path / "a.zip", "z.pem")
    bench.inspect("a.zip")
    assert bench.found[1].changed
    assert bench.coverage.gaps == [Gap(b"/srv/a.zip", "changed-while-read")]


def test_an_archive_that_is_cut_short_meanwhile_costs_nothing(bench: Bench) -> None:
    noise = os.urandom(4 << 20)
    with tarfile.open(bench.path / "a.tar", "w") as archive:
        for name in ("x.pem", "noise"):
            header = tarfile.TarInfo(name)
            data = CHAIN if name == "x.pem" else noise
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    os.truncate(bench.path / "a.tar", 1 << 20)
    bench.inspect("a.tar")
    (found,) = bench.found
    assert found.parsed is not None
    assert (found.parsed.status, members(found)) == (Status.PARTIAL, [b"x.pem"])


def test_a_sparse_terabyte_is_no_more_work_than_a_small_file(bench: Bench) -> None:
    zipped(bench.path / "a.zip")
    os.truncate(bench.path / "a.zip", 1 << 40)
    with tarfile.open(bench.path / "b.tar", "w") as archive:
        archive.add(FILES / "chain-with-key.pem", "x.pem")
    os.truncate(bench.path / "b.tar", 1 << 40)
    (bench.path / "c.gz").write_bytes(gzip.compress(CHAIN))
    os.truncate(bench.path / "c.gz", 1 << 40)
    bench.inspect("a.zip", "b.tar", "c.gz")
    assert [members(each)[0] for each in bench.found] == [b"x.pem", b"x.pem", b""]


FAULTY = """
    import os, signal, sys
    from keycensus_agent.descriptors import Receiver
    from keycensus_agent.parser import pipe
    from keycensus_agent.parser.__main__ import next_request
    from keycensus_agent.model import Parsed, Status
    requests = Receiver(0)
    sys.stdout.buffer.write(pipe.encode_ready())
    sys.stdout.buffer.flush()
    while received := next_request(requests):
        request, archive = received
        word = (request.data if archive is None else archive.read_at(0, 99)).split()[0].decode()
        if word == "hang": signal.pause()
        if word == "crash": os.abort()
        sys.stdout.buffer.write(pipe.encode_answer(request.number, Parsed(word, Status.READ)))
        sys.stdout.buffer.flush()
"""


@pytest.mark.parametrize(("word", "reason"), [("hang", "limit-time"), ("crash", "crash")])
def test_an_archive_that_ends_the_child_twice_is_told_and_the_others_lose_nothing(
    tmp_path: Path, word: str, reason: str
) -> None:
    command = (sys.executable, "-c", textwrap.dedent(FAULTY))
    limits = ParserLimits(seconds_per_archive=2.0 if word == "hang" else 60.0)
    with ParserClient(limits, command=command) as client:
        held = []
        for ticket, content in enumerate((b"before", word.encode(), b"after")):
            path = tmp_path / str(ticket)
            path.write_bytes(content)
            held.append(OpenFile(os.open(path, os.O_RDONLY), len(content)))
            client.submit_archive(ticket, held[-1], b"/x")
        client.submit(3, b"file", b"/y")
        results: dict[int, Parsed] = {}
        while client.in_flight:
            results.update(client.results(wait=True))
    assert [results[ticket].format for ticket in range(4)] == ["before", "", "after", "file"]
    assert (results[1].status, results[1].reason) == (Status.MALFORMED, reason)


def test_no_more_archives_are_open_at_a_time_than_the_bytes_in_flight_allow(
    tmp_path: Path,
) -> None:
    zipped(tmp_path / "a.zip")
    with ParserClient(ParserLimits(bytes_in_flight=1 << 20)) as client:
        for ticket in range(20):
            archive = OpenFile(os.open(tmp_path / "a.zip", os.O_RDONLY), 9999)
            client.submit_archive(ticket, archive, b"/x")
            assert client._bytes <= 1 << 20
        while client.in_flight:
            client.results(wait=True)


def test_a_child_can_do_nothing_with_an_archive_but_read_it(tmp_path: Path) -> None:
    """Injected code that has the descriptor: it is open for reading, and nothing else is allowed."""
    path = tmp_path / "archive"
    path.write_bytes(b"x" * 100)
    code = (
        "import os, fcntl\n"
        "from keycensus_agent.parser import __main__ as m\n"
        "def attack(request, archive):\n"
        "    fd = archive.descriptor\n"
        "    done = []\n"
        "    for name, attempt in {\n"
        "        'write': lambda: os.write(fd, b'y'), 'pwrite': lambda: os.pwrite(fd, b'y', 0),\n"
        "        'truncate': lambda: os.ftruncate(fd, 0), 'chmod': lambda: os.fchmod(fd, 0),\n"
        "        'open': lambda: os.open('/proc/self/fd/%d' % fd, os.O_RDWR),\n"
        "        'lock': lambda: fcntl.flock(fd, fcntl.LOCK_EX), 'dup': lambda: os.dup(fd),\n"
        "        'send': lambda: os.write(0, b'x'),\n"
        "    }.items():\n"
        "        try:\n"
        "            attempt()\n"
        "            done.append(name)\n"
        "        except OSError:\n"
        "            pass\n"
        "    assert os.pread(fd, 1, 0) == b'x'\n"
        "    return m.Parsed(' '.join(done), 'read')\n"
        "m._parse_archive = attack\n"
        "m.main()\n"
    )
    with ParserClient(command=(sys.executable, "-c", code)) as client:
        archive = OpenFile(os.open(path, os.O_RDONLY), 100)
        client.submit_archive(1, archive, b"/x")
        ((_, parsed),) = client.results(wait=True)
    assert parsed.status is Status.READ
    assert parsed.format == ""
    assert path.read_bytes() == b"x" * 100


def test_a_request_whose_descriptor_is_missing_is_refused() -> None:
    head, _ = pipe.encode_request(pipe.ParseRequest(b"/x", b"", archive_size=10))
    with ParserClient() as client:
        client.submit(1, b"x" * 50, b"/x")
        while client.in_flight:
            client.results(wait=True)
        child = client._child
        assert child is not None
        child.stdin.setblocking(True)
        child.stdin.sendall(head)
        assert child.process.wait(20) not in (0, -signal.SIGKILL)
