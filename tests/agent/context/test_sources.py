from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakes.configured_root import write
from fakes.package_root import LOCAL

from keycensus_agent.context import sources as bounds
from keycensus_agent.context.root_files import RootFiles
from keycensus_agent.context.sources import Sources, decimal, shown, to_bytes, to_text
from keycensus_agent.reader.discovery.links import Resolver


@contextmanager
def sources_of(root: Path) -> Iterator[Sources]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Sources(RootFiles(Resolver(descriptor, LOCAL)), "test")
    finally:
        os.close(descriptor)


def texts(sources: Sources) -> list[str]:
    return [problem.text for problem in sources.problems]


def test_what_is_not_there_or_no_file_is_no_problem(tmp_path: Path) -> None:
    write(tmp_path, {"/etc/a": "x", "/out": "-> /etc/../../../../../../etc/none"})
    os.mkfifo(tmp_path / "fifo")
    with sources_of(tmp_path) as sources:
        for path in ("/none", "/etc/a/b", "/etc", "/fifo", "/out", "/a\0b", "/" + "x/" * 3000):
            assert sources.text(path) is None
            assert sources.facts(path) is None or path in ("/etc", "/fifo")
        assert sources.names("/etc/a") == sources.names("/a\0b") == []
        assert texts(sources) == []
        assert sources.text("/etc/a") == "x"


def test_no_link_leads_out_of_the_root(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    write(tmp_path / "root", {"/a": "-> ../secret", "/b": f"-> {tmp_path}/secret", "/secret": "in"})
    with sources_of(tmp_path / "root") as sources:
        assert (sources.text("/a"), sources.text("/b")) == ("in", None)


def test_what_is_long_is_cut_and_what_is_no_text_is_none(tmp_path: Path) -> None:
    write(tmp_path, {"/long": "x" * 100, "/nul": "a\0b", "/bytes": "caf\udce9"})
    with sources_of(tmp_path) as sources:
        assert sources.text("/long", 10) == "x" * 10
        assert sources.text("/nul") is None
        assert sources.text("/bytes") == "caf\udce9"
        assert texts(sources) == [
            "longer than 10 bytes: read to there",
            "no text: it has NUL bytes",
        ]


def test_all_files_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "FILES_LIMIT", 2)
    write(tmp_path, {f"/{n}": "x" for n in range(4)})
    with sources_of(tmp_path) as sources:
        assert [sources.text(f"/{n}") for n in (0, 1, 0, 2, 3)] == ["x", "x", "x", None, None]
        assert [problem.configuration for problem in sources.problems] == [b"/2", b"/3"]


def test_patterns_are_those_of_the_shell(tmp_path: Path) -> None:
    write(
        tmp_path, {f"/etc/{name}": "" for name in ("b.conf", "a.conf", ".c.conf", "d.txt", "[x]")}
    )
    write(tmp_path, {"/etc/sub/e.conf": "", "/etc/dangling.conf": "-> none"})
    with sources_of(tmp_path) as sources:
        assert sources.glob("/etc/*.conf") == ["/etc/a.conf", "/etc/b.conf"]
        assert sources.glob("/etc/.*.conf") == ["/etc/.c.conf"]
        assert sources.glob("/e*/*/[d-f].conf") == ["/etc/sub/e.conf"]
        assert sources.glob("/etc/[!a].conf") == ["/etc/b.conf"]
        assert sources.glob("/etc/a.conf") == ["/etc/a.conf"]
        assert sources.glob("/none/*") == sources.glob("/etc/none") == sources.glob("/a\0*") == []
        assert texts(sources) == []


def test_patterns_and_directories_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {f"/d/{n}": "" for n in range(10)})
    monkeypatch.setattr(bounds, "FILES_LIMIT", 3)
    with sources_of(tmp_path) as sources:
        assert sources.glob("/d/*") == ["/d/0", "/d/1", "/d/2"]
        assert texts(sources) == ["a pattern matches more than 3 names"]
    monkeypatch.setattr(bounds, "_NAMES_LIMIT", 5)
    with sources_of(tmp_path) as sources:
        assert sources.glob("/d/*") == []
        assert texts(sources) == ["not listed (E2BIG)"]


def test_a_place_is_named_as_the_walk_names_it(tmp_path: Path) -> None:
    write(tmp_path, {"/real/dir/file": "", "/real/link": "-> dir/file", "/way": "-> /real"})
    with sources_of(tmp_path) as sources:
        assert sources.place("/way//dir/../link") == b"/real/link"
        assert sources.place("/way/./dir/none") == b"/real/dir/none"
        assert sources.place("/no/where/file") == b"/no/where/file"
        assert sources.place("/file") == b"/file"
        assert sources.place("/a\0/b") == b"/a\0/b"


def test_only_some_problems_are_kept_and_each_once(tmp_path: Path) -> None:
    with sources_of(tmp_path) as sources:
        for number in [*range(100), 1]:
            sources.note("/a", number, "bad")
        assert len(sources.problems) == 50


def test_text_goes_back_to_its_bytes_or_becomes_valid() -> None:
    assert to_bytes(to_text(b"\xff/\xc3\xa9")) == b"\xff/\xc3\xa9"
    assert to_bytes("half \ud800") == b"half ?"
    assert shown("\udcff\xe9") == "\\xff\xe9"
    assert [decimal(text, 7) for text in ("12", "", "-1", "\u0663", "9" * 19)] == [12, 7, 7, 7, 7]
