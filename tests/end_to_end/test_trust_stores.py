"""A distribution's trust store on several hosts: one row a directory, and its bytes cross once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate
from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.inventory import one, places
from fakes.sample_agent import SampleAgent

from keycensus_collector.inventory.detail import where
from keycensus_collector.inventory.identify import identify
from keycensus_collector.store.engine import Store

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a trust store's files are root's")

LINKS, FILES = "/etc/ssl/certs", "/usr/share/ca-certificates/mozilla"
BUNDLE = f"{LINKS}/ca-certificates.crt"


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with Collector.make(tmp_path / "collector") as collector:
        yield collector


def install_ca_certificates(root: Path) -> None:
    """Copy this machine's own trust store, links and all, but for what is not the package's."""
    for directory in ("etc/ssl", "usr/share/ca-certificates", "var/lib/dpkg/info"):
        (root / directory).mkdir(parents=True)
    subprocess.run(["cp", "-a", FILES, root / "usr/share/ca-certificates"], check=True)
    subprocess.run(["cp", "-a", LINKS, root / "etc/ssl"], check=True)
    for entry in (root / "etc/ssl/certs").iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif not entry.resolve().is_relative_to("/usr/share/ca-certificates"):
            entry.unlink()
    bundle = b"".join(file.read_bytes() for file in sorted((root / FILES[1:]).iterdir()))
    (root / BUNDLE[1:]).write_bytes(bundle)
    for name in ("status", "info/ca-certificates.list"):
        shutil.copy(f"/var/lib/dpkg/{name}", root / "var/lib/dpkg" / name)


def joined(collector: Collector, directory: Path, name: str) -> SampleAgent:
    agent = SampleAgent(directory, name)
    install_ca_certificates(agent.root)
    agent.enrol(collector)
    return agent


def test_debians_trust_store_is_two_rows_a_host_and_crosses_once(
    tmp_path: Path, collector: Collector
) -> None:
    first, second = (joined(collector, tmp_path / name, name) for name in ("one", "two"))
    corporate = Leaf("Corporate Root", authority=True)
    second.write("etc/ssl/certs/corp.pem", corporate.pem, 0o644)
    names = sorted((first.root / LINKS[1:]).iterdir())
    assert len(names) > 250
    first.run_once()
    blobs = one(collector.database, "SELECT count(*) FROM blob")
    second.run_once()
    # The company's certificate and its manifest; nothing of the trust store crossed again.
    assert one(collector.database, "SELECT count(*) FROM blob") == blobs + 2
    assert set(places(collector.database, "one")) == {LINKS, FILES, BUNDLE}
    assert set(places(collector.database, "two")) == {LINKS, FILES, BUNDLE, f"{LINKS}/corp.pem"}
    tree = places(collector.database, "two")[LINKS]
    assert len(tree.artifacts) == len(list((first.root / FILES[1:]).iterdir()))

    # A name that an administrator turns to another file leaves the tree, on this host.
    turned = next(name for name in names if name.suffix == ".0")
    before = load_pem_x509_certificate(turned.read_bytes()).fingerprint(SHA256()).hex()
    turned.unlink()
    first.write(f"{LINKS[1:]}/{turned.name}", corporate.pem, 0o644)
    first.run_once()
    own = f"{LINKS}/{turned.name}"
    assert set(places(collector.database, "one")) == {LINKS, FILES, BUNDLE, own}
    collector.stop()
    store = Store.open(f"sqlite:///{collector.database}")
    try:
        with store.read() as connection:
            found = where(connection, identify(connection, before)[0], 0)
    finally:
        store.close()
    paths = {(place.host, place.path) for place in found.places}
    assert ("two", own) in paths
    assert ("one", own) not in paths
    assert found.total == len(paths)
    assert {place.role for place in found.places} == {"trust-store"}
    assert {(place.package, place.mode) for place in found.places if place.format == "tree"} == {
        ("ca-certificates", "0644")
    }


def test_names_that_an_older_agent_told_are_withdrawn_when_a_newer_one_tells_the_tree(
    tmp_path: Path, collector: Collector
) -> None:
    agent = joined(collector, tmp_path / "one", "one")
    lists = agent.root / "var/lib/dpkg/info/ca-certificates.list"
    owned = lists.with_name("ca-certificates.md5sums")
    lists.rename(owned)
    agent.run_once()
    assert len(places(collector.database)) > 350
    # As after an upgrade: the state is made anew, and so is its instance.
    for file in (agent.state / "state").iterdir():
        file.unlink()
    owned.rename(lists)
    agent.run_once()
    assert set(places(collector.database)) == {LINKS, FILES, BUNDLE}
    assert (
        one(collector.database, "SELECT count(*) FROM place_version WHERE cause = 'content'") == 0
    )
