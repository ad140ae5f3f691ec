"""Counts as of a moment are those of a walk over every place as it stood then."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.small_inventory import NOW, THEN, Inventory, random_inventory, write

from keycensus_collector.inventory.past import Counted, counted
from keycensus_collector.query.relations import tables_for

pytestmark = pytest.mark.usefixtures("each_database")


def walked(made: Inventory, kind: str, moment: int | None) -> dict[bytes, Counted]:
    """Count a name in a tree, and every other place, once."""
    found: dict[bytes, tuple[set[object], ...]] = {}
    for entry, state, place in made.placements(moment):
        if entry.kind == kind:
            sets = found.setdefault(entry.artifact, (set(), set(), set()))
            sets[state.use == "retained"].add((place.number, entry.name))
            sets[2].add(place.host.number)
    return {artifact: Counted(*(len(each) for each in sets)) for artifact, sets in found.items()}


def test_counts_are_those_of_the_places_that_stood_then(tmp_path: Path) -> None:
    made, seen = random_inventory(0), set()
    with write(made, tmp_path) as store, store.read() as connection:
        for moment in (None, THEN, NOW - 2 * 86_400_000):
            for kind, of in (("certificate", made.certificates), ("private-key", made.keys)):
                found = counted(connection, tables_for("certificates", moment), list(of), (kind,))
                assert found == walked(made, kind, moment), (moment, kind)
                seen |= set(found.values())
    assert len(seen) > 5
