"""A running agent hears of every kind of change, and the collector has the right of it soon after."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.inventory import InventoryPlace, one, places
from fakes.sample_agent import SampleAgent, kill_group

from keycensus_agent.reader.schedule import NOISE_REST_SECONDS

# On a machine that does much else besides; `benchmarks` measures how long it takes.
SECONDS = 60.0
LEAVES = [Leaf(f"{number}.example") for number in range(12)]


class Watched:
    """An agent whose timer never comes, so that all it learns it was told by the kernel."""

    def __init__(self, directory: Path, collector: Collector) -> None:
        self.collector = collector
        self.agent = SampleAgent(directory, "watched")
        self.root = self.agent.root
        text = self.agent.config_file.read_text()
        self.agent.config_file.write_text(
            text.replace("interval_seconds = 1\ncpu_share = 1.0", "interval_seconds = 86400")
        )
        self.agent.enrol(collector)
        self.agent.write("srv/first.pem", LEAVES[0].pem)
        (self.root / "srv/quiet").mkdir()
        self.agent.write("srv/pod/..1/tls.pem", LEAVES[1].pem)
        (self.root / "srv/pod/..data").symlink_to("..1")
        (self.root / "srv/pod/tls.pem").symlink_to("..data/tls.pem")
        self.process = self.agent.start("run")

    def status(self) -> dict[str, Any]:
        file = self.agent.state / "status.json"
        return json.loads(file.read_bytes()) if file.exists() else {}

    def places(self) -> dict[str, InventoryPlace]:
        return places(self.collector.database)

    def until(self, holds: Callable[[dict[str, InventoryPlace]], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not holds(self.places()):
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, (sorted(self.places()), self.status(), self.log())
            time.sleep(0.05)

    def log(self) -> str:
        return (self.agent.directory / "agent.log").read_text()[-4000:]

    def until_it_holds(self, path: str, leaf: Leaf) -> None:
        expected = {leaf.sha256.hex()}
        self.until(lambda places: path in places and places[path].artifacts == expected)

    def until_it_is_gone(self, path: str) -> None:
        self.until(lambda places: path not in places)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    work = tmp_path_factory.mktemp("watching")
    with Collector.make(work / "collector") as collector:
        watched = Watched(work / "agent", collector)
        try:
            watched.until(lambda _: bool(watched.status().get("last_sweep")))
            watched.until_it_holds("/srv/first.pem", LEAVES[0])
            yield watched
        finally:
            kill_group(watched.process)


@pytest.fixture(autouse=True)
def no_sweep(watched: Watched) -> Iterator[None]:
    """Whatever was learned was not learned by a sweep."""
    before = watched.status()["last_sweep"]["ended_ms"]
    yield
    assert watched.status()["last_sweep"]["ended_ms"] == before


def test_a_file_that_is_created_rewritten_and_deleted(watched: Watched) -> None:
    file = watched.agent.write("srv/file.pem", LEAVES[2].pem)
    watched.until_it_holds("/srv/file.pem", LEAVES[2])
    file.write_bytes(LEAVES[3].pem)
    watched.until_it_holds("/srv/file.pem", LEAVES[3])
    file.unlink()
    watched.until_it_is_gone("/srv/file.pem")


def test_a_file_in_a_known_place_without_findings(watched: Watched) -> None:
    watched.agent.write("srv/quiet/file.pem", LEAVES[2].pem)
    watched.until_it_holds("/srv/quiet/file.pem", LEAVES[2])


def test_a_file_that_is_renamed_over_another(watched: Watched) -> None:
    watched.agent.write("srv/over.pem", LEAVES[2].pem)
    watched.until_it_holds("/srv/over.pem", LEAVES[2])
    watched.agent.write("unwatched/new.pem", LEAVES[4].pem).rename(watched.root / "srv/over.pem")
    watched.until_it_holds("/srv/over.pem", LEAVES[4])


def test_a_file_whose_mode_changes(watched: Watched) -> None:
    file = watched.agent.write("srv/mode.pem", LEAVES[5].pem)
    watched.until_it_holds("/srv/mode.pem", LEAVES[5])
    file.chmod(0o644)
    watched.until(lambda places: places["/srv/mode.pem"].mode == 0o644)


@pytest.mark.long
def test_a_directory_that_is_moved_in_and_out_with_what_is_in_it(watched: Watched) -> None:
    watched.agent.write("elsewhere/in/deep/file.pem", LEAVES[6].pem)
    (watched.root / "elsewhere/in").rename(watched.root / "srv/in")
    watched.until_it_holds("/srv/in/deep/file.pem", LEAVES[6])
    # What is written there later is heard, too, under its new name only.
    (watched.root / "srv/in").rename(watched.root / "srv/in2")
    watched.until_it_is_gone("/srv/in/deep/file.pem")
    watched.agent.write("srv/in2/deep/other.pem", LEAVES[7].pem)
    watched.until_it_holds("/srv/in2/deep/other.pem", LEAVES[7])
    (watched.root / "srv/in2").rename(watched.root / "elsewhere/out")
    watched.until(lambda places: not any(path.startswith("/srv/in") for path in places))


def test_directories_made_with_a_file_in_the_same_moment(watched: Watched) -> None:
    for number in range(10):
        watched.agent.write(f"srv/made/{number}/a/b/c/file.pem", LEAVES[number].pem)
    for number in range(10):
        watched.until_it_holds(f"/srv/made/{number}/a/b/c/file.pem", LEAVES[number])


def test_a_link_that_is_turned(watched: Watched) -> None:
    for number in (8, 9):
        watched.agent.write(f"srv/archive/cert{number}.pem", LEAVES[number].pem)
    live = watched.root / "srv/live"
    live.mkdir()
    (live / "cert.pem").symlink_to("../archive/cert8.pem")
    watched.until_it_holds("/srv/live/cert.pem", LEAVES[8])
    turned = time.monotonic()
    (live / "new").symlink_to("../archive/cert9.pem")
    (live / "new").rename(live / "cert.pem")
    watched.until_it_holds("/srv/live/cert.pem", LEAVES[9])
    # No file of the directory changed; it is news all the same, and not that of a restless directory.
    assert time.monotonic() - turned < NOISE_REST_SECONDS


def test_a_swap_of_kubernetes_data(watched: Watched) -> None:
    watched.until_it_holds("/srv/pod/tls.pem", LEAVES[1])
    pod = watched.root / "srv/pod"
    watched.agent.write("srv/pod/..2/tls.pem", LEAVES[10].pem)
    (pod / "..data_tmp").symlink_to("..2")
    (pod / "..data_tmp").rename(pod / "..data")
    (pod / "..1/tls.pem").unlink()
    (pod / "..1").rmdir()
    watched.until_it_holds("/srv/pod/tls.pem", LEAVES[10])
    watched.until_it_is_gone("/srv/pod/..1/tls.pem")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_a_file_system_that_is_mounted_and_unmounted(watched: Watched) -> None:
    point = watched.root / "srv/mounted"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "here", point], check=True)
    try:
        watched.agent.write("srv/mounted/deep/file.pem", LEAVES[11].pem)
        watched.until_it_holds("/srv/mounted/deep/file.pem", LEAVES[11])
    finally:
        subprocess.run(["umount", point], check=True)

    unmounted = "SELECT count(*) FROM gap WHERE reason = 'unmounted' AND to_ms IS NULL"
    watched.until(lambda _: one(watched.collector.database, unmounted) == 1)
    # Nobody knows what is on it now: the place stays as it was last known.
    assert "/srv/mounted/deep/file.pem" in watched.places()
