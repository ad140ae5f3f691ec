"""Keys, hosts and the counts over all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.census import Census, blob_item, certificate, private_key, sealed_key
from fakes.pki import issue, new_key, spki_of

from keycensus_collector.api.parameters import (
    CertificateParameters,
    HostParameters,
    KeyParameters,
)
from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.hosts import host_detail, list_hosts
from keycensus_collector.inventory.keys import list_keys
from keycensus_collector.inventory.results import Key
from keycensus_collector.inventory.summary import summarise
from keycensus_collector.query.model import EVERYTHING
from keycensus_collector.store import schema

pytestmark = pytest.mark.usefixtures("each_database_in_full")

WWW = issue("www.example.com", days=20)
WILD = issue("*.example.com", days=90)
OLD = issue("old.example.com", days=-5)
ORPHAN, SPARE = new_key(), new_key()


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    web, db = census.host("web1"), census.host("db1", state="silent")
    census.host("attic", state="retired")
    census.report(web, "/etc/www.pem", certificate(WWW), private_key(WWW.key), mode=0o640)
    census.report(web, "/etc/wild.pem", certificate(WILD), private_key(WILD.key), mode=0o600)
    census.report(db, "/etc/wild.pem", certificate(WILD), private_key(WILD.key), mode=0o604)
    census.report(db, "/etc/old.pem", certificate(OLD))
    census.report(db, "/orphan.key", private_key(ORPHAN), mode=0o644)
    census.report(db, "/bak/spare.key", private_key(SPARE, encrypted=True), use="retained")
    census.report(db, "/root/box.p12", sealed_key(b"box"), status="locked", mode=0o600)
    census.report(web, "/pub.pem", blob_item("public-key", spki_of(new_key())))
    census.gap(db, "/mnt/nfs", "network-file-system")
    census.fold()
    yield census
    census.store.close()


def keys(census: Census, wanted: KeyParameters) -> list[Key]:
    with census.store.read() as connection:
        page = list_keys(connection, wanted.as_query(), 0)
    assert page.total == len(page.items)
    return page.items


def paths(census: Census, wanted: KeyParameters) -> set[str]:
    return {place.path for key in keys(census, wanted) for place in key.places}


def test_what_the_agent_says_of_readers_goes_before_the_mode(tmp_path: Path) -> None:
    census = Census.create(tmp_path)
    host = census.host("web1")
    for path, mode, readers in (
        ("/shut.key", 0o644, "owner"),
        ("/open.key", 0o640, "world"),
        ("/list.key", 0o600, "user:web"),
        ("/old-agent.key", 0o644, ""),
    ):
        census.report(host, path, private_key(new_key()), mode=mode, readable_by=readers)
    census.fold()
    assert paths(census, KeyParameters(readable_by="world")) == {"/open.key", "/old-agent.key"}
    assert paths(census, KeyParameters(readable_by="group")) == {
        *("/open.key", "/list.key", "/old-agent.key"),
    }


def test_keys_come_with_their_places_and_certificates(census: Census) -> None:
    wild = next(
        key for key in keys(census, KeyParameters()) if key.certificates == ["*.example.com"]
    )
    assert [(place.host, place.mode) for place in wild.places] == [
        ("db1", "0604"),
        ("web1", "0600"),
    ]
    assert (wild.kind, wild.algorithm, wild.bits, wild.hosts) == ("private-key", "ec", 256, 2)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (KeyParameters(), {"/etc/www.pem", "/etc/wild.pem", "/orphan.key", "/root/box.p12"}),
        (KeyParameters(without_certificate=True), {"/orphan.key"}),
        (KeyParameters(without_certificate=True, status="any"), {"/orphan.key", "/bak/spare.key"}),
        (KeyParameters(readable_by="world"), {"/etc/wild.pem", "/orphan.key"}),
        (KeyParameters(readable_by="world", host="web1"), set()),
        (KeyParameters(readable_by="group"), {"/etc/www.pem", "/etc/wild.pem", "/orphan.key"}),
        (KeyParameters(host="web*"), {"/etc/www.pem", "/etc/wild.pem"}),
        (KeyParameters(path="/etc"), {"/etc/www.pem", "/etc/wild.pem"}),
        (KeyParameters(sealed=True), {"/root/box.p12"}),
        (KeyParameters(sealed=False, path="/root"), set()),
        (KeyParameters(encrypted=True, status="any"), {"/bak/spare.key", "/root/box.p12"}),
        (KeyParameters(encrypted=False), {"/etc/www.pem", "/etc/wild.pem", "/orphan.key"}),
        (KeyParameters(status="retained"), {"/bak/spare.key"}),
        (KeyParameters(algorithm="RSA"), set()),
        (KeyParameters(algorithm="EC", path="*.key"), {"/orphan.key"}),
    ],
)
def test_key_filters(census: Census, wanted: KeyParameters, expected: set[str]) -> None:
    assert paths(census, wanted) == expected


def test_keys_come_in_pages(census: Census) -> None:
    seen, cursor = [], ""
    while True:
        with census.store.read() as connection:
            page = list_keys(
                connection, KeyParameters(status="any").as_query(), 0, limit=2, cursor=cursor
            )
        seen += [key.id for key in page.items]
        if page.next is None:
            break
        cursor = page.next
    assert len(seen) == len(set(seen)) == 5


def test_hosts_say_what_they_hold_and_what_was_not_seen(census: Census) -> None:
    with census.store.read() as connection:
        page = list_hosts(connection, EVERYTHING, 0)
    assert [host.name for host in page.items] == ["attic", "db1", "web1"]
    db = page.items[1]
    assert (db.live_places, db.retained_places) == (4, 1)
    assert (db.certificates, db.keys, db.gaps) == (2, 4, 1)
    assert page.items[0].live_places == 0


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (HostParameters(state="silent"), ["db1"]),
        (HostParameters(name="B1"), ["db1", "web1"]),
        (HostParameters(name="w*1"), ["web1"]),
        (HostParameters(state="active", name="attic"), []),
    ],
)
def test_host_filters(census: Census, wanted: HostParameters, expected: list[str]) -> None:
    with census.store.read() as connection:
        page = list_hosts(connection, wanted.as_query(), 0)
    assert [host.name for host in page.items] == expected
    assert page.total == len(expected)


def test_hosts_come_in_pages(census: Census) -> None:
    seen, cursor = [], ""
    while True:
        with census.store.read() as connection:
            page = list_hosts(connection, EVERYTHING, 0, limit=1, cursor=cursor)
        seen += [host.name for host in page.items]
        if page.next is None:
            break
        cursor = page.next
    assert seen == ["attic", "db1", "web1"]


def test_a_host_whole_has_gaps_unread_places_and_what_expires_there(census: Census) -> None:
    host_id = census.row(schema.host.select().where(schema.host.c.name == "db1")).host_id
    with census.store.read() as connection:
        detail = host_detail(connection, host_id, census.clock.now_ms())
        assert host_detail(connection, "nobody", 0) is None
    assert detail is not None
    assert [(gap.prefix, gap.reason) for gap in detail.gaps] == [
        ("/mnt/nfs", "network-file-system")
    ]
    assert [(place.path, place.status) for place in detail.unread] == [("/root/box.p12", "locked")]
    assert [item.name for item in detail.expiring] == ["old.example.com", "*.example.com"]


def test_each_count_of_the_summary_is_the_total_of_its_list(census: Census) -> None:
    now_ms = census.clock.now_ms()
    with census.store.read() as connection:
        summary = summarise(connection, now_ms)

        def certificates(wanted: CertificateParameters) -> int:
            return list_certificates(connection, wanted.as_query(), now_ms).total

        assert summary.certificates == certificates(CertificateParameters()) == 3
        assert summary.expired == certificates(CertificateParameters(expired=True)) == 1
        soon = CertificateParameters(expires_within="30d")
        assert summary.expiring_30_days == certificates(soon) == 1
        assert summary.keys == list_keys(connection, KeyParameters().as_query(), 0).total == 4
        orphans = KeyParameters(without_certificate=True)
        assert (
            summary.keys_without_certificate
            == list_keys(connection, orphans.as_query(), 0).total
            == 1
        )
        world = KeyParameters(readable_by="world")
        assert (
            summary.keys_readable_by_world == list_keys(connection, world.as_query(), 0).total == 2
        )
    assert (summary.hosts, summary.hosts_by_state["silent"]) == (3, 1)
    assert (summary.places, summary.locked_places, summary.gaps, summary.waiting) == (8, 1, 1, 0)
