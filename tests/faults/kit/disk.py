"""The files of a real agent's host, changed at random, and remembered for the oracle."""

from __future__ import annotations

import random

from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.sample_agent import SampleAgent
from faults.kit.oracle import disk_is_inventory

LEAVES = [Leaf(f"{number}.example") for number in range(12)]


class Disk:
    """The files of one host, and every content that was ever under a path."""

    def __init__(self, agent: SampleAgent, seed: int) -> None:
        self._agent = agent
        self._random = random.Random(seed)  # noqa: S311 - a test's dice
        self.now: dict[str, str] = {}
        self.ever: dict[str, set[str]] = {}

    def is_inventory_of(self, collector: Collector) -> None:
        """Hold the inventory of this host against the disk; AssertionError if they differ."""
        disk_is_inventory(collector.database, self.expected(), self._agent.name)

    def expected(self) -> dict[str, set[str]]:
        """Return what the inventory must hold: the digest of the one certificate by path."""
        return {path: {digest} for path, digest in self.now.items()}

    def change(self, count: int = 4) -> None:
        """Write, replace or remove some files."""
        for _ in range(count):
            name = f"/srv/{self._random.randrange(30)}.pem"
            if name in self.now and self._random.random() < 0.3:
                (self._agent.root / name[1:]).unlink()
                del self.now[name]
                continue
            leaf = self._random.choice(LEAVES)
            self._agent.write(name[1:], leaf.pem)
            self.now[name] = leaf.sha256.hex()
            self.ever.setdefault(name, set()).add(leaf.sha256.hex())
