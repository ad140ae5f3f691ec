"""Queries as SQL list exactly what the slow way of `fakes.naive_query` lists, now and in the past."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fakes import naive_query as naive
from fakes.queries import nodes
from fakes.small_inventory import (
    NOW,
    THEN,
    Certificate,
    Host,
    Inventory,
    State,
    random_inventory,
    write,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from keycensus_collector.query import compile as compiling
from keycensus_collector.query import in_files
from keycensus_collector.query.ask import ask
from keycensus_collector.query.model import Node, Not, Query, Term
from keycensus_collector.query.parse import parse
from keycensus_collector.query.render import render
from keycensus_collector.store.engine import Store

pytestmark = pytest.mark.usefixtures("each_database")

SEEDS = range(3)
_ALL = ("certificates", "keys", "places", "hosts")
_WITH = {"certificate": ("certificates", "places", "hosts"), "key": ("keys", "places", "hosts")}


def glob(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*+)", pattern)
    text = "".join(
        ("[^/]*" if len(part) == 1 else ".*") if part.startswith("*") else re.escape(part)
        for part in parts
    )
    return re.compile(text)


def path_is(pattern: str) -> naive.Predicate:
    return naive.of_path(lambda path: glob(pattern).fullmatch(path) is not None)


def is_(term: str) -> Term:
    node = parse(term).expression
    assert isinstance(node, Term), term
    return node


def name_is(*patterns: str, san_only: bool = False, pattern: str) -> naive.Predicate:
    found = re.compile(re.escape(pattern.lower()).replace(r"\*", ".*"))
    del patterns

    def look(item: Certificate) -> bool:
        names = item.names if san_only else (item.common_name, *item.names)
        return any(found.fullmatch(name.lower()) for name in names if name)

    return naive.of_certificate(look)


def label(value: str | None) -> naive.Predicate:
    def look(host: Host) -> bool | None:
        env = host.labels["token"].get("env") or host.labels["host"].get("env")
        if value is None:
            return env is None
        return None if env is None else env == value

    return naive.of_host(look)


def world(state: State) -> bool:
    return state.readable_by == "world" or (not state.readable_by and bool(state.mode & 4))


def alone(state: State) -> bool:
    return state.readable_by == "owner" or (not state.readable_by and not state.mode & 0o44)


def _silent(row: naive.Row) -> bool | None:
    if row.host is None:
        return None
    return row.host.last_seen_ms < (row.moment or NOW) - naive.days(2)


CERTIFICATE: dict[str, naive.Predicate] = {
    "name:*.example.com": name_is(pattern="*.example.com"),
    "name:A_B.test": name_is(pattern="a_b.test"),
    "san:x%y": name_is(pattern="x%y", san_only=True),
    "cn:none": naive.of_certificate(lambda c: not c.common_name),
    'issuer:"let\'s"': naive.of_certificate(lambda c: "Let's" in c.issuer),
    "issuer:%_": naive.of_certificate(lambda c: "%_" in c.issuer),
    "expires<30d": naive.expires(naive.days(30), before=True),
    "expires>-2d": naive.expires(-naive.days(2), before=False),
    "expires:none": naive.of_certificate(lambda c: c.not_after_ms is None),
    "ca:yes": naive.of_certificate(lambda c: c.is_ca),
    "eku:clientauth": naive.of_certificate(lambda c: "clientAuth" in c.eku.split()),
    "private-key:found": naive.has_private_key,
}
KEY: dict[str, naive.Predicate] = {
    "certificate:none": lambda r: _opposite(naive.has_certificate(r))
}
EITHER: dict[str, naive.Predicate] = {
    "key:RSA": naive.of_either(lambda x: x.algorithm == "rsa"),
    "bits<2048": naive.of_either(lambda x: x.bits is not None and x.bits < 2048),
    "bits:256..1024": naive.of_either(lambda x: x.bits is not None and 256 <= x.bits <= 1024),
}
COUNTED: dict[str, naive.Predicate] = {
    "places>1": naive.count_of("places", lambda n: n > 1),
    "hosts:2": naive.count_of("hosts", lambda n: n == 2),
}
FOUND: dict[str, naive.Predicate] = {
    "found:now": naive.is_somewhere,
    "found:gone": lambda r: _opposite(naive.is_somewhere(r)),
    "gone<7d": naive.went(naive.days(7), within=True),
    "gone>7d": naive.went(naive.days(7), within=False),
}
PLACED: dict[str, naive.Predicate] = {
    "holds:certificate": naive.of_entry(lambda e: e.kind == "certificate"),
    "encrypted:yes": naive.of_entry(lambda e: e.encrypted or e.kind == "sealed-key"),
    "member:tom": naive.of_entry(lambda e: "tom" in e.member),
    "path:/etc/nginx": naive.of_path(lambda p: p.startswith("/etc/nginx/")),
    "path:/etc/nginx/*": path_is("/etc/nginx/*"),
    "path:/etc/**/*.pem": path_is("/etc/**/*.pem"),
    "path:**/key.pem": path_is("**/key.pem"),
    "path:/opt/app_*/**": path_is("/opt/app_*/**"),
    "path:/etc/Nginx/d[1].pem": path_is("/etc/Nginx/d[1].pem"),
    "path=/opt/appX1/key.pem": path_is("/opt/appX1/key.pem"),
    "path:/srv/100%/x?.*": path_is("/srv/100%/x?.*"),
    "path:/etc/nginx/*/*": path_is("/etc/nginx/*/*"),
    "use:live": naive.of_state(lambda s: s.use == "live"),
    "use:retained": naive.of_state(lambda s: s.use == "retained"),
    "use:any": naive.of_state(lambda _: True),
    "role:server": naive.of_state(lambda s: s.role == "server"),
    "role:trust-store": naive.of_state(lambda s: s.role == "trust-store"),
    "status:locked": naive.of_state(lambda s: s.status == "locked"),
    "mode:0644": naive.of_state(lambda s: s.mode == 0o644),
    "readable-by:world": naive.of_state(world),
    "readable-by:group": naive.of_state(lambda s: not alone(s)),
    "package:none": naive.of_state(lambda s: not s.package),
    "host:WEB*": naive.of_host(lambda h: h.name.startswith("web")),
    "host:db_1": naive.of_host(lambda h: h.name == "DB_1"),
    "state:silent": naive.of_host(lambda h: h.state == "silent"),
    "last-seen>2d": _silent,
    "gap:/srv": naive.of_host(lambda h: any(g.startswith("/srv") for g in h.gaps)),
    "gap:none": naive.of_host(lambda h: not h.gaps),
    "label.env:prod": label("prod"),
    "label.env:none": label(None),
}


def _opposite(known: bool | None) -> bool | None:  # noqa: FBT001 - what a condition says
    return None if known is None else not known


def conditions(target: str) -> naive.Leaves:
    found = PLACED | EITHER
    if target != "keys":
        found = found | CERTIFICATE
    if target != "certificates":
        found = found | KEY
    if target in {"certificates", "keys"}:
        found = found | COUNTED
    if target == "certificates":
        found = found | FOUND
    return {is_(text): predicate for text, predicate in found.items()}


LEAVES = {target: conditions(target) for target in _ALL}


class Inventories(list[tuple[Inventory, Store]]):
    """Inventories with their stores; said in a word where a test fails."""

    def __repr__(self) -> str:
        return "inventories"


@pytest.fixture(scope="module")
def inventories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inventories]:
    made = [random_inventory(seed) for seed in SEEDS]
    stores = [write(one, tmp_path_factory.mktemp("small")) for one in made]
    yield Inventories(zip(made, stores, strict=True))
    for store in stores:
        store.close()


def answer(store: Store, target: str, node: Node, as_of: str) -> set[object]:
    """Return the identities that a query lists, through its text."""
    query = parse(render(Query(node, as_of)))
    found: set[object] = set()
    for sealed in (False, True) if target == "keys" else (False,):
        with store.read() as connection:
            asked = ask(connection, query, target, NOW, sealed=sealed)
            tables = asked.tables
            column = {
                "certificates": tables.certificate.c.get("sha256"),
                "keys": tables.key.c.key_id,
                "places": tables.place.c.place_no,
                "hosts": tables.host.c.host_no,
            }[target]
            assert column is not None
            rows = connection.execute(select(column).where(asked.condition)).scalars().all()
            counted = connection.execute(select(column).where(asked.counted)).scalars().all()
        assert sorted(counted) == sorted(rows)
        assert len(rows) == len(set(rows))
        found |= set(rows)
    return found


@st.composite
def asked(draw: st.DrawFn) -> tuple[int, str, Node, bool]:
    target = draw(st.sampled_from(_ALL))
    node = draw(nodes(st.sampled_from(list(LEAVES[target]))))
    return draw(st.sampled_from(list(SEEDS))), target, node, draw(st.booleans())


# The moment of the past, as a query writes it.
AS_OF = "10d"


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(asked(), st.booleans())
def test_a_query_lists_what_the_slow_way_lists(
    inventories: Inventories,
    case: tuple[int, str, Node, bool],
    few: bool,  # noqa: FBT001 - drawn
) -> None:
    seed, target, node, past = case
    made, store = inventories[seed]
    with pytest.MonkeyPatch.context() as patch:
        for module in (compiling, in_files):
            patch.setattr(module, "_FEW", 10_000 if few else 0)
        patch.setattr(compiling, "_EXPANSIONS", 16 if few else 2)
        found = answer(store, target, node, AS_OF if past else "")
    assert found == naive.listed(made, target, node, LEAVES[target], THEN if past else None)


@pytest.mark.parametrize("target", _ALL)
@pytest.mark.parametrize("past", [False, True])
def test_each_condition_alone_its_opposite_and_none_of_it(
    inventories: Inventories, target: str, *, past: bool
) -> None:
    (made, store), matched = inventories[0], set()
    for term in LEAVES[target]:
        for node in (term, Not(term)):
            found = answer(store, target, node, AS_OF if past else "")
            expected = naive.listed(made, target, node, LEAVES[target], THEN if past else None)
            assert found == expected, render(Query(node))
            if expected:
                matched.add(term)
    assert len(matched) > 0.8 * len(LEAVES[target])  # they are conditions that can hold
