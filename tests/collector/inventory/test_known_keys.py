"""A key that is published is named at the collector, whatever its agent knew."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import cryptography_vectors
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fakes.census import Census, private_key
from fakes.pki import new_key

from keycensus_collector.inventory.keys import list_keys
from keycensus_collector.inventory.known_keys import known_key
from keycensus_collector.query.model import EVERYTHING

FILE = "asymmetric/PKCS8/ec_private_key.pem"


def test_a_published_key_says_where_it_is_from(tmp_path: Path) -> None:
    pem = (Path(cryptography_vectors.__file__).parent / FILE).read_bytes()
    published = load_pem_private_key(pem, None)
    assert isinstance(published, EllipticCurvePrivateKey)
    census = Census.create(tmp_path)
    host = census.host("web1")
    census.report(host, "/etc/published.key", private_key(published))
    census.report(host, "/etc/own.key", private_key(new_key()))
    census.fold()
    with census.store.read() as connection:
        keys = list_keys(connection, EVERYTHING, 0).items
    known = {key.places[0].path: key.known_key for key in keys}
    assert known["/etc/own.key"] == ""
    assert known["/etc/published.key"].startswith("cryptography_vectors ")


def test_nothing_is_known_of_no_key() -> None:
    assert known_key(b"") == ""


def test_agent_and_collector_have_one_list() -> None:
    lists = {
        resources.files(package).joinpath("known_keys.txt").read_text("utf-8")
        for package in ("keycensus_agent", "keycensus_collector.inventory")
    }
    assert len(lists) == 1
