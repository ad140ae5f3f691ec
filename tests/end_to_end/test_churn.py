"""Short forms of `make churn`: the inventory follows a disk that changes at random."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.churn import WATCHES, Bench, Footprint, overflow, running

pytestmark = pytest.mark.slow

# Loaded machines are slow; `make churn` tells how long it takes.
SECONDS = 45.0


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running(tmp_path_factory.mktemp("churn"), seed=7) as bench:
        yield bench


def change(bench: Bench, operations: int) -> None:
    for _ in range(operations):
        bench.churn.step()


def least(bench: Bench) -> tuple[int, int]:
    """Return the fewest threads and descriptors of three seconds: a link or parser may just end."""
    looks = []
    for _ in range(15):
        time.sleep(0.2)
        looks.append(Footprint.of(bench))
    return min(each.threads for each in looks), min(each.descriptors for each in looks)


def test_the_collector_equals_the_disk_after_random_changes(bench: Bench) -> None:
    swept = bench.status()["last_sweep"]["ended_ms"]
    change(bench, 200)
    bench.settle(SECONDS)
    assert len(bench.churn.truth()) > 5
    assert bench.status()["last_sweep"]["ended_ms"] == swept


def test_the_same_when_the_kernel_lost_events(bench: Bench) -> None:
    overflow(bench, 40)
    bench.settle(SECONDS)


@pytest.mark.long
def test_nothing_grows_that_is_not_given_back(bench: Bench) -> None:
    change(bench, 20)
    bench.settle(SECONDS)
    before = least(bench)
    for _ in range(2):
        change(bench, 20)
        bench.settle(SECONDS)
    assert least(bench) == before


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a user namespace")
def test_with_too_few_watches_the_next_sweep_tells_the_rest(tmp_path: Path) -> None:
    with running(tmp_path, seed=11, interval=8, limited=True) as bench:
        for number in range(WATCHES):
            # More directories with findings than there are watches.
            bench.agent.write(f"srv/tree/{number}/a.pem", bench.churn.leaves[0].pem)
        bench.settle(SECONDS)
        change(bench, 60)
        bench.settle(SECONDS)
        watches = bench.status()["watches"]
        assert 0 < watches["placed"] <= WATCHES
        assert watches["refused_reasons"] == {"ENOSPC": watches["refused"]}
