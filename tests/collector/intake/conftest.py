from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.agent_stream import Desk

from keycensus_collector.intake.model import Limits
from keycensus_collector.store.engine import Store


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with all tables: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("empty") / "collector.db"
    with Store.create(f"sqlite:///{path}"):
        pass
    return path


@pytest.fixture
def make_desk(empty_database: Path, tmp_path: Path) -> Iterator[Callable[[Limits], Desk]]:
    """Make the test's desk with limits of its own."""
    stores: list[Store] = []

    def make(limits: Limits) -> Desk:
        path = tmp_path / "collector.db"
        shutil.copy(empty_database, path)
        stores.append(Store.open(f"sqlite:///{path}"))
        return Desk(stores[-1], limits)

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def desk(make_desk: Callable[[Limits], Desk]) -> Desk:
    return make_desk(Limits())
