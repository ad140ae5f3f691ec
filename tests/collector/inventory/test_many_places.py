"""Of what stands at very many places some are shown, live ones first, in the order in which all of them would be."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.small_inventory import random_inventory, write
from sqlalchemy import select

from keycensus_collector.inventory import detail, places
from keycensus_collector.inventory.results import Match
from keycensus_collector.store.schema import certificate

pytestmark = pytest.mark.usefixtures("each_database")
MOST = 2


def test_some_of_many_places_are_shown_and_how_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, cut = random_inventory(2), 0
    with write(made, tmp_path) as store, store.read() as connection:
        asked = {sha256: Match("certificate", sha256.hex(), "") for sha256 in made.certificates}
        all_of_them = {sha256: detail.where(connection, asked[sha256], 0) for sha256 in asked}
        for module in (detail, places):
            monkeypatch.setattr(module, "MOST_ORDERED", MOST)
        for sha256, whole in all_of_them.items():
            some = detail.where(connection, asked[sha256], 0)
            shown = detail.certificate_detail(connection, sha256, 0)
            assert shown is not None
            assert (shown.places, shown.places_total) == (some.places, some.total)
            counts = select(certificate.c.live_places + certificate.c.retained_places)
            folded = connection.execute(counts.where(certificate.c.sha256 == sha256)).scalar_one()
            assert some.total == whole.total == folded
            if folded <= MOST:
                assert some.places == whole.places
                continue
            assert some.places == [each for each in whole.places if each in some.places]
            for use in ("live", "retained"):
                there = sum(each.use == use for each in whole.places)
                assert sum(each.use == use for each in some.places) == min(there, MOST)
            cut += len(some.places) < len(whole.places)
    assert cut
