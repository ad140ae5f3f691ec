"""Two real agents and a real collector: what is on the disks is in the inventory, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.inventory import one, places, version_rows
from fakes.sample_agent import SampleAgent

from keycensus_proto.v1 import inventory_pb2


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with Collector.make(tmp_path / "collector") as collector:
        yield collector


@pytest.fixture
def agent(tmp_path: Path, collector: Collector) -> SampleAgent:
    agent = SampleAgent(tmp_path / "one", "one")
    agent.enrol(collector)
    return agent


def test_a_bundle_on_two_hosts_is_one_manifest_and_crosses_the_wire_once(
    tmp_path: Path, collector: Collector, agent: SampleAgent
) -> None:
    leaves = [Leaf(f"ca{number}.example") for number in range(40)]
    bundle = b"".join(leaf.pem for leaf in leaves)
    other = SampleAgent(tmp_path / "two", "two")
    other.enrol(collector)
    for host in (agent, other):
        host.write("etc/ssl/bundle.pem", bundle, 0o644)
    first, second = agent.run_once(), other.run_once()
    assert "41 blobs" in first.stdout
    assert "0 blobs" in second.stdout
    database = collector.database
    assert one(database, "SELECT count(*) FROM place WHERE gone_ms IS NULL") == 2
    assert one(database, "SELECT count(*) FROM manifest") == 1
    assert one(database, "SELECT count(*) FROM manifest_entry") == 40
    assert one(database, "SELECT count(*) FROM blob WHERE kind = 2") == 40
    expected = {leaf.sha256.hex() for leaf in leaves}
    assert set(places(database, "one")["/etc/ssl/bundle.pem"].artifacts) == expected
    assert set(places(database, "two")["/etc/ssl/bundle.pem"].artifacts) == expected


def put_lineage(agent: SampleAgent, leaf: Leaf, number: int) -> None:
    """Write what certbot writes: a new archive file, then the live link turned to it."""
    agent.write(f"etc/letsencrypt/archive/a.example/cert{number}.pem", leaf.pem, 0o644)
    live = agent.root / "etc/letsencrypt/live/a.example"
    live.mkdir(parents=True, exist_ok=True)
    (live / "new").symlink_to(f"../../archive/a.example/cert{number}.pem")
    (live / "new").rename(live / "cert.pem")


def test_a_renewal_is_one_change_at_the_live_place_and_continues_the_line(
    collector: Collector, agent: SampleAgent
) -> None:
    old, new = Leaf("a.example", days=5), Leaf("a.example", days=90)
    put_lineage(agent, old, 1)
    agent.run_once()
    put_lineage(agent, new, 2)
    agent.run_once()
    live = "/etc/letsencrypt/live/a.example/cert.pem"
    versions = [row for path, _, row in version_rows(collector.database) if path == live]
    assert len(versions) == 2
    assert inventory_pb2.Place.FromString(versions[1]).target.endswith(b"/cert2.pem")
    now = places(collector.database)
    assert now[live].artifacts == {new.sha256.hex()}
    assert now["/etc/letsencrypt/archive/a.example/cert1.pem"].use == "retained"
    steps = "SELECT count(*) FROM line_step WHERE predecessor = ? AND successor = ?"
    wait_until_one(collector.database, steps, old.sha256, new.sha256)
    same_line = (
        "SELECT count(DISTINCT line_no) FROM certificate WHERE sha256 IN (?, ?)"
        " AND line_no IS NOT NULL"
    )
    assert one(collector.database, same_line, old.sha256, new.sha256) == 1


def wait_until_one(database: Path, query: str, *values: object) -> None:
    """Wait until the fold worker has done what the query counts."""
    import time

    deadline = time.monotonic() + 10
    while one(database, query, *values) != 1:
        assert time.monotonic() < deadline, f"still {one(database, query, *values)}: {query}"
        time.sleep(0.1)


def test_a_second_run_without_change_sends_no_batch_and_opens_no_file(
    collector: Collector, agent: SampleAgent
) -> None:
    for number in range(5):
        agent.write(f"srv/{number}.pem", Leaf(f"{number}.example").pem)
    agent.run_once()
    batches = one(collector.database, "SELECT last_sequence FROM session")
    again = agent.run_once()
    assert " 0 opened" in again.stdout
    assert "in 0 batches" in again.stdout
    assert one(collector.database, "SELECT last_sequence FROM session") == batches


def test_what_goes_from_the_disk_goes_from_the_inventory_and_stays_in_its_history(
    collector: Collector, agent: SampleAgent
) -> None:
    file = agent.write("srv/a.pem", Leaf("a.example").pem)
    agent.run_once()
    file.unlink()
    agent.run_once()
    assert places(collector.database) == {}
    assert [row for _, _, row in version_rows(collector.database)][-1] == b""


def test_a_lost_state_starts_over_and_removes_what_went_meanwhile(
    collector: Collector, agent: SampleAgent
) -> None:
    kept, lost = Leaf("kept.example"), Leaf("lost.example")
    agent.write("srv/kept.pem", kept.pem)
    file = agent.write("srv/lost.pem", lost.pem)
    agent.run_once()
    file.unlink()
    for path in (agent.state / "state").iterdir():
        path.unlink()
    agent.run_once()
    assert set(places(collector.database)) == {"/srv/kept.pem"}


def test_a_corrupt_state_is_told_and_healed(collector: Collector, agent: SampleAgent) -> None:
    agent.write("srv/a.pem", Leaf("a.example").pem)
    agent.run_once()
    (agent.state / "state/state.db").write_bytes(b"garbage" * 1000)
    done = agent.command("run", "--once")
    assert done.returncode == 0
    assert "damaged" in done.stderr
    assert set(places(collector.database)) == {"/srv/a.pem"}


def test_a_dry_run_shows_what_would_go_out_and_changes_nothing(
    collector: Collector, agent: SampleAgent
) -> None:
    leaf = Leaf("a.example")
    agent.write("srv/a.pem", leaf.pem + leaf.key_pem)
    done = agent.command("run", "--once", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert leaf.der.hex() in done.stdout
    assert "/srv/a.pem" in done.stdout
    assert one(collector.database, "SELECT count(*) FROM place") == 0
    agent.run_once()
    assert set(places(collector.database)) == {"/srv/a.pem"}


def test_leaving_ends_the_identity_and_keeps_the_last_inventory(
    collector: Collector, agent: SampleAgent
) -> None:
    agent.write("srv/a.pem", Leaf("a.example").pem)
    agent.run_once()
    done = agent.command("leave", "--reason", "moved")
    assert done.returncode == 0, done.stderr
    assert [host["state"] for host in collector.query("host", "list")] == ["retired"]
    refused = agent.command("run", "--once")
    assert refused.returncode == 3
    assert "enrol" in refused.stderr
