"""What is read in the open is read the same behind the filter: every fixture.

The odd corpus is asked the same in `test_cryptography_vectors`.

The parser process has no file, no user and hardly a system call left. A library that asks for one
later, at its first signature or its first old cipher, must have it already.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.filtered_parser import behind_the_filter
from fixtures.build_archives import ARCHIVES
from fixtures.build_archives import FIXTURES as ARCHIVE_FIXTURES
from fixtures.build_fixtures import FILES, FIXTURES

from keycensus_agent.model import Parsed
from keycensus_agent.parser.archive.streams import BytesSource
from keycensus_agent.parser.dispatch import parse, parse_archive
from keycensus_agent.parser.findings import Hint


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
