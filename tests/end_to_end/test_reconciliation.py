"""Both sides as processes: what is lost or comes from before heals by itself; nothing is in the way.

The files, the state and the database are real; tests/faults has the same against a model, a thousandfold.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.inventory import one, places, version_rows
from fakes.sample_agent import SampleAgent

LEAVES = [Leaf(f"{number}.example") for number in range(4)]


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with Collector.make(tmp_path / "collector") as collector:
        yield collector


@pytest.fixture
def agent(tmp_path: Path, collector: Collector) -> SampleAgent:
    agent = SampleAgent(tmp_path / "one", "one")
    agent.enrol(collector)
    return agent


def state_of(agent: SampleAgent) -> Path:
    return agent.state / "state"


def check(collector: Collector, agent: SampleAgent) -> None:
    """Hold the inventory against the files."""
    expected = {
        "/" + str(file.relative_to(agent.root)): leaf.sha256.hex()
        for file in agent.root.rglob("*.pem")
        for leaf in LEAVES
        if file.read_bytes() == leaf.pem
    }
    found = {path: set(place.artifacts) for path, place in places(collector.database).items()}
    assert found == {path: {sha256} for path, sha256 in expected.items()}


def write_some(agent: SampleAgent) -> None:
    for number in range(8):
        agent.write(f"kept/{number}.pem", LEAVES[number % 4].pem)


def lose(state: Path) -> None:
    shutil.rmtree(state)


def lose_log(state: Path) -> None:
    for log in state.glob("*.db-wal"):
        log.unlink()


def empty(state: Path) -> None:
    (state / "state.db").write_bytes(b"")


@pytest.mark.parametrize("fault", [lose, lose_log, empty])
def test_a_state_that_is_lost_heals_in_one_run(
    collector: Collector, agent: SampleAgent, fault: Callable[[Path], None]
) -> None:
    write_some(agent)
    agent.run_once()
    (agent.root / "kept/0.pem").unlink()
    agent.write("kept/9.pem", LEAVES[0].pem)
    fault(state_of(agent))
    agent.run_once()
    check(collector, agent)


def gone(collector: Collector) -> set[str]:
    return {path for path, _, row in version_rows(collector.database) if not row}


@pytest.mark.long
def test_states_and_databases_from_before_heal_and_lose_nothing(
    tmp_path: Path, collector: Collector, agent: SampleAgent
) -> None:
    write_some(agent)
    agent.run_once()
    shutil.copytree(state_of(agent), tmp_path / "old-state")
    collector.stop()
    shutil.copy(collector.database, tmp_path / "old.db")
    collector.start()
    agent.write("kept/new.pem", LEAVES[1].pem)
    agent.write("kept/short.pem", LEAVES[1].pem)
    agent.run_once()
    (agent.root / "kept/short.pem").unlink()

    def older_state() -> None:
        shutil.rmtree(state_of(agent))
        shutil.copytree(tmp_path / "old-state", state_of(agent))

    def older_database() -> None:
        collector.kill()
        for file in collector.state.glob("keycensus.db*"):
            file.unlink()
        shutil.copy(tmp_path / "old.db", collector.database)
        collector.start()

    for faults in ((older_state,), (older_database,), (older_database, older_state)):
        for fault in faults:
            fault()
        agent.run_once()
        check(collector, agent)
        assert gone(collector) <= {"/kept/short.pem"}


def test_a_state_damaged_where_no_structure_shows_it_is_put_aside(
    collector: Collector, agent: SampleAgent
) -> None:
    """The path inside a stored row: SQLite has no quarrel with it, and it would be reported."""
    write_some(agent)
    agent.run_once()
    database = state_of(agent) / "state.db"
    content = database.read_bytes()
    assert content.count(b"/kept/3.pem") > 1
    database.write_bytes(content.replace(b"/kept/3.pem", b"/kept/X.pem"))
    done = agent.run_once()
    assert "damaged" in done.stderr
    check(collector, agent)
    assert "/kept/X.pem" not in {path for path, _, _ in version_rows(collector.database)}


# --- items --------------------------------------------------------------------------------------


def long_certificate() -> x509.Certificate:
    """Make a certificate of 300 KB."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "long.example")])
    payload = b"\x04\x83" + (300_000).to_bytes(3, "big") + bytes(300_000)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=9))
        .add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), payload),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )


def test_a_certificate_over_the_cap_is_named_at_its_place_and_blocks_nothing(
    collector: Collector, agent: SampleAgent
) -> None:
    certificate = long_certificate()
    sha256 = certificate.fingerprint(hashes.SHA256()).hex()
    agent.write("srv/long.pem", certificate.public_bytes(Encoding.PEM) + LEAVES[0].pem)
    agent.write("srv/short.pem", LEAVES[1].pem)
    agent.run_once()
    found = {path: set(place.artifacts) for path, place in places(collector.database).items()}
    assert found == {
        "/srv/long.pem": {sha256, LEAVES[0].sha256.hex()},
        "/srv/short.pem": {LEAVES[1].sha256.hex()},
    }
    assert one(collector.database, "SELECT max(length(data)) FROM blob") < 100_000
    status = agent.command("status")
    assert "/srv/long.pem: certificate of 300" in status.stdout
    listed = json.loads(agent.command("status", "-o", "json").stdout)["too_long"]["listed"]
    assert [(item["path"], item["sha256"]) for item in listed] == [("/srv/long.pem", sha256)]


def test_a_file_of_more_entries_than_a_manifest_takes_is_one_place(
    collector: Collector, agent: SampleAgent
) -> None:
    agent.write("etc/bundle.pem", LEAVES[0].pem * 4096 + LEAVES[1].pem * 5)
    agent.run_once()
    found = places(collector.database)["/etc/bundle.pem"]
    assert found.artifacts == {LEAVES[0].sha256.hex(), LEAVES[1].sha256.hex()}
    assert one(collector.database, "SELECT max(part_count) FROM manifest") == 2
    assert one(collector.database, "SELECT sum(entry_count) FROM manifest") == 4101
    scanned = agent.command("scan", "--root", str(agent.root), "-o", "ndjson")
    (line, _) = (json.loads(text) for text in scanned.stdout.splitlines())
    assert len(line["entries"]) == 4101
