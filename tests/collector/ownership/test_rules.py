"""Rules: read with all their mistakes, the most specific wins, what is tried is what applying does."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.census import Census, certificate, private_key
from fakes.pki import issue
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from keycensus_collector.errors import UsageError
from keycensus_collector.ownership.applying import apply_rules, try_rules
from keycensus_collector.ownership.assignments import Thing, assign
from keycensus_collector.ownership.people import Person, add_person
from keycensus_collector.ownership.resolve import Said, of_artifact, own_row_of_place
from keycensus_collector.ownership.rule_file import rules_text
from keycensus_collector.ownership.rule_text import read_rules
from keycensus_collector.ownership.specificity import specificity
from keycensus_collector.ownership.teams import create_team, list_teams
from keycensus_collector.ownership.worker import settle
from keycensus_collector.query.parse import parse
from keycensus_collector.store.engine import Store
from keycensus_collector.store.tables.ownership import artifact_owner, host_owner, place_owner

BY = {"actor": "test"}
LEAVES = [issue(f"n{n}.example.com", days=30 + n) for n in range(4)]
RULES = """
owners:
  - {rule: web-hosts, of: hosts, host: "web*", owner: web}
  - rule: api
    of: places
    path: /srv/api
    owner: db
    note: comes with the database
  - {rule: n2, of: certificates, name: n2.example.com, owner: desk}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template")
    census = Census.create(directory)
    hosts = [census.host(name) for name in ("web1", "web2", "db1")]
    with census.store.write() as connection:
        for name in ("web", "db", "desk"):
            create_team(connection, name, now_ms=census.clock.now_ms(), **BY)
    for number, leaf in enumerate(LEAVES):
        census.report(hosts[number % 3], f"/etc/{number}.pem", certificate(leaf))
        census.report(hosts[number % 2], f"/srv/api/{number}.pem", certificate(leaf))
        census.report(hosts[number % 3], f"/etc/{number}.key", private_key(leaf.key))
    census.fold()
    census.store.close()
    return directory / "collector.db"


@pytest.fixture
def census(template: Path, tmp_path: Path) -> Iterator[Census]:
    shutil.copy(template, tmp_path / "collector.db")
    with Store.open(f"sqlite:///{tmp_path}/collector.db") as store:
        yield Census(store, batches=100)


def ruled(census: Census) -> dict[object, int]:
    """Return what rules say of each thing, as it was worked out."""
    found: dict[object, int] = {}
    with census.store.read() as connection:
        for table, key in (
            (host_owner, host_owner.c.host_no),
            (place_owner, place_owner.c.place_no),
            (artifact_owner, artifact_owner.c.artifact),
        ):
            rows = connection.execute(
                select(key, table.c.team_no).where(table.c.how == "rule", table.c.to_ms.is_(None))
            )
            found |= {(table.name, row[0]): row[1] for row in rows}
    return found


def put(census: Census, text: str) -> None:
    with census.store.write() as connection:
        now_ms = census.clock.now_ms()
        apply_rules(connection, text, now_ms=now_ms, **BY)
        settle(connection, now_ms)


def test_rules_are_followed_and_their_end_too(census: Census) -> None:
    put(census, RULES)
    first = ruled(census)
    assert {key[0] for key in first} == {"host_owner", "place_owner", "artifact_owner"}  # type: ignore[index]
    with census.store.read() as connection:
        found = rules_text(connection)
    assert found is not None
    assert (found[0], found[1]) == (1, RULES)
    census.clock.advance(1000)
    put(census, "owners: []")
    assert ruled(census) == {}


def test_what_is_tried_is_what_applying_does(census: Census) -> None:
    rng = random.Random(7)  # noqa: S311 - a fixed seed
    owners, before = ["web", "db", "desk"], ruled(census)
    with census.store.write() as connection:
        thing = [Thing("certificate", artifact=LEAVES[0].sha256), Thing("host", number=1)]
        assign(connection, thing, "desk", reason="by hand", now_ms=census.clock.now_ms(), **BY)
        settle(connection, census.clock.now_ms())
    for _ in range(4):
        rules = [
            f"  - {{rule: r{n}, of: {of}, query: '{query}', owner: {rng.choice(owners)}}}"
            for n, (of, query) in enumerate(
                rng.sample(
                    [
                        ("hosts", "host:web*"),
                        ("hosts", "host:web1 or host:db1"),
                        ("places", "host:db1"),
                        ("places", "path:/srv/api"),
                        ("places", "path:/srv/api/1.pem host:web2"),
                        ("certificates", "name:n*"),
                        ("certificates", "san:n1.* or name:n2.*"),
                        ("keys", "path:/etc/**"),
                    ],
                    5,
                )
            )
        ]
        text = "owners:\n" + "\n".join(rules)
        with census.store.read() as connection:
            tried = try_rules(connection, text, now_ms=census.clock.now_ms())
        census.clock.advance(1000)
        put(census, text)
        after = ruled(census)
        assert tried.complete
        assert tried.assigned == len(after.keys() - before.keys())
        assert tried.ended == len(before.keys() - after.keys())
        both = after.keys() & before.keys()
        assert tried.changed == sum(after[key] != before[key] for key in both)
        before = after


def test_equal_rules_with_different_owners_are_told(census: Census) -> None:
    text = """
owners:
  - {rule: b, of: hosts, host: web1, owner: web}
  - {rule: a, of: hosts, host: web2, owner: db}
  - {rule: c, of: hosts, query: "host:web1", owner: db}
"""
    with census.store.read() as connection:
        tried = try_rules(connection, text, now_ms=census.clock.now_ms())
    assert (tried.assigned, tried.conflicts) == (2, 1)
    assert tried.conflict_samples == ["host web1: b (web), c (db); the first is taken"]
    put(census, text)
    assert len(set(ruled(census).values())) == 2


MISTAKES = """owners:
  - rule: Bad Name
    of: places
    path: /x
    owner: web
  - {rule: a, of: placs, path: /x, owner: web}
  - {rule: b, of: hosts, path: /x, ownr: web}
  - {rule: c, of: hosts, owner: web}
  - {rule: d, of: certificates, query: "expirs<30d", owner: web}
  - {rule: e, of: keys, query: "expires<30d", owner: web}
  - {rule: f, of: hosts, host: web1, owner: web}
  - {rule: f, of: hosts, host: web2, owner: web}
  - {rule: g, of: hosts, label: prod, owner: web}
labls: []
"""


def test_all_mistakes_are_told_with_their_lines() -> None:
    with pytest.raises(UsageError) as raised:
        read_rules(MISTAKES, 0)
    said = str(raised.value).splitlines()[1:]
    for line, text in (
        (2, "a rule's name"),
        (6, "of is one of"),
        (7, "did you mean owner"),
        (8, "say what it is about"),
        (9, "did you mean expires"),
        (10, "can't be asked of keys"),
        (12, "rule f in line 11 already"),
        (13, "label: write key=value"),
        (14, "no section labls"),
    ):
        assert any(each.startswith(f"line {line}: ") and text in each for each in said), (
            line,
            said,
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "this is no YAML"),
        ("a: &x [1]\nb: *x", "aliases are not taken"),
        ("- 1", "write sections"),
        ("owners: web", "write a list of rules"),
        ("owners: [1]", "a rule has a name"),
        ("!!python/object/apply:os.system ['id']", "write sections"),
        ("[" * 5000, "nested too deeply"),
        ("owners: [{rule: a, of: hosts, host: x, owner: [web]}]", "write one value"),
        ("owners: [{rule: a, of: hosts, query: 'as-of:2d host:x', owner: web}]", "leave as-of out"),
        ("x" * 1_000_001, "at most 1,000,000"),
    ],
)
def test_what_is_no_file_of_rules_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_rules(text, 0)


def test_a_rule_of_a_team_that_is_not_there_is_refused(census: Census) -> None:
    with pytest.raises(UsageError, match="line 1: there is no team or person 'nobody'"):
        put(census, "owners: [{rule: a, of: hosts, host: x, owner: nobody}]")


def test_a_rule_may_name_a_person_who_becomes_a_team_of_one(census: Census) -> None:
    text = "owners: [{rule: a, of: hosts, host: 'web*', owner: ann}]"
    with census.store.write() as connection:
        add_person(connection, Person("ann"), now_ms=census.clock.now_ms(), **BY)
    with census.store.read() as connection:
        tried = try_rules(connection, text, now_ms=census.clock.now_ms())
        names = [each.name for each in list_teams(connection)]
    assert tried.samples
    assert all(sample.endswith("-> ann") for sample in tried.samples)
    assert "ann" not in names  # nothing was changed
    put(census, text)
    with census.store.read() as connection:
        number = next(each.number for each in list_teams(connection) if each.person == "ann")
    assert set(ruled(census).values()) == {number}
    assert len(ruled(census)) == tried.assigned


def test_the_more_specific_query_weighs_more() -> None:
    ordered = [
        "",
        "expires<30d",
        "issuer:R11",
        "host:web*",
        "label.environment:prod",
        "host:web1",
        "package:nginx",
        "service:nginx",
        "path:/etc/**",
        "path:/etc/nginx",
        "path:/etc/nginx/ssl",
        "path:/etc/nginx/ssl host:web1",
        "serial:01ab",
    ]
    weights = [specificity(parse(query)) for query in ordered]
    assert weights == sorted(weights)
    assert len(set(weights)) >= len(ordered) - 1
    assert specificity(parse("host:a or path:/x/y")) == specificity(parse("host:a"))
    assert specificity(parse("not host:web1")) < specificity(parse("host:web1"))


TEAMS = st.integers(1, 4)
SAID = st.none() | st.builds(Said, TEAMS, st.sampled_from(["explicit", "rule"]), st.just(1))


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(SAID, st.lists(TEAMS), st.lists(TEAMS))
def test_whoever_is_said_owns_alone_else_all_that_install(
    said: Said | None, installers: list[int], others: list[int]
) -> None:
    standings = of_artifact(said, installers, others)
    owners = {each.team_no for each in standings if each.owns}
    assert owners == ({said.team_no} if said else set(installers))
    assert {each.team_no for each in standings} == owners | set(installers) | set(others)
    assert standings == of_artifact(said, reversed(installers), reversed(others))
    if not said and len(owners) > 1:
        assert {each.how for each in standings if each.owns} == {"shared"}


@given(SAID, st.booleans(), SAID)
def test_what_is_given_by_hand_goes_before_rules(
    given_: Said | None,
    host: bool,  # noqa: FBT001 - hypothesis gives it
    rule: Said | None,
) -> None:
    own = own_row_of_place(given_, host_is_explicit=host, rule=rule)
    if given_ is not None:
        assert own == given_
    elif host:
        assert own is None
    else:
        assert own == rule
