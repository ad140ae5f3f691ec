"""Each figure is what the query that it carries lists: over random inventories, queries and dimensions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from fakes.queries import nodes
from fakes.small_inventory import DAY, NOW, Inventory, hash_of, put, random_inventory, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select

from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.counts import count
from keycensus_collector.inventory.groups import choices, counted_now, is_of_today
from keycensus_collector.query.model import EVERYTHING, Query
from keycensus_collector.query.parse import parse
from keycensus_collector.query.render import render
from keycensus_collector.store import schema
from keycensus_collector.store.engine import Store
from keycensus_collector.store.tables import ownership

pytestmark = pytest.mark.usefixtures("each_database_in_full")

LISTS = ("certificates", "keys", "places", "hosts")
SEEDS = range(3)
# Of things, places and hosts; alone, in an or of both, and of other places.
TERMS = {
    "certificates": "ca:yes bits<2048 expires<30d use:any path:**/b.pem role:any host:web* found:any",
    "keys": "bits<2048 use:any path:/etc/** role:any encrypted:no host:web*",
    "places": "role:server path:**/b.pem holds:certificate host:web* bits<2048",
    "hosts": "state:silent path:/etc/** role:trust-store bits<2048 gap:any",
}


class Stores(list[Store]):
    """Stores; said in a word where a test fails."""

    def __repr__(self) -> str:
        return "stores"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    made = Stores(
        write(random_inventory(seed), tmp_path_factory.mktemp("groups")) for seed in SEEDS
    )
    for seed, store in zip(SEEDS, made, strict=True):
        with store.write() as connection:
            _own_and_renew(connection, random.Random(seed), has_fallback=seed == 2)  # noqa: S311
    yield made
    for store in made:
        store.close()


def _own_and_renew(connection: Connection, rng: random.Random, *, has_fallback: bool) -> None:
    """Give some things to teams, some to two; let a tool renew some places."""
    add = partial(put, connection)
    for number, name in enumerate(("web", "db", "desk"), 1):
        add(ownership.team, team_no=number, name=name)
    if has_fallback:
        add(ownership.owner_setting, name="fallback", value="3", from_ms=0)
    kinds = (
        (ownership.CERTIFICATE, schema.certificate.c.sha256),
        (ownership.KEY, schema.public_key.c.key_id),
    )
    for kind, column in kinds:
        for artifact in connection.execute(select(column)).scalars().all():
            for team in rng.sample((1, 2), rng.randint(0, 2)):
                values = {"kind": kind, "artifact": artifact, "team_no": team, "owns": True}
                add(ownership.artifact_owner, **values, from_ms=rng.choice((0, NOW - DAY)))
    add(ownership.host_owner, host_no=1, team_no=1, how="explicit")
    for name, overdue in (("certbot", False), ("lego", True)):
        row = connection.execute(select(schema.place).order_by(schema.place.c.place_no)).all()
        chosen = rng.choice(row)
        values = {"renewal_tool": name, "renewal_overdue": overdue, "key": hash_of(name)}
        number = len(name)
        add(schema.usage, usage_no=number, host_no=chosen.host_no, **values)
        connection.execute(
            insert(schema.usage_place).values(usage_no=number, path_hash=chosen.path_hash)
        )


@st.composite
def asked(draw: st.DrawFn) -> tuple[int, str, str, Query]:
    target = draw(st.sampled_from(LISTS))
    by = draw(st.sampled_from([*choices(target), "label.env"]))
    terms = [parse(text).expression for text in TERMS[target].split()]
    leaves = st.sampled_from([term for term in terms if term is not None])
    expression = draw(st.none() | nodes(leaves))
    as_of = draw(st.sampled_from(["", "", "10d"]))
    return draw(st.sampled_from(list(SEEDS))), target, by, Query(expression, as_of)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(asked())
def test_each_group_counts_what_its_query_lists(
    stores: Stores, case: tuple[int, str, str, Query]
) -> None:
    seed, target, by, query = case
    query = parse(render(query))
    with stores[seed].read() as connection:
        if query.as_of and is_of_today(target, by):
            with pytest.raises(UsageError, match="of today"):
                counted_now(connection, query, target, by, NOW)
            return
        found = counted_now(connection, query, target, by, NOW)
        for each in found.groups:
            assert count(connection, parse(each.query), target, NOW) == each.count, each
        assert found.total == count(connection, query, target, NOW)
    assert found.left_out == 0
    if not found.overlapping:
        assert sum(each.count for each in found.groups) == found.total


def test_every_dimension_finds_something(stores: Stores) -> None:
    for target in LISTS:
        query = parse("found:any" if target == "certificates" else "use:any")
        if target in {"places", "hosts"}:
            query = EVERYTHING
        for by in [*choices(target), "label.env"]:
            counts = []
            for store in stores:
                with store.read() as connection:
                    counts.append(len(counted_now(connection, query, target, by, NOW).groups))
            assert any(counts), (target, by)


def test_what_ends_is_told_by_week_a_year_ahead(tmp_path: Path) -> None:
    made, hour = Inventory(), DAY // 24
    one = next(iter(random_inventory(0).certificates.values()))
    ends = (None, NOW - hour, NOW + hour, NOW + 21 * DAY, NOW + 21 * DAY, NOW + 500 * DAY)
    for number, end in enumerate(ends):
        hash_ = hash_of(number)
        made.certificates[hash_] = replace(one, sha256=hash_, not_after_ms=end, parents=())
    store = write(made, tmp_path)
    with store.read() as connection:
        found = counted_now(connection, parse("found:any"), "certificates", "expires-week", NOW)
    store.close()
    assert [(each.value, each.count) for each in found.groups] == [
        ("expired", 1),
        ("2026-09-21", 1),
        ("2026-10-12", 2),
        ("later", 1),
        ("unknown", 1),
    ]
    assert [each.query for each in found.groups[:2]] == [
        "found:any expires<0d",
        "found:any expires:2026-09-21..2026-09-27 expires>=0d",
    ]


def test_the_largest_groups_come_first_and_the_rest_is_told(stores: Stores) -> None:
    with stores[0].read() as connection:
        query = parse("found:any")
        whole = counted_now(connection, query, "certificates", "issuer", NOW)
        first = counted_now(connection, query, "certificates", "issuer", NOW, limit=1)
        with pytest.raises(UsageError, match=r"label\.KEY"):
            counted_now(connection, query, "certificates", "colour", NOW)
    counts = [each.count for each in whole.groups]
    assert counts == sorted(counts, reverse=True)
    assert first.groups == whole.groups[:1]
    assert (first.left_out, first.total) == (len(counts) - 1, whole.total)
