from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import pytest
from fakes.collector_stub import running_collector
from fakes.enrolled_agent import enrolled

from keycensus_agent.errors import IdentityError, StorageError
from keycensus_agent.host_facts import MachinePrints, machine_prints
from keycensus_agent.link.certificate import key_to_pem, new_key
from keycensus_agent.link.identity import Identity, IdentityStore, checked_trust


@pytest.fixture
async def agent(tmp_path: Path) -> tuple[Identity, IdentityStore]:
    async with running_collector() as stub:
        return await enrolled(stub, tmp_path)


def test_a_host_without_identity_is_told_to_enrol(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="keycensus-agent enrol") as caught:
        IdentityStore(tmp_path / "identity").load(machine_prints())
    assert caught.value.reason == "not-enrolled"


async def test_an_identity_is_not_used_on_another_machine(
    agent: tuple[Identity, IdentityStore],
) -> None:
    _, store = agent
    with pytest.raises(IdentityError, match="made on another machine") as caught:
        store.load(MachinePrints(machine_id="ab" * 32, product_uuid=""))
    assert caught.value.reason == "other-machine"


async def test_what_only_root_can_read_does_not_make_it_another_machine(
    agent: tuple[Identity, IdentityStore],
) -> None:
    identity, store = agent
    as_root = dataclasses.replace(
        identity, machine=dataclasses.replace(identity.machine, product_uuid="cd" * 32)
    )
    store.save(as_root)
    unprivileged = MachinePrints(identity.machine.machine_id, "")
    assert store.load(unprivileged).agent_id == identity.agent_id
    with pytest.raises(IdentityError):
        store.load(MachinePrints(identity.machine.machine_id, "ef" * 32))


async def test_a_key_that_is_not_the_certificates_is_damage(
    agent: tuple[Identity, IdentityStore],
) -> None:
    _, store = agent
    (store.path / "key.pem").write_bytes(key_to_pem(new_key()))
    with pytest.raises(IdentityError, match="is damaged"):
        store.load(machine_prints())


@pytest.mark.parametrize("name", ["key.pem", "certificate.pem", "trust.json", "identity.json"])
async def test_a_damaged_file_is_a_clear_error(
    agent: tuple[Identity, IdentityStore], name: str
) -> None:
    _, store = agent
    for damage in (b"", b"\xff\0", b"{}", b"[]"):
        (store.path / name).write_bytes(damage)
        with pytest.raises(IdentityError, match="leave --force"):
            store.load(machine_prints())


async def test_an_identity_of_a_newer_agent_is_not_touched(
    agent: tuple[Identity, IdentityStore],
) -> None:
    _, store = agent
    path = store.path / "identity.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(StorageError, match="upgrade keycensus-agent"):
        store.load(machine_prints())


async def test_the_private_key_is_in_no_repr(agent: tuple[Identity, IdentityStore]) -> None:
    identity, _ = agent
    assert "key=" not in repr(identity)


async def test_half_life_is_half_way_through_the_validity(
    agent: tuple[Identity, IdentityStore],
) -> None:
    identity, _ = agent
    half = identity.not_before + (identity.not_after - identity.not_before) / 2
    assert identity.is_past_half_life(half)
    assert not identity.is_past_half_life(half - dt.timedelta(seconds=1))


def test_a_damaged_pending_key_is_a_clear_error(tmp_path: Path) -> None:
    store = IdentityStore(tmp_path / "identity")
    store.pending_key()
    (store.path / "pending-key.pem").write_bytes(b"x")
    with pytest.raises(IdentityError, match="remove it, then enrol again"):
        store.pending_key()


def test_a_trust_bundle_without_anchors_or_with_rubbish_is_refused() -> None:
    for current in ((), (b"no certificate",), (b"x",) * 17):
        with pytest.raises(ValueError, match=r".+"):
            checked_trust(current, ())
