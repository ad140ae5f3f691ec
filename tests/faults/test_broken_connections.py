"""Connections that break, in every way that a proxy can break them, cost nothing but time."""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fakes.collector import Collector
from fakes.inventory import one, places
from fakes.sample_agent import SampleAgent, kill_group
from faults.kit.chaos_proxy import PASS, ChaosProxy, Way
from faults.kit.disk import Disk
from faults.kit.namespaces import Wire, cable
from faults.kit.oracle import (
    SEQUENCE_OF,
    Footprint,
    acknowledged_sequence,
    family,
    rows_of,
    within,
)
from faults.kit.strangers import break_off_handshakes


@pytest.fixture
def proxy(collector: Collector, agent: SampleAgent) -> Iterator[ChaosProxy]:
    with ChaosProxy(collector.report) as proxy:
        agent.report_to(proxy.address)
        yield proxy


DUPLICATES_OF = (
    "SELECT sum(session.duplicates) FROM session JOIN agent USING (agent_no) JOIN host USING (host_no)"
    " WHERE host.name = ?"
)
PLACES_OF = "SELECT count(*) FROM place JOIN host USING (host_no) WHERE host.name = ?"


def invents_nothing(collector: Collector, agent: SampleAgent, disk: Disk) -> None:
    assert set(places(collector.database, agent.name)) <= set(disk.ever)


def test_strangers_that_break_off_handshakes_do_not_end_the_collector(
    collector: Collector,
) -> None:
    for address in (collector.report, collector.enrol):
        assert break_off_handshakes(address, count=1000) > 900
        assert collector.is_running(), "the collector died of broken handshakes"


def test_a_connection_that_is_reset_after_some_bytes_loses_and_invents_nothing(
    collector: Collector, agent: SampleAgent, proxy: ChaosProxy
) -> None:
    disk = Disk(agent, 1)
    disk.change(40)
    for direction, cut_after in (("up", 200), ("up", 9_000), ("down", 3_000), ("down", 4_500)):
        setattr(proxy, direction, Way(cut_after=cut_after))
        done = agent.command("run", "--once")
        assert "Traceback" not in done.stdout + done.stderr
        invents_nothing(collector, agent, disk)
        proxy.up = proxy.down = PASS
        disk.change(4)
    agent.run_once()
    disk.is_inventory_of(collector)


def test_a_flipped_byte_ends_the_connection_and_nothing_of_it_is_stored(
    collector: Collector, agent: SampleAgent, proxy: ChaosProxy
) -> None:
    disk = Disk(agent, 8)
    disk.change(40)
    for direction, flip_at in (("up", 60), ("up", 1_500), ("up", 4_000), ("down", 300)):
        setattr(proxy, direction, Way(flip_at=flip_at))
        done = agent.command("run", "--once")
        assert done.returncode == 3, done.stdout
        assert "Traceback" not in done.stdout + done.stderr
        assert one(collector.database, PLACES_OF, agent.name) == 0
        proxy.up = proxy.down = PASS
    agent.run_once()
    disk.is_inventory_of(collector)


def test_acks_that_are_lost_on_the_way_are_told_again_and_nothing_is_stored_twice(
    collector: Collector, agent: SampleAgent, proxy: ChaosProxy
) -> None:
    disk = Disk(agent, 6)
    disk.change(20)
    # Every answer is late, so the ack of a batch that is seen to be committed is still on the way.
    proxy.down = Way(delay_seconds=0.4)
    process = agent.start("run", "--once")
    within(60, lambda: one(collector.database, PLACES_OF, agent.name) > 0, "a commit")
    proxy.down = Way(swallow=True)
    time.sleep(0.5)
    proxy.reset_all()
    assert process.wait(60) == 3
    proxy.down = PASS
    assert one(collector.database, SEQUENCE_OF, agent.name) > acknowledged_sequence(agent)
    before = rows_of(collector.database, agent.name)
    agent.run_once()
    # The hello's answer held the ack, so the batch was not even sent again.
    assert one(collector.database, DUPLICATES_OF, agent.name) == 0
    assert rows_of(collector.database, agent.name) == before
    disk.is_inventory_of(collector)


def revocation_lists(count: int) -> list[bytes]:
    """Return so many different lists of almost 1 MiB each; only their signatures differ."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Slow CA")])
    revoked = [
        x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
        for number in range(1 << 150, (1 << 150) + 20_000)
    ]
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=name,
        last_update=now,
        next_update=now + dt.timedelta(days=7),
        revoked_certificates=revoked,
    )
    der = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    return [der[:-4] + number.to_bytes(4, "big") for number in range(count)]


@pytest.mark.long
def test_a_slow_line_fills_no_memory_and_everything_arrives_in_the_end(
    collector: Collector, agent: SampleAgent, proxy: ChaosProxy
) -> None:
    """32 KiB/s for 24 MiB: what does not go out stays on the agent's disk."""
    for number, der in enumerate(revocation_lists(30)):
        agent.write(f"srv/{number}.crl", der)
    proxy.up = Way(bytes_per_second=32 * 1024)
    process = agent.start("run", "--once")
    try:
        # Before anything but a greeting was said: what is read ahead is not in it yet.
        within(120, lambda: proxy.counted.up > 0, "the link connects")
        before = Footprint.of(*family(process.pid))
        within(120, lambda: proxy.counted.up > 100 * 1024, "the first list is under way")
        time.sleep(4)
        assert process.poll() is None
        after = Footprint.of(*family(process.pid))
        assert after.memory_bytes - before.memory_bytes < 12 * 1024 * 1024
        proxy.up = PASS
        assert process.wait(120) == 0
    finally:
        kill_group(process)
    assert one(collector.database, PLACES_OF, agent.name) == 30


@pytest.mark.long
def test_a_partition_without_a_reset_is_noticed_and_healed(tmp_path: Path) -> None:
    """The cable is pulled in mid-stream: nobody says so, and the agent finds out."""
    with cable() as (near, far, wire):
        listen = [f"--listen-{port}={far.address}:0" for port in ("enrol", "report", "web")]
        collector = Collector.make(tmp_path / "collector", *listen, "--name", far.address)
        collector.before = far.prefix
        with collector:
            agent = SampleAgent(tmp_path / "one", "one")
            agent.interpreter = [*near.prefix, sys.executable]
            agent.enrol(collector)
            disk = Disk(agent, 5)
            assert was_noticed(collector, agent, disk, wire)
            agent.run_once()
            disk.is_inventory_of(collector)


def was_noticed(collector: Collector, agent: SampleAgent, disk: Disk, wire: Wire) -> bool:
    """Pull the cable while a stream is open; whether the agent gave up by itself.

    A stream is short: if it was over before the cable was out, try again.
    """
    for _ in range(6):
        disk.change(20)
        opened = len(collector.events("stream.opened"))
        process = agent.start("run", "--once")
        try:
            while len(collector.events("stream.opened")) == opened:
                assert process.poll() is None
                time.sleep(0.002)
            wire.pull()
            started = time.monotonic()
            # Keepalive takes 80 s at most, an answer that does not come 60 s.
            status = process.wait(120)
            print(f"status {status} after {time.monotonic() - started:.0f} s")
        finally:
            kill_group(process)
            wire.plug()
        if status == 3:
            return True
    return False
