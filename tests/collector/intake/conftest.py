from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.agent_stream import Desk
from fakes.databases import new_store

from keycensus_collector.intake.model import Limits
from keycensus_collector.store.engine import Store


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[Callable[[Limits], Desk]]:
    """Make the test's desk with limits of its own."""
    stores: list[Store] = []

    def make(limits: Limits) -> Desk:
        stores.append(new_store(tmp_path))
        return Desk(stores[-1], limits)

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def desk(make_desk: Callable[[Limits], Desk]) -> Desk:
    return make_desk(Limits())
