"""What manifests name, where a few of them name a lot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fakes.databases import new_store
from sqlalchemy import insert

from keycensus_collector.fold import contents as contents_module
from keycensus_collector.fold.contents import Contents, load_contents
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import manifest, manifest_entry, manifest_part

pytestmark = pytest.mark.usefixtures("each_database_in_full")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as store:
        yield store


def hash_of(name: str) -> bytes:
    return name.encode().rjust(32, b"\0")


def add(store: Store, name: str, *, entries: Sequence[str] = (), parts: Sequence[str] = ()) -> None:
    with store.write() as connection:
        connection.execute(
            insert(manifest).values(
                hash=hash_of(name), format="pem", entry_count=len(entries), part_count=len(parts)
            )
        )
        for position, entry in enumerate(entries):
            connection.execute(
                insert(manifest_entry).values(
                    manifest=hash_of(name),
                    position=position,
                    kind="certificate",
                    artifact=hash_of(entry),
                    member="",
                    algorithm="",
                    bits=0,
                    curve="",
                    encrypted=False,
                    size=1,
                    reason="",
                    location="",
                )
            )
        for position, part in enumerate(parts):
            connection.execute(
                insert(manifest_part).values(
                    manifest=hash_of(name), position=position, part=hash_of(part)
                )
            )


def load(store: Store, *names: str) -> Contents:
    with store.read() as connection:
        return load_contents(connection, map(hash_of, names))


def test_parts_are_read_in_the_order_of_the_file(store: Store) -> None:
    add(store, "z", entries=["1", "2"])
    add(store, "a", entries=["3", "1"])
    add(store, "whole", parts=["z", "a"])
    assert load(store, "whole").of(hash_of("whole")) == list(map(hash_of, "123"))


def test_a_part_that_is_named_again_and_again_takes_room_once(store: Store) -> None:
    add(store, "part", entries=["1", "2", "3"])
    wholes = [f"whole{number}" for number in range(4)]
    for name in wholes:
        add(store, name, parts=["part"] * 500)
    contents = load(store, *wholes)
    assert [len(parts) for parts in contents.parts.values()] == [2] * 4
    assert sum(map(len, contents.listed.values())) == 3
    assert contents.of(*map(hash_of, wholes)) == list(map(hash_of, "123"))


def test_what_one_place_leads_to_has_a_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents_module, "PLACE_ENTRIES", 5)
    for part in "abc":
        add(store, part, entries=[part + "1", part + "2"])
    add(store, "whole", parts=["a", "b", "c"])
    add(store, "short", parts=["c"])
    assert len(load(store, "whole").certificates) == 4
    assert len(load(store, "whole", "short").of(hash_of("short"))) == 2
