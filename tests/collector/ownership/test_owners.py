"""Who owns what: given by hand, followed through lines and places, asked of today and of a past day."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.census import Census, certificate, private_key, sealed_key
from fakes.pki import issue
from sqlalchemy import select

from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.hosts import list_hosts
from keycensus_collector.inventory.keys import list_keys
from keycensus_collector.inventory.place_list import list_places
from keycensus_collector.ownership.assignments import Thing, assign, release
from keycensus_collector.ownership.moving import dissolve_team
from keycensus_collector.ownership.people import Person, add_person, teams_of_user
from keycensus_collector.ownership.scope import artifact_visible_to
from keycensus_collector.ownership.settings import FALLBACK, change_setting
from keycensus_collector.ownership.teams import add_member, create_team, remove_member, team_no
from keycensus_collector.ownership.worker import settle
from keycensus_collector.query.parse import parse
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import certificate as certificates
from keycensus_collector.store.schema import host, place
from keycensus_collector.store.tables.ownership import CERTIFICATE

DAY = 86_400_000
ROOT = issue("Example Root", is_ca=True, days=3650)
SHOP, API, SHARED = (issue(f"{n}.example.com", issuer=ROOT, days=60) for n in ("shop", "api", "sh"))
BY = {"actor": "test"}


class Owned:
    """A small company: web1 and db1, three certificates, teams web, db and desk."""

    def __init__(self, census: Census) -> None:
        self.census = census
        with census.store.read() as connection:
            self.web, self.db = connection.execute(
                select(host.c.host_no).order_by(host.c.host_no)
            ).scalars()

    def give(self, thing: Thing, owner: str) -> None:
        with self.census.store.write() as connection:
            now_ms = self.census.clock.now_ms()
            assign(connection, [thing], owner, reason="said so", now_ms=now_ms, **BY)
            settle(connection, now_ms)

    def settle(self) -> None:
        with self.census.store.write() as connection:
            settle(connection, self.census.clock.now_ms())

    def certs(self, query: str) -> set[str]:
        wanted = parse(query)
        with self.census.store.read() as connection:
            page = list_certificates(connection, wanted, self.census.clock.now_ms())
            assert page.total == len(page.items)
        return {item.name.removesuffix(".example.com") for item in page.items}

    def places(self, query: str) -> set[str]:
        with self.census.store.read() as connection:
            page = list_places(connection, parse(query), self.census.clock.now_ms())
        return {f"{item.host}:{item.path}" for item in page.items}

    def place_no(self, host: int, path: str) -> int:
        with self.census.store.read() as connection:
            found = select(place.c.place_no).where(place.c.host_no == host, place.c.path == path)
            return int(connection.execute(found).scalar_one())


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template")
    census = Census.create(directory)
    web, db = census.host("web1"), census.host("db1")
    with census.store.write() as connection:
        for name in ("web", "db", "desk"):
            create_team(connection, name, now_ms=census.clock.now_ms(), **BY)
    census.report(web, "/etc/shop.pem", certificate(SHOP))
    census.report(web, "/etc/shop.key", private_key(SHOP.key))
    census.report(web, "/etc/shared.pem", certificate(SHARED))
    census.report(db, "/etc/shared.pem", certificate(SHARED))
    census.report(db, "/etc/api.pem", certificate(API))
    census.report(db, "/etc/box.p12", sealed_key(b"box"), status="locked")
    census.fold()
    census.store.close()
    return directory / "collector.db"


@pytest.fixture
def owned(template: Path, tmp_path: Path) -> Iterator[Owned]:
    shutil.copy(template, tmp_path / "collector.db")
    with Store.open(f"sqlite:///{tmp_path}/collector.db") as store:
        yield Owned(Census(store, batches=100))


def test_a_host_gives_its_places_and_their_certificates_an_owner(owned: Owned) -> None:
    owned.give(Thing("host", owned.web), "web")
    assert owned.certs("owner:web") == {"shop", "sh"}
    assert owned.certs("owner:none") == {"api"}
    owned.give(Thing("host", owned.db), "db")
    assert owned.certs("owner:web") == {"shop", "sh"}
    assert owned.certs("owner:db") == {"api", "sh"}
    assert owned.certs("owner:none") == set()
    assert owned.places("owner:db") == {
        "db1:/etc/api.pem",
        "db1:/etc/shared.pem",
        "db1:/etc/box.p12",
    }
    with owned.census.store.read() as connection:
        now_ms = owned.census.clock.now_ms()
        keys = list_keys(connection, parse("owner:db"), now_ms)
        assert [item.kind for item in keys.items] == ["sealed-key"]
        keys = list_keys(connection, parse("owner:web"), now_ms)
        assert [item.kind for item in keys.items] == ["private-key"]
        hosts = list_hosts(connection, parse("owner:web"), now_ms)
        assert [item.name for item in hosts.items] == ["web1"]


def test_a_place_and_a_line_that_were_given_go_before_the_host(owned: Owned) -> None:
    owned.give(Thing("host", owned.web), "web")
    owned.give(Thing("place", owned.place_no(owned.web, "/etc/shop.pem")), "db")
    assert owned.certs("owner:db") == {"shop"}
    assert owned.places("owner:web path:/etc/shop.pem") == set()
    owned.give(Thing("certificate", artifact=SHOP.sha256), "desk")
    assert owned.certs("owner:desk") == {"shop"}
    assert owned.certs("owner:db") == set()
    assert owned.certs("place-owner:db") == {"shop"}
    assert owned.certs("team:db") == {"shop"}
    renewed = issue("shop.example.com", issuer=ROOT, days=90, key=SHOP.key)
    owned.census.report(owned.web, "/etc/shop.pem", certificate(renewed))
    owned.census.fold()
    owned.settle()
    assert owned.certs("owner:desk expires>61d") == {"shop"}
    with owned.census.store.write() as connection:
        assert release(
            connection,
            [Thing("certificate", artifact=renewed.sha256)],
            now_ms=owned.census.clock.now_ms(),
            **BY,
        )
    owned.settle()
    assert owned.certs("owner:desk") == set()
    assert owned.certs("owner:db expires>61d") == {"shop"}


def test_what_a_team_sees_is_what_it_owns_or_has_a_place_of(owned: Owned) -> None:
    owned.give(Thing("host", owned.web), "web")
    owned.give(Thing("certificate", artifact=SHARED.sha256), "desk")
    with owned.census.store.read() as connection:
        for name, seen in (("web", {SHOP.sha256, SHARED.sha256}), ("desk", {SHARED.sha256})):
            teams = {team_no(connection, name)}
            condition = artifact_visible_to(certificates.c.sha256, CERTIFICATE, teams)
            found = connection.execute(select(certificates.c.sha256).where(condition))
            assert set(found.scalars()) == seen
        nobody = artifact_visible_to(certificates.c.sha256, CERTIFICATE, set())
        assert not connection.execute(select(certificates.c.sha256).where(nobody)).all()


def test_a_past_day_has_the_owners_of_that_day(owned: Owned) -> None:
    owned.give(Thing("host", owned.web), "web")
    owned.census.clock.advance(10 * DAY)
    owned.give(Thing("host", owned.web), "db")
    assert owned.certs("owner:db") == {"shop", "sh"}
    assert owned.certs("owner:web as-of:5d") == {"shop", "sh"}
    assert owned.certs("owner:db as-of:5d") == set()
    assert owned.places("owner:web as-of:5d path:/etc/shop.pem") == {"web1:/etc/shop.pem"}
    assert owned.certs("owner:none as-of:5d") == {"api"}


def test_the_fallback_team_answers_for_what_nobody_owns(owned: Owned) -> None:
    now_ms = owned.census.clock.now_ms()
    with owned.census.store.write() as connection:
        number = str(team_no(connection, "desk"))
        change_setting(connection, FALLBACK, number, now_ms=now_ms, **BY)
    owned.give(Thing("host", owned.web), "web")
    assert owned.certs("owner:desk") == {"api"}
    assert owned.certs("owner:none") == {"api"}


def test_a_dissolved_team_hands_over_what_it_held(owned: Owned) -> None:
    owned.give(Thing("host", owned.web), "web")
    owned.census.clock.advance(DAY)
    with owned.census.store.write() as connection:
        now_ms = owned.census.clock.now_ms()
        with pytest.raises(UsageError, match="say who takes it"):
            dissolve_team(connection, "web", now_ms=now_ms, **BY)
        held = dissolve_team(connection, "web", into="db", now_ms=now_ms, **BY)
        assert (held.given, held.certificates, held.keys) == ({"host": 1}, 2, 1)
        settle(connection, now_ms)
        with pytest.raises(UsageError, match="was dissolved"):
            team_no(connection, "web")
    assert owned.certs("owner:db") == {"shop", "sh"}
    assert owned.certs("owner:web as-of:12h") == {"shop", "sh"}


def test_people_are_found_as_the_users_they_are(owned: Owned) -> None:
    now_ms = owned.census.clock.now_ms()
    with owned.census.store.write() as connection:
        add_person(connection, Person("anna", email="Anna@Example.com"), now_ms=now_ms, **BY)
        add_person(connection, Person("bob", user="robert"), now_ms=now_ms, **BY)
        web = team_no(connection, "web")
        for who in ("anna", "bob"):
            assert add_member(connection, "web", who, now_ms=now_ms, **BY)
        assert not add_member(connection, "web", "bob", now_ms=now_ms, **BY)
        assert teams_of_user(connection, "anna") == {web}
        assert teams_of_user(connection, "robert") == {web}
        assert teams_of_user(connection, "bob") == frozenset()
        assert remove_member(connection, "web", "bob", now_ms=now_ms + 1, **BY)
        assert teams_of_user(connection, "robert") == frozenset()
        assert teams_of_user(connection, "robert", as_of_ms=now_ms) == {web}
        with pytest.raises(UsageError, match="take another"):
            create_team(connection, "anna", now_ms=now_ms, **BY)
