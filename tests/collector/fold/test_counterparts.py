"""Whether a certificate has a key and an issuer somewhere, and a key a certificate: kept in their rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.census import Census, certificate, private_key
from fakes.pki import Issued, issue
from sqlalchemy import delete, select

from keycensus_collector.fold.counterparts import note_issuers
from keycensus_collector.store import schema

pytestmark = pytest.mark.usefixtures("each_database_in_full")

ROOT = issue("Example Root", is_ca=True, days=3650)
LEAF = issue("www.example.com", issuer=ROOT, sans=("www.example.com",))


@pytest.fixture
def census(tmp_path: Path) -> Iterator[Census]:
    census = Census.create(tmp_path)
    yield census
    census.store.close()


def found(census: Census, issued: Issued) -> tuple[bool, bool]:
    """Return whether a certificate's key and issuer are known."""
    row = schema.certificate.c
    stands = census.row(select(row.key_found, row.issuer_found).where(row.sha256 == issued.sha256))
    return stands.key_found, stands.issuer_found


def keys(census: Census) -> list[tuple[bool, int]]:
    """Return of each key that stands somewhere whether it has a certificate, and its live places."""
    row = schema.public_key.c
    there = row.live_places + row.retained_places > 0
    stands = census.rows(select(row.certified, row.in_use).where(there))
    return [(each.certified, each.in_use) for each in stands]


def test_a_certificate_and_its_key_know_of_each_other_whichever_comes_first_or_goes(
    census: Census,
) -> None:
    web = census.host("web1")
    census.report(web, "/a.pem", certificate(LEAF))
    census.fold()
    assert found(census, LEAF)[0] is False
    census.report(web, "/a.key", private_key(LEAF.key))
    census.fold()
    assert found(census, LEAF)[0] is True
    assert keys(census) == [(True, 1)]
    census.gone(web, "/a.pem")
    census.fold()
    assert keys(census) == [(False, 1)]
    census.report(census.host("web2"), "/b.pem", certificate(LEAF), use="retained")
    census.gone(web, "/a.key")
    census.fold()
    assert found(census, LEAF)[0] is False
    assert keys(census) == []


def test_a_certificate_knows_its_issuer_once_that_was_seen_and_one_of_its_own_at_once(
    census: Census,
) -> None:
    web = census.host("web1")
    census.report(web, "/a.pem", certificate(LEAF))
    asyncio.run(census.work())
    assert found(census, LEAF) == (False, False)
    census.report(web, "/root.pem", certificate(ROOT))
    asyncio.run(census.work())
    assert found(census, LEAF) == (False, True)
    assert found(census, ROOT) == (False, True)
    with census.store.write() as connection:
        connection.execute(delete(schema.issuer_edge))
        note_issuers(connection, [LEAF.sha256, ROOT.sha256])
    assert found(census, LEAF) == (False, False)
    assert found(census, ROOT) == (False, True)
