"""A company whose owners are asked what is theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fakes.census import Census, certificate, private_key, sealed_key
from fakes.pki import issue
from sqlalchemy import ColumnElement

from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.ownership.assignments import Thing, assign
from keycensus_collector.ownership.people import Person, add_person
from keycensus_collector.ownership.teams import add_member, create_team, team_no
from keycensus_collector.ownership.worker import settle
from keycensus_collector.query.parse import parse
from keycensus_collector.recertification import answers, campaigns
from keycensus_collector.recertification.answers import Answer, Answered
from keycensus_collector.recertification.campaigns import Campaign, Wanted
from keycensus_collector.recertification.handing import IS_OPEN
from keycensus_collector.recertification.lines import Line, owing, page

DAY = 86_400  # seconds
SHOP, API, SHARED = (issue(f"{name}.example.com", days=300) for name in ("shop", "api", "sh"))
BY = {"actor": "user:olga"}


class Company:
    """Hosts web1 and db1 are teams web's and db's, which share a certificate; anna alone is in web."""

    def __init__(self, census: Census) -> None:
        self.census = census

    @classmethod
    def create(cls, directory: Path) -> Company:
        census = Census.create(directory)
        company, now_ms = cls(census), census.clock.now_ms()
        web, db = census.host("web1"), census.host("db1")
        census.report(web, "/etc/shop.pem", certificate(SHOP), private_key(SHOP.key))
        census.report(web, "/etc/shared.pem", certificate(SHARED))
        census.report(db, "/etc/shared.pem", certificate(SHARED))
        census.report(db, "/etc/api.pem", certificate(API))
        census.report(db, "/etc/box.p12", sealed_key(b"box"), status="locked")
        census.fold()
        with census.store.write() as connection:
            for name in ("web", "db", "desk"):
                create_team(connection, name, contact=f"#{name}", now_ms=now_ms, **BY)
            add_person(connection, Person("anna"), now_ms=now_ms, **BY)
            add_member(connection, "web", "anna", now_ms=now_ms, **BY)
        company.give(Thing("host", web), "web")
        company.give(Thing("host", db), "db")
        return company

    @property
    def now_ms(self) -> int:
        return self.census.clock.now_ms()

    def later(self, days: float = 1) -> None:
        self.census.clock.advance(days * DAY)

    def give(self, thing: Thing, owner: str) -> None:
        with self.census.store.write() as connection:
            assign(connection, [thing], owner, reason="so", now_ms=self.now_ms, **BY)
            settle(connection, self.now_ms)

    def start(self, by: str = "30d", **more: Any) -> Campaign:  # noqa: ANN401 - of a campaign
        with self.census.store.write() as connection:
            wanted = Wanted(by, **more)
            return campaigns.start(connection, wanted, asker="olga", now_ms=self.now_ms, **BY)

    def answer(
        self, found: Campaign, said: Answer, which: ColumnElement[bool] = IS_OPEN, *owners: str
    ) -> Answered:
        with self.census.store.write() as connection:
            numbers = [team_no(connection, each) for each in owners] or None
            lines = answers.meant(connection, found, which, numbers)
            return answers.answer(connection, found, lines, said, now_ms=self.now_ms, **BY)

    def of_query(self, query: str, what: str = "certificates") -> ColumnElement[bool]:
        with self.census.store.read() as connection:
            return answers.of_query(connection, what, parse(query), self.now_ms)

    def lines(self, found: Campaign, state: str = "") -> list[Line]:
        with self.census.store.read() as connection:
            return page(connection, found, self.now_ms, limit=100, state=state).lines

    def told(self, found: Campaign) -> dict[str, str]:
        return {
            f"{each.owner} {each.kind} {each.name}".removesuffix(".example.com"): each.state
            for each in self.lines(found)
        }

    def counts(self, found: Campaign, owner: str) -> dict[str, int]:
        with self.census.store.read() as connection:
            (one,) = [o for o in owing(connection, found, self.now_ms) if o.owner == owner]
        return {word: count for word, count in one.counts.items() if count}

    def certs(self, query: str) -> set[str]:
        wanted = parse(query)
        with self.census.store.read() as connection:
            found = list_certificates(connection, wanted, self.now_ms)
            assert found.total == len(found.items)
        return {item.name.removesuffix(".example.com") for item in found.items}
