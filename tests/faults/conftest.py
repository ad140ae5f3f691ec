"""What the fault tests stand on: one collector a file, and an agent of its own for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.collector import Collector
from fakes.sample_agent import SampleAgent
from faults.kit.preload import Preload

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Give a running collector to the tests of one file; whoever stops it starts it again."""
    with Collector.make(tmp_path_factory.mktemp("shared") / "collector") as collector:
        yield collector


@pytest.fixture
def agent(tmp_path: Path, collector: Collector) -> SampleAgent:
    """Give an agent under a host name of its own, enrolled at the shared collector."""
    agent = SampleAgent(tmp_path / "one", f"host{next(_numbers)}")
    agent.enrol(collector)
    return agent


@pytest.fixture
def preload(tmp_path: Path) -> Preload:
    """Give the preloaded library, compiled, doing nothing yet."""
    return Preload.build(tmp_path)
