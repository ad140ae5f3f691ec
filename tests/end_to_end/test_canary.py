"""No byte of a private key leaves the host, or gets into the agent's own files or logs."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from demo.jks_writer import KeyEntry, write_jks
from fakes.canary import CanaryKey, files_below, leaks
from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.collector_in_memory import CollectorInMemory
from fakes.inventory import one, places
from fakes.sample_agent import SampleAgent

from keycensus_agent.config import load_config
from keycensus_agent.reader.report.sync import Circumstances, Conversation
from keycensus_agent.reader.service import ReaderService
from keycensus_agent.reader.state import State

PASSWORD = "canary-password"


@pytest.fixture(scope="module")
def keys() -> list[CanaryKey]:
    return [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())]


def plant(agent: SampleAgent, keys: list[CanaryKey]) -> None:
    """Put every key under the root in every form, with the passwords where one is needed."""
    plain = serialization.NoEncryption()
    encodings = serialization.Encoding
    formats = serialization.PrivateFormat
    for number, key in enumerate(keys):
        for kind, form in (("pkcs8", formats.PKCS8), ("own", formats.TraditionalOpenSSL)):
            for suffix, encoding in (("pem", encodings.PEM), ("der", encodings.DER)):
                plain_key = key.private_bytes(encoding, form, plain)
                agent.write(f"srv/{number}-{kind}.{suffix}", plain_key)
        openssh = key.private_bytes(encodings.PEM, formats.OpenSSH, plain)
        agent.write(f"srv/{number}-openssh", openssh)
        certificate = Leaf("canary.example").certificate
        protected = serialization.BestAvailableEncryption(PASSWORD.encode())
        for word, encryption in (("plain", plain), ("locked", protected)):
            store = pkcs12.serialize_key_and_certificates(b"canary", key, None, None, encryption)
            agent.write(f"srv/{number}-{word}.p12", store)
        entry = KeyEntry("canary", key, (certificate,))
        now = dt.datetime.now(dt.UTC)
        agent.write(f"srv/{number}.jks", write_jks([entry], PASSWORD, now))
        # Half a key: what the parser makes of damage must not carry it either.
        pem = key.private_bytes(encodings.PEM, formats.PKCS8, plain)
        agent.write(f"srv/{number}-cut.key", pem[: len(pem) // 2])
        agent.write(
            f"srv/{number}-in.yaml", b"tls:\n  key: |\n    " + pem.replace(b"\n", b"\n    ")
        )
    passwords = agent.directory / "passwords"
    passwords.write_text(f"**\t{PASSWORD}\n")
    passwords.chmod(0o600)
    text = agent.config_file.read_text()
    agent.config_file.write_text(
        text.replace("[scan]\n", f'[scan]\npassword_file = "{passwords}"\n')
    )


def test_the_search_finds_a_key_that_is_there(keys: list[CanaryKey]) -> None:
    for key in keys:
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        der = key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        flat = pem.replace(b"\n", b"")
        assert leaks([key], {"pem": flat, "der": der, "hex": der.hex().encode()}) == [
            "pem",
            "der",
            "hex",
        ]
        assert leaks([key], {"other": os.urandom(4096)}) == []


def test_no_message_and_no_state_of_the_reader_holds_a_private_number(
    tmp_path: Path, keys: list[CanaryKey]
) -> None:
    agent = SampleAgent(tmp_path / "one")
    plant(agent, keys)
    config = load_config(agent.config_file)
    state = State.open(config.state_database)
    service = ReaderService(config, state)
    assert service.sweep().complete
    collector = CollectorInMemory()
    connection = collector.connect()
    circumstances = Circumstances(b"", bytes(16), {}, lambda: 1)
    assert Conversation(state, service.outbox, connection, circumstances).converse().ok
    state.close()
    messages = {str(index): data for index, data in enumerate(connection.payloads)}
    assert len(messages) > 10
    assert leaks(keys, messages) == []
    stored = files_below(agent.state)
    assert leaks(keys, stored) == []
    assert not any(PASSWORD.encode() in content for content in stored.values())


def test_nothing_at_the_collector_and_in_the_logs_holds_a_private_number(
    tmp_path: Path, keys: list[CanaryKey]
) -> None:
    with Collector.make(tmp_path / "collector") as collector:
        agent = SampleAgent(tmp_path / "one")
        agent.enrol(collector)
        plant(agent, keys)
        done = agent.run_once()
        dry = agent.command("run", "--once", "--dry-run")
        scan = agent.command("scan", "--root", str(agent.root), "-o", "ndjson", "/srv")
        found = places(collector.database)
        assert len(found) >= 20
        keys_found = (
            "SELECT count(DISTINCT artifact) FROM manifest_entry WHERE kind = 'private-key'"
        )
        assert one(collector.database, keys_found) == len(keys)
        printed = {
            "run": done.stdout + done.stderr,
            "dry": dry.stdout + dry.stderr,
            "scan": scan.stdout + scan.stderr,
        }
        written = {name: text.encode() for name, text in printed.items()}
        written |= files_below(collector.directory, agent.state)
        assert leaks(keys, written) == []
        assert not any(PASSWORD.encode() in content for content in written.values())
