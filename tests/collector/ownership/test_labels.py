"""Labels by hand, token, rule and host: which counts, why, inherited; importance sorts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.census import Census, certificate
from fakes.pki import issue
from sqlalchemy import select

from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.hosts import list_hosts
from keycensus_collector.ownership.applying import apply_rules, try_rules
from keycensus_collector.ownership.assignments import Thing
from keycensus_collector.ownership.labels import (
    labels_of_certificate,
    labels_of_host,
    set_label,
)
from keycensus_collector.ownership.rule_text import read_rules
from keycensus_collector.ownership.teams import create_team
from keycensus_collector.ownership.worker import settle
from keycensus_collector.query.parse import parse
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import host
from keycensus_collector.store.tables.ownership import host_owner

DAY = 86_400_000
SHOP, API, LAB = (
    issue(f"{n}.example.com", days=d) for n, d in (("shop", 60), ("api", 40), ("lab", 9))
)
RULES = """
labels:
  - {rule: prod, of: hosts, set: environment=prod, host: "web*"}
  - {rule: pay, of: certificates, set: application=pay, query: "san:pay.* or name:shop.*"}
importance:
  - {rule: prod, of: certificates, points: 50, label: environment=prod}
  - {rule: pay, of: certificates, points: 30, label: application=pay}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template")
    census = Census.create(directory)
    said = json.dumps({"token": {"site": "bern"}, "host": {"environment": "lab", "rack": "7"}})
    web, db = census.host("web1", labels=said), census.host("db1")
    census.report(web, "/etc/shop.pem", certificate(SHOP))
    census.report(db, "/etc/api.pem", certificate(API))
    census.report(db, "/etc/lab.pem", certificate(LAB))
    census.fold()
    census.store.close()
    return directory / "collector.db"


@pytest.fixture
def census(template: Path, tmp_path: Path) -> Iterator[Census]:
    shutil.copy(template, tmp_path / "collector.db")
    with Store.open(f"sqlite:///{tmp_path}/collector.db") as store:
        census = Census(store, batches=100)
        with store.write() as connection:
            apply_rules(connection, RULES, actor="test", now_ms=census.clock.now_ms())
            settle(connection, census.clock.now_ms())
        yield census


def number(census: Census, name: str) -> int:
    with census.store.read() as connection:
        found = select(host.c.host_no).where(host.c.name == name)
        return int(connection.execute(found).scalar_one())


def put(census: Census, thing: Thing, key: str, value: str | None) -> int:
    with census.store.write() as connection:
        now_ms = census.clock.now_ms()
        changed = set_label(connection, [thing], key, value, actor="user:olga", now_ms=now_ms)
        settle(connection, now_ms)
    return changed


def certs(census: Census, query: str, *, sort: str = "") -> list[str]:
    wanted = parse(query)
    names: list[str] = []
    cursor: str | None = ""
    with census.store.read() as connection:
        while cursor is not None:
            page = list_certificates(
                connection,
                wanted,
                census.clock.now_ms(),
                limit=1,
                cursor=cursor,
                sort=sort,
            )
            names += [item.name.removesuffix(".example.com") for item in page.items]
            cursor = page.next
    return names


def hosts(census: Census, query: str) -> list[str]:
    with census.store.read() as connection:
        page = list_hosts(connection, parse(query), census.clock.now_ms())
    return [item.name for item in page.items]


def test_the_most_trusted_source_counts_and_says_why(census: Census) -> None:
    web = number(census, "web1")
    with census.store.read() as connection:
        found = {each.key: each for each in labels_of_host(connection, web)}
    assert {key: (each.value, each.source) for key, each in found.items()} == {
        "environment": ("prod", "rule"),
        "rack": ("7", "host"),
        "site": ("bern", "token"),
    }
    assert "by rule prod" in found["environment"].why
    assert hosts(census, "label.environment:prod") == ["web1"]
    assert hosts(census, "label.environment:lab") == []
    census.clock.advance(DAY)
    assert put(census, Thing("host", number=web), "environment", "test\x1b[31m") == 1
    assert put(census, Thing("host", number=web), "environment", "test\x1b[31m") == 0
    assert hosts(census, "label.environment:test*") == ["web1"]
    assert hosts(census, "label.environment:prod") == []
    assert hosts(census, "label.environment:prod as-of:12h") == ["web1"]
    with census.store.read() as connection:
        found = {each.key: each for each in labels_of_host(connection, web)}
    assert found["environment"].value == "test\\x1b[31m"
    assert found["environment"].why == "by hand, user:olga"
    census.clock.advance(DAY)
    assert put(census, Thing("host", number=web), "environment", None) == 1
    assert hosts(census, "label.environment:prod") == ["web1"]


def test_a_certificate_has_its_own_labels_and_those_of_its_hosts(census: Census) -> None:
    assert certs(census, "label.environment:prod") == ["shop"]
    assert certs(census, "label.application:pay") == ["shop"]
    assert certs(census, "label.application:none") == ["lab", "api"]
    put(census, Thing("certificate", artifact=API.sha256), "environment", "prod")
    assert certs(census, "label.environment:prod") == ["api", "shop"]
    assert certs(census, "label.environment:prod host:db1") == ["api"]
    put(census, Thing("certificate", artifact=SHOP.sha256), "environment", "stage")
    assert certs(census, "label.environment:prod") == ["api"]
    assert certs(census, "not label.environment:prod") == ["shop"]
    assert certs(census, "label.environment:any") == ["api", "shop"]
    renewed = issue("api.example.com", days=99, key=API.key)
    census.report(number(census, "db1"), "/etc/api.pem", certificate(renewed))
    census.fold()
    assert certs(census, "label.environment:prod") == ["api"]
    with census.store.read() as connection:
        found = labels_of_certificate(connection, renewed.sha256)
        assert [(each.key, each.value, each.why) for each in found] == [
            ("environment", "prod", "by hand, user:olga, with its line")
        ]
        inherited = {each.key: each.why for each in labels_of_certificate(connection, SHOP.sha256)}
    assert inherited["site"] == "of host web1, of the token it was enrolled with"


def test_what_matters_most_comes_first(census: Census) -> None:
    assert certs(census, "") == ["lab", "api", "shop"]
    assert certs(census, "", sort="importance") == ["shop", "lab", "api"]
    assert certs(census, "importance:80") == ["shop"]
    assert certs(census, "importance>0") == ["shop"]
    put(census, Thing("host", number=number(census, "db1")), "environment", "prod")
    assert certs(census, "importance:50") == ["lab", "api"]


def test_silly_labels_are_refused(census: Census) -> None:
    web = Thing("host", number=number(census, "web1"))
    for key, value, said in (
        ("Bad Key", "x", "can't name a label"),
        ("k", "", "1 to 200"),
        ("k", "x" * 201, "1 to 200"),
    ):
        with pytest.raises(UsageError, match=said):
            put(census, web, key, value)
    with pytest.raises(UsageError, match="hosts and certificates"):
        put(census, Thing("key", artifact=b"x" * 32), "k", "v")
    with pytest.raises(UsageError, match="line 2: set: write key=value"):
        read_rules("labels:\n  - {rule: a, of: hosts, set: prod, host: x}", 0)
    with pytest.raises(UsageError, match="line 2: points is a number"):
        read_rules("importance:\n  - {rule: a, of: certificates, points: x, name: y}", 0)


def test_rules_believe_a_host_only_where_the_file_says_so(census: Census) -> None:
    """Who owns a place, and so who sees it, is not for the host to say."""

    def owned_by_rule(text: str) -> set[str]:
        with census.store.write() as connection:
            now_ms = census.clock.now_ms()
            tried = try_rules(connection, text, now_ms=now_ms)
            apply_rules(connection, text, actor="test", now_ms=now_ms)
            settle(connection, now_ms)
            found = select(host.c.name).join(host_owner, host_owner.c.host_no == host.c.host_no)
            names = set(connection.execute(found.where(host_owner.c.to_ms.is_(None))).scalars())
        assert tried.assigned == len(names - before)
        before.clear()
        before.update(names)
        return names

    before: set[str] = set()
    with census.store.write() as connection:
        create_team(connection, "ops", actor="test", now_ms=census.clock.now_ms())
    rule = "owners:\n  - {{rule: r, of: hosts, label: {}, owner: ops}}\n"
    assert owned_by_rule(rule.format("rack=7")) == set()
    assert owned_by_rule(rule.format("rack=7") + "trust: [environment]\n") == set()
    assert owned_by_rule(rule.format("rack=7") + "trust: [environment, rack]\n") == {"web1"}
    # The token was given by an operator. And nobody's word is not the opposite of a host's word.
    assert owned_by_rule(rule.format("site=bern")) == {"web1"}
    assert owned_by_rule(rule.format("environment=lab")) == set()


def test_a_wrong_list_of_trusted_labels_is_told() -> None:
    with pytest.raises(UsageError) as caught:
        read_rules("trust:\n  - Environment\n  - [a]\n", 0)
    assert "line 2: trust: a label's key has" in str(caught.value)
    assert "line 3: trust: write one value" in str(caught.value)
    with pytest.raises(UsageError, match="line 1: trust: write a list"):
        read_rules("trust: environment\n", 0)
