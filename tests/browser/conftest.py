"""A company's collector on real TLS, and a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.census import in_thread
from fakes.chromium import chromium
from fakes.served import Served
from fakes.showroom import Showroom
from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def showroom(tmp_path_factory: pytest.TempPathFactory) -> Showroom:
    room = Showroom.create(tmp_path_factory.mktemp("showroom"))
    in_thread(room.own)
    return room


@pytest.fixture(scope="session")
def served(showroom: Showroom, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(showroom.census, tmp_path_factory.mktemp("served"), "")
    yield served
    served.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """While it runs, no event loop can be begun in this thread: so not longer than for one module."""
    with chromium() as browser:
        yield browser
