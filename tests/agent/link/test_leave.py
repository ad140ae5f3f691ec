from __future__ import annotations

from pathlib import Path

import pytest
from fakes.collector_stub import CollectorStub, running_collector
from fakes.enrolled_agent import config_in, enrolled

from keycensus_agent.errors import LinkError
from keycensus_agent.host_facts import MachinePrints, machine_prints
from keycensus_agent.link.identity import IdentityStore
from keycensus_agent.link.leave import leave


async def goodbye(directory: Path, *, force: bool = False) -> str:
    return await leave(config_in(directory), "moved", force=force, machine=machine_prints())


async def test_leaving_tells_the_collector_and_removes_the_identity(tmp_path: Path) -> None:
    async with running_collector() as stub:
        await enrolled(stub, tmp_path)
        said = await goodbye(tmp_path)
    assert stub.leave_reasons == ["moved"]
    assert "was told" in said
    assert not (tmp_path / "identity").exists()


async def test_without_a_collector_nothing_is_removed_unless_forced(tmp_path: Path) -> None:
    async with running_collector() as stub:
        await enrolled(stub, tmp_path)
    with pytest.raises(LinkError, match="leave --force") as caught:
        await goodbye(tmp_path)
    assert caught.value.exit_status == 3
    assert (tmp_path / "identity" / "key.pem").exists()

    assert "was not told" in await goodbye(tmp_path, force=True)
    assert not (tmp_path / "identity").exists()


async def test_a_collector_that_does_not_know_us_keeps_nobody(tmp_path: Path) -> None:
    async with running_collector(CollectorStub(leave_refused="unknown")) as stub:
        await enrolled(stub, tmp_path)
        assert "did not know it" in await goodbye(tmp_path)
    assert not (tmp_path / "identity").exists()


async def test_a_refusal_keeps_the_identity(tmp_path: Path) -> None:
    async with running_collector(CollectorStub(leave_refused="banned")) as stub:
        await enrolled(stub, tmp_path)
        with pytest.raises(LinkError, match="banned") as caught:
            await goodbye(tmp_path)
    assert caught.value.reason == "refused"
    assert (tmp_path / "identity" / "key.pem").exists()


async def test_a_copied_identity_is_removed_by_force_only_and_tells_nobody(tmp_path: Path) -> None:
    elsewhere = MachinePrints(machine_id="ab" * 32, product_uuid="")
    async with running_collector() as stub:
        await enrolled(stub, tmp_path)
        with pytest.raises(LinkError, match="another machine"):
            await leave(config_in(tmp_path), "moved", force=False, machine=elsewhere)
        await leave(config_in(tmp_path), "moved", force=True, machine=elsewhere)
    assert stub.leave_reasons == []
    assert not (tmp_path / "identity").exists()


async def test_leaving_without_an_identity_says_so(tmp_path: Path) -> None:
    assert "not enrolled" in await goodbye(tmp_path)
    IdentityStore(tmp_path / "identity").pending_key()
    assert "unfinished enrolment" in await goodbye(tmp_path)
    assert not (tmp_path / "identity").exists()
