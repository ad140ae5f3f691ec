"""What marks reach is the same downwards (queries), upwards (events) and the slow way."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fakes import naive_query as naive
from fakes.small_inventory import NOW, Inventory, random_inventory, write

from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.marks.appearing import marks_reaching, standing_marks
from keycensus_collector.marks.stored import set_mark
from keycensus_collector.query.parse import parse
from keycensus_collector.store.engine import Store

EVERYWHERE = "found:any"


def listed(store: Store, query: str) -> set[bytes]:
    wanted = parse(f"{query} {EVERYWHERE}")
    with store.read() as connection:
        page = list_certificates(connection, wanted, NOW, limit=1000)
    return {bytes.fromhex(item.sha256) for item in page.items}


def some_marks(made: Inventory, seed: int) -> list[tuple[str, bytes]]:
    rng = random.Random(seed)  # noqa: S311 - a fixed seed
    keys = [key.key_id for key in made.keys.values() if key.kind == "private-key"]
    things = [("certificate", c) for c in made.certificates] + [("key", key) for key in keys]
    return rng.sample(things, rng.randint(0, 2))


@pytest.mark.parametrize("seed", range(5))
def test_marks_and_under_reach_what_the_slow_way_finds(seed: int, tmp_path: Path) -> None:
    made = random_inventory(seed)
    marks = some_marks(made, seed)
    with write(made, tmp_path) as store:
        for kind, subject in marks:
            with store.write() as connection:
                set_mark(
                    connection,
                    kind=kind,
                    subject=subject,
                    word="distrusted",
                    reason="x",
                    actor="test",
                    now_ms=NOW,
                )
        expected = naive.marked(made, marks)
        assert listed(store, "marked:distrusted") == expected
        assert listed(store, "marked:any") == expected
        assert listed(store, "marked:none") == set(made.certificates) - expected
        assert listed(store, "not marked:distrusted") == set(made.certificates) - expected
        with store.read() as connection:
            standing = standing_marks(connection)
            reached = marks_reaching(connection, made.certificates, made.keys, standing)
        assert {sha256 for kind, sha256 in reached if kind == "certificate"} == expected
        marked_keys = {subject for kind, subject in marks if kind == "key"}
        assert {key for kind, key in reached if kind == "key"} == marked_keys
        for sha256, item in made.certificates.items():
            below = naive.below(made, {item.key_id})
            assert listed(store, f"under:{sha256.hex()}") == below
            assert listed(store, f"under:{item.key_id.hex()[:10]}") == below
