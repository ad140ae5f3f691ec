"""Owners that follow: a rule goes on along a line, and a key is its certificates' owner's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.census import Census, certificate, private_key
from fakes.pki import NOW, issue, new_key

from keycensus_collector.ownership.applying import apply_rules
from keycensus_collector.ownership.assignments import Thing, assign, release
from keycensus_collector.ownership.teams import create_team
from keycensus_collector.ownership.why import why_artifact
from keycensus_collector.ownership.worker import settle
from keycensus_collector.store.tables.ownership import CERTIFICATE, KEY

pytestmark = pytest.mark.usefixtures("each_database_in_full")

# One place, a new key each time: a line of three.
LINE = [issue("shop.example.com", now=NOW + timedelta(days=day)) for day in (0, 40, 80)]
TWIN_KEY = new_key()
TWINS = [issue(f"{name}.example.com", key=TWIN_KEY) for name in ("one", "two")]


@dataclass
class Owned:
    """A census whose owners are worked out at once."""

    census: Census

    def rule(self, text: str) -> None:
        with self.census.store.write() as connection:
            now_ms = self.census.clock.now_ms()
            apply_rules(connection, text, actor="ann", now_ms=now_ms)
            settle(connection, now_ms)

    def give(self, thing: Thing, owner: str) -> None:
        with self.census.store.write() as connection:
            now_ms = self.census.clock.now_ms()
            if owner:
                assign(connection, [thing], owner, reason="theirs", actor="ann", now_ms=now_ms)
            else:
                release(connection, [thing], actor="ann", now_ms=now_ms)
            settle(connection, now_ms)

    def renew(self, number: int) -> None:
        self.census.clock.advance(60)
        self.census.report(1, "/etc/shop.pem", certificate(LINE[number]))
        self.census.fold()
        with self.census.store.write() as connection:
            settle(connection, self.census.clock.now_ms())

    def of(self, kind: int, artifact: bytes) -> list[tuple[str, str]]:
        return [each[:2] for each in self.why(kind, artifact)]

    def why(self, kind: int, artifact: bytes) -> list[tuple[str, str, str]]:
        with self.census.store.read() as connection:
            found = why_artifact(connection, kind, artifact)
        return [(each.owner, each.how, each.why) for each in found]


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Owned]:
    census = Census.create(tmp_path)
    assert (census.host("web1"), census.host("db1")) == (1, 2)
    with census.store.write() as connection:
        for name in ("web", "db", "pki"):
            create_team(connection, name, actor="ann", now_ms=census.clock.now_ms())
    census.report(1, "/etc/shop.pem", certificate(LINE[0]))
    census.report(2, "/srv/shop.key", private_key(LINE[0].key))
    census.report(1, "/etc/one.pem", certificate(TWINS[0]))
    census.report(1, "/etc/two.pem", certificate(TWINS[1]))
    census.report(2, "/srv/twin.key", private_key(TWIN_KEY))
    census.fold()
    yield Owned(census)
    census.store.close()


def test_a_rule_that_means_one_certificate_goes_on_for_its_renewals(owned: Owned) -> None:
    first, second, third = (each.sha256 for each in LINE)
    rule = f"owners: [{{rule: shop, of: certificates, query: 'sha256:{first.hex()}', owner: web}}]"
    owned.rule(rule)
    assert owned.of(CERTIFICATE, first) == [("web", "rule")]
    owned.renew(1)
    owned.renew(2)
    assert owned.of(CERTIFICATE, second) == [("web", "line")]
    ((_, how, why),) = owned.why(CERTIFICATE, third)
    assert how == "line"
    assert why.startswith("of what it follows in its line: rule shop: ")

    # What a rule says of the renewal itself goes before, and then goes on in its turn.
    more = f"  - {{rule: new, of: certificates, query: 'sha256:{second.hex()}', owner: db}}\n"
    owned.rule(f"owners:\n  - {rule[9:-1]}\n{more}")
    assert owned.of(CERTIFICATE, first) == []  # it is gone
    assert owned.of(CERTIFICATE, third) == [("db", "line")]
    owned.rule("owners: []")
    assert [owned.of(CERTIFICATE, each) for each in (first, second, third)] == [[], [], []]


def test_what_is_given_by_hand_goes_before_a_rule_of_the_line(owned: Owned) -> None:
    owned.rule(
        f"owners: [{{rule: a, of: certificates, query: 'sha256:{LINE[0].sha256.hex()}', owner: web}}]"
    )
    owned.renew(1)
    owned.give(Thing("certificate", artifact=LINE[1].sha256), "db")
    assert owned.of(CERTIFICATE, LINE[1].sha256) == [("db", "explicit")]
    owned.give(Thing("certificate", artifact=LINE[1].sha256), "")
    assert owned.of(CERTIFICATE, LINE[1].sha256) == [("web", "line")]


def test_a_key_is_its_certificates_owners_where_somebody_was_said_to_own_these(
    owned: Owned,
) -> None:
    key, first = private_key(LINE[0].key).artifact, LINE[0].sha256
    owned.give(Thing("host", number=2), "db")
    assert owned.of(KEY, key) == [("db", "places")]
    owned.give(Thing("certificate", artifact=first), "web")
    assert owned.why(KEY, key) == [
        (
            "web",
            "certificates",
            f"through its certificate shop.example.com {first.hex()[:12]}: given with its line by ann: theirs",
        )
    ]
    owned.give(Thing("key", artifact=key), "pki")
    assert owned.of(KEY, key) == [("pki", "explicit")]
    owned.give(Thing("key", artifact=key), "")
    owned.give(Thing("certificate", artifact=first), "")
    assert owned.of(KEY, key) == [("db", "places")]
    owned.rule("owners: [{rule: r, of: keys, host: db1, owner: pki}]")
    assert owned.of(KEY, key) == [("pki", "rule")]


def test_a_key_of_certificates_of_several_teams_is_shared_by_them(owned: Owned) -> None:
    key = private_key(TWIN_KEY).artifact
    owned.rule(
        "owners:\n"
        "- {rule: one, of: certificates, name: one.example.com, owner: web}\n"
        "- {rule: two, of: certificates, name: two.example.com, owner: db}\n"
    )
    assert owned.of(KEY, key) == [("db", "certificates"), ("web", "certificates")]
    # One that is in use no more counts only where none is.
    owned.census.clock.advance(60)
    owned.census.gone(1, "/etc/two.pem")
    owned.census.fold()
    owned.rule("owners: [{rule: one, of: certificates, name: '*.example.com', owner: web}]")
    assert owned.of(KEY, key) == [("web", "certificates")]
