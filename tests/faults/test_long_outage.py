"""Thirty days without a collector, under churn, on a clock of the test's own (FAULTS.md 4).

What waits costs space for what changed, not for time; what does not fit is dropped, counted and told
(I5, I6); and when the collector is back, the inventory is the disk (I1).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.two_sides import Counter, Host, check_exact, check_history, host_counters

from keycensus_collector.store.engine import Store

DAYS = 30
# A sweep an hour in the full form: `make faults-long`.
SWEEPS_A_DAY = int(os.environ.get("KEYCENSUS_SWEEPS_A_DAY", "4"))
FILES = 400
CHANGES = 60


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    empty = tmp_path / "empty.db"
    with Store.create(f"sqlite:///{empty}"):
        pass
    counter = Counter(tmp_path, empty)
    yield counter
    counter.close()


class Outage:
    """A host that was reported once, and then changes for thirty days."""

    def __init__(self, directory: Path, counter: Counter, cap_bytes: int) -> None:
        self.host = Host(directory / "agent", cap_bytes=cap_bytes)
        self.cap_bytes = cap_bytes
        self._dice = random.Random(4)  # noqa: S311 - a test's dice
        for number in range(FILES):
            self.host.disk.write(self._path(number), b"leaf 0")
        self.host.sweep()
        assert self.host.talk(counter).ok
        self.states = 0
        self.sizes: list[int] = []

    @staticmethod
    def _path(number: int) -> bytes:
        return b"/srv/%d/%d.pem" % (number % 9, number)

    def pass_days(self) -> None:
        host = self.host
        before = host.findings.changed
        for _ in range(DAYS):
            for _ in range(SWEEPS_A_DAY):
                host.now_ms += 86_400_000 // SWEEPS_A_DAY
                host.look_at(self._churn())
                assert host.outbox.size_bytes() <= self.cap_bytes
            self.sizes.append(host.database.stat().st_size)
        self.states = host.findings.changed - before

    def _churn(self) -> set[bytes]:
        touched = set()
        for _ in range(CHANGES):
            path = self._path(self._dice.randrange(FILES))
            touched.add(path)
            if path in self.host.disk.files and self._dice.random() < 0.3:
                self.host.disk.remove(path)
            else:
                self.host.disk.write(path, b"leaf %d" % self._dice.randrange(40))
        return touched


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_thirty_days_without_a_collector_lose_only_states_between_and_count_them(
    tmp_path: Path, counter: Counter
) -> None:
    # Room for the last state of each row, and not for four.
    outage = Outage(tmp_path, counter, cap_bytes=FILES * 2 * 200)
    host = outage.host
    outage.pass_days()
    dropped = host.state.get_number("outbox_dropped")
    assert dropped > 0
    assert host.state.get_number("outbox_unlisted") == 0
    # As large after thirty days as after ten: it is the changed files that cost space.
    assert outage.sizes[-1] <= outage.sizes[DAYS // 3] * 1.1
    outcome = host.talk(counter)
    assert outcome.ok
    changes = [change for request in host.sent for change in request.batch.changes]
    assert outage.states == len(changes) + sum(change.skipped for change in changes) + dropped
    assert host_counters(counter)["outbox-dropped"] == dropped
    check_exact(counter, host)
    check_history(counter.desk, counter.peer.host_no, host.disk)
    host.stop()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_outbox_too_small_for_the_inventory_is_made_again_from_the_difference(
    tmp_path: Path, counter: Counter
) -> None:
    outage = Outage(tmp_path, counter, cap_bytes=20_000)
    host = outage.host
    outage.pass_days()
    unlisted = host.state.get_number("outbox_unlisted")
    assert unlisted > 0
    outcome = host.talk(counter)
    assert outcome.ok
    # By the outbox made again, not by the daily comparison, which finds nothing to do.
    assert outcome.listings == 0
    assert host_counters(counter)["outbox-unlisted"] == unlisted
    check_exact(counter, host)
    check_history(counter.desk, counter.peer.host_no, host.disk)
    host.stop()
