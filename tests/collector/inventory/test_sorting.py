"""Every order of every list: each row once and in order, forwards and backwards, whatever comes meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes.databases import DATABASES
from fakes.small_inventory import DAY, NOW, put, random_inventory, write
from sqlalchemy import Connection, Table, insert, select

from keycensus_collector.api.queries import READERS
from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.sorting import SORTED_CHARACTERS, SORTS
from keycensus_collector.query import compile as compiling
from keycensus_collector.query.parse import parse
from keycensus_collector.store import schema
from keycensus_collector.store.tables import ownership, revocation

ALL = [
    (list_, sign + name) for list_, sorts in SORTS.items() for name in sorts for sign in ("", "-")
]
EVERYWHERE = {
    "certificates": "use:any role:any",
    "keys": "use:any role:any",
    "places": "",
    "hosts": "",
    "gaps": "",
}
WORST_FIRST: tuple[str, ...] = (
    "not-reloaded",
    "served-but-not-on-disk",
    "served-another",
    "served",
    "",
)
# What of an item is in order; None: what no item shows whole.
SHOWN: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("certificates", "expiry"): lambda item: item.not_after,
    ("certificates", "importance"): lambda item: (-item.importance, item.not_after),
    ("certificates", "algorithm"): lambda item: (item.algorithm, item.bits, item.curve),
    ("keys", "algorithm"): lambda item: (item.algorithm, item.bits, item.curve),
    ("places", "place"): lambda item: (int(item.host_id), item.path),
    ("places", "host"): lambda item: (item.host, item.path),
    ("gaps", "place"): lambda item: (int(item.host_id), item.prefix),
    ("gaps", "host"): lambda item: (item.host, item.prefix),
    ("places", "status"): lambda item: (item.status, item.reason),
    ("places", "role"): lambda item: (item.role, item.use),
    ("certificates", "owners"): lambda item: item.owners[0],
    ("keys", "owners"): lambda item: item.owners[0],
    ("certificates", "revoked"): lambda item: ("yes", "unknown", "no").index(item.revoked),
    ("certificates", "verdict"): lambda item: WORST_FIRST.index(item.verdict),
}
ROWS: dict[str, tuple[Table, str]] = {
    "certificates": (schema.certificate, "sha256"),
    "keys": (schema.public_key, "key_id"),
    "places": (schema.place, "path_hash"),
    "hosts": (schema.host, "host_id"),
    "gaps": (schema.gap, "key"),
}


def identity(list_: str, item: Any) -> object:  # noqa: ANN401 - of any list
    if list_ == "places":
        return item.host_id, item.path
    if list_ == "gaps":
        return item.host_id, item.prefix
    return item.sha256 if list_ == "certificates" else item.id


def shown(list_: str, sort: str) -> Callable[[Any], Any]:
    name = sort.removeprefix("-")
    return SHOWN.get((list_, name), lambda item: getattr(item, name))


def one_comes(connection: Connection, list_: str, chance: random.Random) -> None:
    """Add a row like one that is there: equal to it in every order."""
    table, key = ROWS[list_]
    rows = connection.execute(select(table)).mappings().all()
    row = dict(chance.choice(rows))
    for column in table.primary_key:
        row[column.name] = chance.randrange(1_000, 10**9)
    row[key] = chance.randbytes(32)
    if list_ == "places":
        row["path"] = f"{row['path']}-{chance.random()}"
    if list_ == "gaps":
        row["prefix"] = f"{row['prefix']}-{chance.random()}"
    if list_ == "hosts":
        row[key] = str(chance.randrange(1000, 10**9))
    connection.execute(insert(table).values(row))


def tell(connection: Connection, chance: random.Random) -> None:
    """Add what lists show besides: owners, some of them in the past, revocation, and what listeners present."""
    for number, name in enumerate(("web", "Data", "rest"), 1):
        put(connection, ownership.team, team_no=number, name=name)
    put(connection, ownership.owner_setting, name="fallback", value="3")
    put(connection, ownership.owner_setting, name="trusted-host-labels", value="env")
    put(connection, revocation.revocation_series, series_no=1)
    put(connection, revocation.list_in_force, series_no=1, next_update_ms=NOW + 1, from_ms=0)
    hashes = [(1, hash_) for hash_ in connection.scalars(select(schema.certificate.c.sha256))]
    hashes += [(2, hash_) for hash_ in connection.scalars(select(schema.public_key.c.key_id))]
    for kind, artifact in hashes:
        for team_no in chance.sample((1, 2), chance.randint(0, 2)):
            owns, to_ms = chance.random() < 0.8, chance.choice((None, None, NOW - DAY))
            whose = {"team_no": team_no, "owns": owns, "to_ms": to_ms}
            put(connection, ownership.artifact_owner, kind=kind, artifact=artifact, **whose)
        status = chance.choice(("revoked", "good", ""))
        if kind == 1 and status:
            told = {"certificate": artifact, "status": status, "series_no": 1}
            put(connection, revocation.certificate_revocation, **told)
    for number, place in enumerate(connection.execute(select(schema.place)).all(), 1):
        said = {"verdict": chance.choice(WORST_FIRST), "host_no": place.host_no, "usage_no": number}
        manifest = chance.choice((b"", place.manifest))
        put(connection, schema.usage, manifest=manifest, handshakes="[]", **said)
        where = {"usage_no": number, "path_hash": place.path_hash}
        put(connection, schema.usage_place, **where)


def walk(
    connection: Connection, list_: str, sort: str, between: Callable[[], object] = bool
) -> list[Any]:
    query, items, cursor = parse(EVERYWHERE[list_]), [], ""
    limit = 2 if list_ in {"hosts", "gaps"} else 4
    while True:
        page = READERS[list_](connection, query, NOW, limit=limit, cursor=cursor, sort=sort)
        items += page.items  # type: ignore[attr-defined]
        if page.next is None:
            return items
        cursor = page.next
        assert len(cursor) < 4_000
        between()
        between = bool


@pytest.mark.usefixtures("each_database")
def test_every_order_shows_each_row_once_and_in_order(tmp_path: Path) -> None:
    in_bytes = DATABASES.product == "sqlite"  # elsewhere texts have an order of their own
    with write(random_inventory(3), tmp_path) as store, store.write() as connection:
        tell(connection, random.Random(3))  # noqa: S311 - a fixed seed
        there = {
            list_: {identity(list_, item) for item in walk(connection, list_, "")} for list_ in ROWS
        }
        for list_, sort in ALL if in_bytes else ALL[1::2]:
            chance = random.Random(sort)  # noqa: S311 - a fixed seed
            savepoint = connection.begin_nested()
            items = walk(connection, list_, sort, partial(one_comes, connection, list_, chance))
            savepoint.rollback()
            names = [identity(list_, item) for item in items]
            assert len(names) == len(set(names)), (list_, sort)
            assert there[list_] <= set(names), (list_, sort)
            values = [shown(list_, sort)(item) for item in items]
            if sort in {"owners", "revoked", "verdict"}:
                assert len(set(values)) > 1, (list_, sort)
            known = [value for value in values if value is not None and None not in _all(value)]
            if in_bytes or not any(isinstance(value, str) for value in known):
                assert known == sorted(known, reverse=sort.startswith("-")), (list_, sort)
            if sort.removeprefix("-") != "importance":
                assert values == [*known, *[None] * (len(values) - len(known))], (list_, sort)


def _all(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def test_more_than_are_counted_are_sorted_where_an_index_is_and_refused_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with write(random_inventory(3), tmp_path) as store, store.read() as connection:
        indexed = [pair for pair in ALL if SORTS[pair[0]][pair[1].removeprefix("-")].has_index]
        soon = {pair: walk(connection, *pair) for pair in indexed}
        monkeypatch.setattr(compiling, "COUNTED", 1)
        monkeypatch.setattr(compiling, "COUNTED_SOUGHT", 1)
        for list_, sort in ALL:
            if (list_, sort) in indexed:
                assert walk(connection, list_, sort) == soon[list_, sort], (list_, sort)
                continue
            with pytest.raises(UsageError, match=r"more than 1 .* are too many to sort by"):
                READERS[list_](connection, parse(EVERYWHERE[list_]), NOW, sort=sort)


def test_a_past_day_is_sorted_by_the_owners_and_the_revocation_of_that_day(tmp_path: Path) -> None:
    with write(random_inventory(3), tmp_path) as store, store.write() as connection:
        tell(connection, random.Random(3))  # noqa: S311 - a fixed seed
        past, moved = parse("use:any role:any as-of:8d"), []
        for list_, sort in (
            ("certificates", "owners"),
            ("keys", "owners"),
            ("certificates", "revoked"),
        ):
            then = READERS[list_](connection, past, NOW, sort=sort).items  # type: ignore[attr-defined]
            values = [shown(list_, sort)(item) for item in then]
            assert values == sorted(values), (list_, sort)
            now = {identity(list_, item): item for item in walk(connection, list_, sort)}
            moved += [item for item in then if item.owners != now[identity(list_, item)].owners]
    assert moved


def test_what_can_t_be_sorted_says_what_can(tmp_path: Path) -> None:
    with write(random_inventory(3), tmp_path) as store, store.read() as connection:
        for list_, sorts in SORTS.items():
            with pytest.raises(UsageError, match=f"by 'colour', but by {', '.join(sorts)};"):
                walk(connection, list_, "-colour")
        past = parse("as-of:1d")
        for list_, name in (("certificates", "hosts"), ("keys", "live_places"), ("hosts", "gaps")):
            with pytest.raises(UsageError, match=f"{name} is known of today alone"):
                READERS[list_](connection, past, NOW, sort=name)
        page = READERS["hosts"](connection, parse(""), NOW, limit=1, sort="state")
        for cursor, sort in ((page.next, "-state"), ("WyJuYW1lIiwgMSwgMV0", "name")):
            with pytest.raises(UsageError, match="start without one"):
                READERS["hosts"](connection, parse(""), NOW, cursor=cursor, sort=sort)


def test_places_with_very_long_paths_are_walked(tmp_path: Path) -> None:
    with write(random_inventory(3), tmp_path) as store, store.write() as connection:
        row = dict(connection.execute(select(schema.place)).mappings().first() or {})
        for number in range(4):
            long = "/" + "ü" * 60_000 + str(number)
            fresh = {
                "place_no": 1_000 + number,
                "path": long,
                "path_hash": bytes([number] * 32),
                "gone_ms": None,
            }
            connection.execute(insert(schema.place).values(row | fresh))
        items = walk(connection, "places", "")
    assert sum(len(item.path) > SORTED_CHARACTERS for item in items) == 4
