"""Revocation lists in files that the configuration names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.census import Census, certificate
from fakes.pki import issue
from fakes.revocation import entry, revocation_list
from structlog.testing import capture_logs

from keycensus_collector.inventory.revocation import revocation_of
from keycensus_collector.revocation.files import ListFiles

ROOT = issue("Example Root", is_ca=True, days=3650)
WWW = issue("www.example.com", issuer=ROOT)


@pytest.fixture
def census(tmp_path: Path) -> Iterator[Census]:
    census = Census.create(tmp_path)
    host = census.host("web1")
    census.report(host, "/etc/all.pem", certificate(WWW), certificate(ROOT))
    census.fold()
    yield census
    census.store.close()


def test_a_file_is_taken_when_it_is_new_or_changed_and_what_is_none_is_told_once(
    census: Census, tmp_path: Path
) -> None:
    directory = tmp_path / "crl"
    directory.mkdir()
    (directory / "readme").write_text("no list")
    file = tmp_path / "company.crl"
    files = ListFiles(census.store, census.clock, (file,), (directory,))
    with capture_logs() as logs:
        assert asyncio.run(files.look()) == 0
        assert asyncio.run(files.look()) == 0
    assert sorted(each["event"] for each in logs) == [
        "revocation.file-refused",
        "revocation.file-unreadable",
    ]
    file.write_bytes(revocation_list(ROOT, number=1))
    assert [asyncio.run(files.look()) for _ in range(2)] == [1, 0]
    census.fold()
    assert status(census) == ("no", [f"file {file}"])
    newer = directory / "newer.crl"
    newer.write_bytes(revocation_list(ROOT, entry(WWW), number=2))
    assert asyncio.run(files.look()) == 1
    census.fold()
    assert status(census) == ("yes", [f"file {newer}"])


def status(census: Census) -> tuple[str, list[str]]:
    with census.store.read() as connection:
        said = revocation_of(connection, WWW.sha256, census.clock.now_ms())
    return said.status, said.found
