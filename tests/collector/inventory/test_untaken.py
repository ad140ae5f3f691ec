"""What a host has and the collector has not: shown at the host, at the place, and under its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from fakes.census import Census, Item, certificate
from fakes.pki import NOW_MS, issue
from sqlalchemy import insert, select, update

from keycensus_collector.inventory.detail import show, where
from keycensus_collector.inventory.hosts import host_detail, list_hosts
from keycensus_collector.inventory.identify import identify
from keycensus_collector.query.model import EVERYTHING
from keycensus_collector.store.schema import host, manifest_entry, place, refusal

pytestmark = pytest.mark.usefixtures("each_database_in_full")

LONG = b"a revocation list of two megabytes"
SHA256 = hashlib.sha256(LONG).digest()


@pytest.fixture
def census(tmp_path: Path) -> Census:
    return Census.create(tmp_path)


def refuse(census: Census, host_no: int, path: str, reason: str, *, row_class: int = 1) -> None:
    with census.store.write() as connection:
        key = connection.execute(
            select(place.c.path_hash).where(place.c.host_no == host_no, place.c.path == path)
        ).scalar()
        connection.execute(
            insert(refusal).values(
                host_no=host_no,
                row_class=row_class,
                key=key or hashlib.sha256(path.encode()).digest(),
                path=path,
                reason=reason,
                since_ms=census.clock.now_ms(),
                times=2,
            )
        )


def host_id(census: Census, host_no: int) -> str:
    return str(census.row(select(host.c.host_id).where(host.c.host_no == host_no))[0])


def test_refused_rows_are_counted_at_the_host_and_listed_with_path_and_reason(
    census: Census,
) -> None:
    one, other = census.host("one"), census.host("other")
    refuse(census, one, "/b.pem", "quota")
    refuse(census, one, "", "malformed", row_class=3)
    with census.store.read() as connection:
        page = list_hosts(connection, EVERYTHING, 0)
        detail = host_detail(connection, host_id(census, one), census.clock.now_ms())
        theirs = host_detail(connection, host_id(census, other), census.clock.now_ms())
    assert {item.name: item.refused for item in page.items} == {"one": 2, "other": 0}
    assert detail is not None
    assert theirs is not None
    assert [(each.path, each.what, each.reason, each.times) for each in detail.refused] == [
        ("", "gap", "malformed", 2),
        ("/b.pem", "place", "quota", 2),
    ]
    assert theirs.refused == []


def test_a_place_says_that_a_newer_state_of_it_was_refused(census: Census) -> None:
    one, other = census.host("one"), census.host("other")
    leaf = issue("leaf.example")
    for number in (one, other):
        census.report(number, "/a.pem", certificate(leaf))
    refuse(census, one, "/a.pem", "hash-mismatch")
    census.fold()
    with census.store.read() as connection:
        (match,) = identify(connection, hashlib.sha256(leaf.der).hexdigest())
        found = where(connection, match, NOW_MS)
    assert [(each.host, each.refused) for each in found.places] == [
        ("one", "hash-mismatch"),
        ("other", ""),
    ]


def test_an_artifact_over_its_cap_is_named_with_its_hash_and_size_at_its_place(
    census: Census,
) -> None:
    one = census.host("one")
    census.report(one, "/etc/big.crl", Item("crl", SHA256))
    with census.store.write() as connection:
        connection.execute(update(manifest_entry).values(size=2_000_000))
    with census.store.read() as connection:
        detail = host_detail(connection, host_id(census, one), census.clock.now_ms())
        (match,) = identify(connection, SHA256.hex()[:12])
        shown = show(connection, match, census.clock.now_ms())
        found = where(connection, match, NOW_MS)
    assert detail is not None
    assert [(each.path, each.kind, each.sha256, each.size) for each in detail.long] == [
        ("/etc/big.crl", "crl", SHA256.hex(), 2_000_000)
    ]
    assert match.kind == "over-cap"
    assert shown is not None
    assert shown.document is not None
    assert "crl of 2000000 bytes" in shown.document.problem
    assert [each.path for each in found.places] == ["/etc/big.crl"]
    assert found.total == 1


def test_an_artifact_within_its_cap_is_not_called_long(census: Census) -> None:
    """A CRL may have a megabyte, four times a certificate."""
    one = census.host("one")
    census.report(one, "/etc/small.crl", Item("crl", SHA256))
    with census.store.write() as connection:
        connection.execute(update(manifest_entry).values(size=300_000))
    with census.store.read() as connection:
        detail = host_detail(connection, host_id(census, one), census.clock.now_ms())
        matches = identify(connection, SHA256.hex())
    assert detail is not None
    assert detail.long == []
    assert matches == []
