"""Who sees the things of a team sees what there would be if there were no others."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.census import Census, Item, certificate, private_key, sealed_key
from fakes.pki import issue
from sqlalchemy import Column, Integer, MetaData, Table, select

from keycensus_collector.access import scope
from keycensus_collector.access.scoped_tables import OPEN_TABLES, SCOPED
from keycensus_collector.access.tokens import create_api_token
from keycensus_collector.access.users import add_user, change_user
from keycensus_collector.api.app import create_app
from keycensus_collector.errors import ScopeError
from keycensus_collector.ownership.assignments import Thing, assign
from keycensus_collector.ownership.people import Person, add_person
from keycensus_collector.ownership.teams import add_member, create_team
from keycensus_collector.ownership.worker import settle
from keycensus_collector.store import schema
from keycensus_proto.v1.inventory_pb2 import Usage

pytestmark = pytest.mark.usefixtures("each_database_in_full")

ROOT = issue("Example Root", is_ca=True, days=3650)
LEAVES = [issue(f"n{n}.example.com", issuer=ROOT, days=20 + 30 * n) for n in range(4)]
NEWER = [issue(f"n{n}.example.com", issuer=ROOT, days=300 + n) for n in range(2)]
THINGS: list[tuple[Item, ...]] = [
    *((certificate(each), private_key(each.key)) for each in (*LEAVES[:2], *NEWER)),
    (certificate(LEAVES[2]), certificate(ROOT)),
    (private_key(LEAVES[3].key),),
    (certificate(LEAVES[3]),),
    (sealed_key(b"box"),),
]
HOSTS = ("web1", "web2", "db1")
PATHS = ("/etc/a.pem", "/etc/b.pem", "/srv/c.pem", "/old/d.pem")
LISTS = ("certificates", "keys", "places", "hosts", "gaps")
QUERIES = {
    "certificates": ("", "found:any", "role:any use:any", "host:web*", "owner:none", "owner:a",
                     "private-key:found", "issuer-found:no", "hosts:1", "places>1"),
    "keys": ("", "use:any role:any", "certificate:none", "sealed:yes", "hosts>1"),
    "places": ("", "holds:certificate", "expires<60d", "role:trust-store", "owner:a"),
    "hosts": ("", "holds:private-key", "expires<60d", "gap:any", "none(path:/etc/**)"),
    "gaps": ("", "gap:/secret host:web*", "owner:a"),
}  # fmt: skip
# Tables that no question of people names; whoever adds one decides where it belongs.
INTERNAL = {
    *("agent_certificate", "agent_contact", "authority_certificate", "duty", "intake_batch"),
    *("lost_time", "rekey_grant", "rekey_use", "removal", "session", "token", "token_use"),
}
# What is about the making of the data, not the data: numbers of lines and times of the fold. A step of a
# line is told where it was seen first; that may be another team's place, and then it is told to them only.
NOT_COMPARED = {"line", "folded", "next", "as_of", "predecessors", "successors", "line_name"}


@dataclass
class Plan:
    """A company: what each host reported, day by day, and who was given what."""

    reports: list[tuple[int, str, str, tuple[Item, ...], str, str]] = field(default_factory=list)
    host_teams: dict[str, str] = field(default_factory=dict)
    place_teams: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def drawn(cls, seed: int) -> Plan:
        chance = random.Random(seed)  # noqa: S311 - a test's
        plan = cls()
        for day in range(3):
            for _ in range(7):
                use = "retained" if chance.random() < 0.2 else "live"
                role = "trust-store" if chance.random() < 0.2 else "server"
                where = (chance.choice(HOSTS), chance.choice(PATHS))
                plan.reports.append((day, *where, chance.choice(THINGS), use, role))
        known = {(host, path) for _, host, path, *_ in plan.reports}
        plan.host_teams = {host: chance.choice("ab") for host in HOSTS if chance.random() < 0.7}
        plan.place_teams = {
            each: chance.choice("ab") for each in sorted(known) if chance.random() < 0.3
        }
        return plan

    def is_of(self, team: str, host: str, path: str) -> bool:
        own = self.place_teams.get((host, path))
        return (own or self.host_teams.get(host)) == team

    def only(self, team: str) -> Plan:
        """Return the company without what is not the team's."""
        return Plan(
            [each for each in self.reports if self.is_of(team, each[1], each[2])],
            {host: name for host, name in self.host_teams.items() if name == team},
            {place: name for place, name in self.place_teams.items() if name == team},
        )


def built(directory: Path, plan: Plan) -> Census:
    directory.mkdir()
    census = Census.create(directory)
    seen = {host for _, host, *_ in plan.reports} | set(plan.host_teams)
    numbers = {
        host: census.host(host, host_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, host)))
        for host in HOSTS
        if host in seen
    }
    for host in plan.host_teams:
        census.gap(numbers[host], "/secret")
    for day in range(3):
        for when, host, path, items, use, role in plan.reports:
            if when == day:
                census.report(numbers[host], path, *items, use=use, role=role)
        census.clock.advance(86_400)
    for host, path in sorted({each[1:3] for each in plan.reports}):
        if not path.startswith("/old"):
            usage = Usage(binding=path.encode(), service="nginx", configuration=b"/nginx.conf")
            census.usage(numbers[host], usage, path)
    census.fold()
    give(census, plan, numbers)
    return census


def give(census: Census, plan: Plan, numbers: dict[str, int]) -> None:
    now_ms, by = census.clock.now_ms(), {"actor": "test"}
    with census.store.write() as connection:
        for name in "ab":
            create_team(connection, name, now_ms=now_ms, **by)
            add_person(connection, Person(name=f"of-{name}"), now_ms=now_ms, **by)
            add_member(connection, name, f"of-{name}", now_ms=now_ms, **by)
        for host, name in sorted(plan.host_teams.items()):
            assign(
                connection,
                [Thing("host", number=numbers[host])],
                name,
                reason="so",
                now_ms=now_ms,
                **by,
            )
        for (host, path), name in sorted(plan.place_teams.items()):
            row = select(schema.place.c.place_no).where(
                schema.place.c.host_no == numbers[host], schema.place.c.path == path
            )
            number = connection.execute(row).scalar_one()
            assign(
                connection, [Thing("place", number=number)], name, reason="so", now_ms=now_ms, **by
            )
        settle(connection, now_ms)


def token_for(census: Census, team: str | None) -> str:
    """Make a token of a viewer who sees everything, or is a member of a team."""
    now_ms = census.clock.now_ms()
    name = f"of-{team}" if team else "all"
    with census.store.write() as connection:
        add_user(connection, name=name, role="viewer", now_ms=now_ms, actor="test")
        if team:
            change_user(connection, name=name, sees="teams", now_ms=now_ms, actor="test")
        return create_api_token(
            connection, user_name=name, name="", now_ms=now_ms, actor="test"
        ).text


def asking(census: Census, team: str | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(census.store, census.clock)),
        base_url="https://census/api/v1",
        headers={"Authorization": f"Bearer {token_for(census, team)}"},
    )


def questions() -> list[tuple[str, dict[str, str]]]:
    asked: list[tuple[str, dict[str, str]]] = [("/summary", {})]
    for name in LISTS:
        for query in QUERIES[name]:
            for as_of in ("", "as-of:36h"):
                q = f"{query} {as_of}".strip()
                asked.append((f"/{name}", {"q": q} if q else {}))
        asked.append((f"/export/{name}", {"format": "csv"}))
    asked += [
        (f"/groups/{name}", {"by": by})
        for name, by in (
            *(("certificates", by) for by in ("issuer", "key", "hosts", "expires-week")),
            *(("keys", by) for by in ("key", "hosts")),
            *(("places", by) for by in ("role", "status")),
            ("hosts", "state"),
            *(("gaps", by) for by in ("reason", "host")),
        )
    ]
    asked += [
        ("/certificates", {"status": each, "include": "trust-stores", "places": "true"})
        for each in ("live", "retained", "gone", "any")
    ]
    asked += [("/certificates", {"sort": "-live_places"}), ("/keys", {"sort": "-hosts"})]
    asked += [("/places", {"sort": "host"}), ("/hosts", {"sort": "-gaps"})]
    asked += [("/certificates", {"host": "web1"}), ("/certificates", {"path": "/etc"})]
    asked += [("/keys", {"readable_by": "world"}), ("/keys", {"without_certificate": "true"})]
    hashes = {item.artifact.hex() for items in THINGS for item in items}
    hosts = [str(uuid.uuid5(uuid.NAMESPACE_DNS, host)) for host in HOSTS]
    for each in sorted(hashes | set(HOSTS) | set(hosts)):
        asked += [("/show", {"id": each}), ("/where", {"id": each})]
    asked += [
        ("/where", {"id": issued.certificate.serial_number.__format__("x")}) for issued in LEAVES
    ]
    asked += [(f"/hosts/{host}", {}) for host in hosts]
    asked += [("/marks", {})]
    return asked


def compared(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: compared(each) for key, each in value.items() if key not in NOT_COMPARED}
    return [compared(each) for each in value] if isinstance(value, list) else value


async def answer(client: httpx.AsyncClient, path: str, parameters: dict[str, str]) -> Any:  # noqa: ANN401
    response = await client.get(path, params=parameters)
    assert response.status_code in {200, 404, 409}, (path, parameters, response.text)
    if response.headers["Content-Type"].endswith("json"):
        return response.status_code, compared(response.json())
    return response.status_code, "\n".join(sorted(_without_folded(response.text)))


def _without_folded(text: str) -> list[str]:
    head, *lines = text.splitlines()
    names = head.split(",")
    left = [index for index, name in enumerate(names) if name.strip('"') in NOT_COMPARED]
    return [
        ",".join(cell for index, cell in enumerate(line.split('","')) if index not in left)
        for line in lines
    ]


@pytest.fixture(params=[0, pytest.param(1, marks=pytest.mark.long)])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Census, Census]]:
    """Make a company, and what there would be of it without all that is not team a's."""
    plan = Plan.drawn(request.param)
    made = built(tmp_path / "all", plan), built(tmp_path / "alone", plan.only("a"))
    yield made
    for census in made:
        census.store.close()


async def test_a_team_gets_of_every_question_what_it_would_get_alone(
    both: tuple[Census, Census],
) -> None:
    everything, alone = both
    differing = 0
    async with (
        asking(everything, "a") as member,
        asking(alone, None) as other,
        asking(everything, None) as whole,
    ):
        for path, parameters in questions():
            expected = await answer(other, path, parameters)
            assert await answer(member, path, parameters) == expected, (path, parameters)
            differing += await answer(whole, path, parameters) != expected
        await _show_steps_between_what_is_seen(member)
    assert differing > 30  # the rest of the company would have shown


async def _show_steps_between_what_is_seen(client: httpx.AsyncClient) -> None:
    page = (
        await client.get("/certificates", params={"status": "any", "include": "trust-stores"})
    ).json()
    seen = {each["sha256"]: each["name"] for each in page["items"]}
    for sha256 in seen:
        whole = (await client.get(f"/certificates/{sha256}")).json()
        steps = [*whole["predecessors"], *whole["successors"]]
        assert {step["sha256"] for step in steps} <= seen.keys()
        assert whole["line_name"] in {"", *seen.values()}


@pytest.fixture
def census(tmp_path: Path) -> Census:
    return built(tmp_path / "census", Plan.drawn(1))


def test_a_table_that_nobody_thought_of_is_refused(census: Census) -> None:
    fresh = Table("fresh", MetaData(), Column("number", Integer))
    with census.store.read() as connection:
        scope.limit(connection, frozenset({1}))
        with pytest.raises(ScopeError, match="fresh"):
            connection.execute(select(fresh))
        with pytest.raises(ScopeError):
            connection.exec_driver_sql("SELECT * FROM place")
    with census.store.read() as connection:
        assert connection.execute(select(schema.place.c.place_no)).all()
    census.store.close()


def test_a_team_without_anything_and_nobody_see_nothing(census: Census) -> None:
    for teams in (frozenset[int](), frozenset({99})):
        for table in (schema.place, schema.certificate, schema.host, schema.holding, schema.line):
            with census.store.read() as connection:
                assert scope.limit(connection, teams).execute(select(table)).all() == []
    census.store.close()


def test_every_table_of_a_common_expression_has_its_columns(census: Census) -> None:
    tables = schema.metadata.tables
    for name in SCOPED:
        if name in tables:
            with census.store.read() as connection:
                scope.limit(connection, frozenset({1})).execute(select(tables[name])).all()
    assert not OPEN_TABLES & SCOPED.keys()
    assert tables.keys() - SCOPED.keys() - OPEN_TABLES == INTERNAL
    census.store.close()
