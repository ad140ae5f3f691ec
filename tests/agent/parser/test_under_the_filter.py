"""What is read in the open is read the same behind the filter: every fixture, and the odd corpus.

The parser process has no file, no user and hardly a system call left. A library that asks for one
later, at its first signature or its first old cipher, must have it already.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import cryptography_vectors
import pytest
from fixtures.build_archives import ARCHIVES
from fixtures.build_archives import FIXTURES as ARCHIVE_FIXTURES
from fixtures.build_fixtures import FILES, FIXTURES

from keycensus_agent.descriptors import OpenFile
from keycensus_agent.model import Parsed
from keycensus_agent.parser.archive.streams import BytesSource
from keycensus_agent.parser.dispatch import parse, parse_archive
from keycensus_agent.parser.findings import Hint
from keycensus_agent.parser.triage import Triage, holds_marker, triage
from keycensus_agent.reader.parser_client import ParserClient
from keycensus_agent.reader.passwords import PasswordFile

CORPUS = Path(cryptography_vectors.__file__).parent


def behind_the_filter(
    files: Iterable[Path], *passwords: str, archives: bool = False
) -> dict[Path, Parsed]:
    """Parse in the real child, and see that it was held while it did."""
    everything = re.compile(".*", re.DOTALL)
    rows = tuple((everything, password) for password in passwords)
    found: dict[Path, Parsed] = {}
    paths = list(files)
    with ParserClient(passwords=PasswordFile(rows), details=True) as client:
        for ticket, path in enumerate(paths):
            if archives:
                client.submit_archive(ticket, opened(path), path.name.encode())
            else:
                client.submit(ticket, path.read_bytes(), path.name.encode())
            found.update({paths[done]: parsed for done, parsed in client.results(wait=False)})
        while client.in_flight:
            found.update({paths[done]: parsed for done, parsed in client.results(wait=True)})
        assert client.enforced is not None
        assert client.enforced["seccomp"]
        assert client.enforced["capabilities"] == []
    return found


def opened(path: Path) -> OpenFile:
    return OpenFile(os.open(path, os.O_RDONLY), path.stat().st_size)


def in_the_open(path: Path, *passwords: str) -> Parsed:
    return parse(path.read_bytes(), Hint(path.name.encode()), passwords, details=True)


def test_every_fixture_is_read_the_same() -> None:
    """Without a password."""
    paths = [FILES / fixture.name for fixture in FIXTURES]
    found = behind_the_filter(paths)
    assert found == {path: in_the_open(path) for path in paths}


@pytest.mark.parametrize("name", [fixture.name for fixture in FIXTURES if fixture.password])
def test_what_opens_with_a_password_opens_behind_the_filter_too(name: str) -> None:
    """Each in a child of its own: nothing was warmed up by the file before."""
    (fixture,) = (each for each in FIXTURES if each.name == name)
    path = FILES / name
    found = behind_the_filter([path], fixture.password)
    assert found == {path: in_the_open(path, fixture.password)}


def test_a_child_of_its_own_reads_what_is_signed_by_each_algorithm() -> None:
    """The first signature that a child checks is where cryptography once asked for a module."""
    path = FILES / "chain-with-key.pem"
    assert behind_the_filter([path]) == {path: in_the_open(path)}


def test_every_archive_is_read_the_same_by_its_descriptor() -> None:
    paths = [ARCHIVES / fixture.name for fixture in ARCHIVE_FIXTURES]
    found = behind_the_filter(paths, archives=True)
    assert found == {
        path: parse_archive(BytesSource(path.read_bytes()), Hint(path.name.encode()), details=True)
        for path in paths
    }


@pytest.mark.slow
def test_the_odd_corpus_is_read_the_same() -> None:
    candidates = []
    for path in sorted(CORPUS.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        verdict = triage(data[:4096], len(data))
        if verdict is Triage.CANDIDATE or (verdict is Triage.TEXT and holds_marker(data)):
            candidates.append(path)
    found = behind_the_filter(candidates)
    assert len(candidates) > 500
    differing = [path for path in candidates if found[path] != in_the_open(path)]
    assert differing == []
