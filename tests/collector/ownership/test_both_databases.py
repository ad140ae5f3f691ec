"""The same life of owners, rules, labels and people on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.census import Census, certificate, private_key, sealed_key
from fakes.pki import NOW_MS, issue

from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.detail import certificate_detail
from keycensus_collector.inventory.hosts import list_hosts
from keycensus_collector.inventory.keys import list_keys
from keycensus_collector.inventory.place_list import list_places
from keycensus_collector.ownership.applying import apply_rules, try_rules
from keycensus_collector.ownership.assignments import Thing, assign
from keycensus_collector.ownership.labels import set_label
from keycensus_collector.ownership.leaving import leave
from keycensus_collector.ownership.people import Person, add_person, list_people
from keycensus_collector.ownership.teams import add_member, create_team
from keycensus_collector.ownership.worker import settle
from keycensus_collector.query.parse import parse

SHOP, API = issue("shop.example.com", days=60), issue("api.example.com", days=40)
RULES = """
owners:
  - {rule: web, of: hosts, host: "web*", owner: web}
  - {rule: srv, of: places, path: /srv, owner: db}
labels:
  - {rule: prod, of: hosts, set: environment=prod, host: "web*"}
importance:
  - {rule: prod, of: certificates, points: 50, label: environment=prod}
"""
DAY = 86_400  # seconds


@pytest.mark.usefixtures("each_database")
def test_owners_live_alike_on_both(tmp_path: Path) -> None:  # noqa: PLR0915 - one life, step by step
    census = Census.create(tmp_path)
    web, db = census.host("web1"), census.host("db1")
    by = {"actor": "test"}
    with census.store.write() as connection:
        for name in ("web", "db"):
            create_team(connection, name, now_ms=census.clock.now_ms(), **by)
        add_person(connection, Person("anna"), now_ms=census.clock.now_ms(), **by)
        add_member(connection, "web", "anna", now_ms=census.clock.now_ms(), **by)
    census.report(web, "/etc/shop.pem", certificate(SHOP), private_key(SHOP.key))
    census.report(db, "/srv/api.pem", certificate(API))
    census.report(db, "/srv/box.p12", sealed_key(b"box"), status="locked")
    census.fold()
    with census.store.write() as connection:
        now_ms = census.clock.now_ms()
        tried = try_rules(connection, RULES, now_ms=now_ms)
        assert (tried.assigned, tried.conflicts, tried.complete) == (3, 0, True)
        apply_rules(connection, RULES, now_ms=now_ms, **by)
        settle(connection, now_ms)

    def certs(query: str, sort: str = "") -> list[str]:
        wanted = parse(query)
        with census.store.read() as connection:
            page = list_certificates(connection, wanted, census.clock.now_ms(), sort=sort)
        return [item.name.removesuffix(".example.com") for item in page.items]

    assert certs("owner:web label.environment:prod importance:50") == ["shop"]
    assert certs("owner:db") == ["api"]
    assert certs("", sort="importance") == ["shop", "api"]
    assert certs("owner:none or team:none") == []
    with census.store.read() as connection:
        now_ms = census.clock.now_ms()
        keys = list_keys(connection, parse("owner:db"), now_ms)
        assert [item.kind for item in keys.items] == ["sealed-key"]
        places = list_places(connection, parse("not owner:web"), now_ms)
        assert {item.place_owner for item in places.items} == {"db"}
        hosts = list_hosts(connection, parse("owner:none"), now_ms)
        assert [item.name for item in hosts.items] == ["db1"]
    census.clock.advance(DAY)
    with census.store.write() as connection:
        now_ms = census.clock.now_ms()
        thing = Thing("certificate", artifact=API.sha256)
        assign(connection, [thing], "anna", reason="hers", now_ms=now_ms, **by)
        set_label(connection, [thing], "environment", "test", now_ms=now_ms, **by)
        settle(connection, now_ms)
    assert certs("owner:anna label.environment:test") == ["api"]
    assert certs("not label.environment:prod") == ["api"]
    census.clock.advance(DAY)
    with census.store.write() as connection:
        now_ms = census.clock.now_ms()
        left = leave(connection, "anna", to="db", now_ms=now_ms, actor="test")
        assert (list(left.last), left.moves_to) == (["web"], "db")
        settle(connection, now_ms)
        assert [person.state for person in list_people(connection)] == ["left"]
    assert certs("owner:db") == ["api", "shop"]
    assert certs("owner:anna as-of:12h") == ["api"]
    assert certs("owner:db as-of:36h") == ["api"]
    with census.store.read() as connection:
        detail = certificate_detail(connection, API.sha256, NOW_MS)
    assert detail is not None
    assert [each.why for each in detail.ownership] == ["given with its line by test: anna left"]
    assert [(each.key, each.value) for each in detail.labels] == [("environment", "test")]
