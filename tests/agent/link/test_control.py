from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from fakes.collector_stub import CollectorStub, running_collector
from fakes.enrolled_agent import enrolled

from keycensus_agent.errors import LinkError, RefusedError
from keycensus_agent.host_facts import machine_prints
from keycensus_agent.link.control import Route, recover, renew, say_goodbye

NOW = dt.datetime.now(dt.UTC)


async def test_renewing_stores_a_new_key_and_certificate_of_the_same_agent(tmp_path: Path) -> None:
    async with running_collector() as stub:
        identity, store = await enrolled(stub, tmp_path)
        renewed = await renew(identity, store, Route())

    loaded = store.load(machine_prints())
    assert stub.renewals == 1
    assert renewed.chain == loaded.chain != identity.chain
    assert loaded.agent_id == identity.agent_id
    assert loaded.key.public_key() != identity.key.public_key()


async def test_a_refused_renewal_leaves_the_identity_as_it_was(tmp_path: Path) -> None:
    async with running_collector(CollectorStub(renewal_refused="banned")) as stub:
        identity, store = await enrolled(stub, tmp_path)
        with pytest.raises(RefusedError, match="agent unban"):
            await renew(identity, store, Route())
    assert store.load(machine_prints()).chain == identity.chain


async def test_an_expired_certificate_is_recovered_by_proof_of_its_key(tmp_path: Path) -> None:
    stub = CollectorStub(
        not_before=NOW - dt.timedelta(days=60), not_after=NOW - dt.timedelta(days=30)
    )
    async with running_collector(stub):
        identity, store = await enrolled(stub, tmp_path)
        stub.not_before = stub.not_after = None
        recovered = await recover(identity, store, "", NOW)

    assert recovered.not_after > NOW
    assert store.load(machine_prints()).chain == recovered.chain


@pytest.mark.parametrize(
    ("refusal", "reason"), [("expired", "expired"), ("too-late", "expired"), ("banned", "refused")]
)
async def test_a_refused_recovery_says_since_when_and_what_to_do(
    tmp_path: Path, refusal: str, reason: str
) -> None:
    stub = CollectorStub(recover_refused=refusal)
    async with running_collector(stub):
        identity, store = await enrolled(stub, tmp_path)
        with pytest.raises(LinkError) as caught:
            await recover(identity, store, "", NOW)
    assert caught.value.reason == reason


async def test_recovery_without_a_collector_is_tried_again_later(tmp_path: Path) -> None:
    async with running_collector() as stub:
        identity, store = await enrolled(stub, tmp_path)
    with pytest.raises(LinkError, match=r"expired on .*nothing listens") as caught:
        await recover(identity, store, "", NOW)
    assert caught.value.reason == "unreachable"


async def test_the_configured_address_wins_over_the_identitys(tmp_path: Path) -> None:
    async with running_collector() as stub:
        identity, store = await enrolled(stub, tmp_path)
        stranded = Route(address="127.0.0.1:1")
        with pytest.raises(LinkError, match="nothing listens on port 1"):
            await say_goodbye(identity, store, stranded, "moved")
        await say_goodbye(identity, store, Route(), "moved")
    assert stub.leave_reasons == ["moved"]


async def test_a_call_at_the_wrong_port_says_which_is_right(tmp_path: Path) -> None:
    async with running_collector() as stub:
        identity, store = await enrolled(stub, tmp_path)
        with pytest.raises(LinkError, match="8440 for reports"):
            await say_goodbye(identity, store, Route(address=stub.enrolment_address), "moved")
