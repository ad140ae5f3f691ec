from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keycensus_collector.authority import local
from keycensus_collector.authority.local import LocalAuthority
from keycensus_collector.clock import FixedClock
from keycensus_collector.store.engine import Store

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(int(NOW.timestamp() * 1000))


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def authority() -> LocalAuthority:
    return local.create_own("test", NOW)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(f"sqlite:///{tmp_path / 'db'}") as store:
        yield store
