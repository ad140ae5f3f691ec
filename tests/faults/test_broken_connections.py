"""Connections that break, in every way that a proxy can break them, cost nothing but time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.collector import Collector
from faults.kit.strangers import break_off_handshakes


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with Collector.make(tmp_path / "collector") as collector:
        yield collector


def test_strangers_that_break_off_handshakes_do_not_end_the_collector(
    collector: Collector,
) -> None:
    for address in (collector.report, collector.enrol):
        assert break_off_handshakes(address, count=1000) > 900
        assert collector.is_running(), "the collector died of broken handshakes"
