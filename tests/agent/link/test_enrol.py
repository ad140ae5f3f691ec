from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import stat
from pathlib import Path

import pytest
from cryptography import x509
from fakes.collector_stub import CollectorStub, ThrowAwayAuthority, running_collector
from fakes.enrolled_agent import config_in, enrol_at

from keycensus_agent.errors import IdentityError, LinkError, RefusedError, UsageError
from keycensus_agent.host_facts import MachinePrints, machine_prints
from keycensus_agent.link.identity import IdentityStore

ELSEWHERE = MachinePrints(machine_id="ab" * 32, product_uuid="")


async def test_enrolling_stores_an_identity_that_loads_again(tmp_path: Path) -> None:
    async with running_collector() as stub:
        outcome = await enrol_at(stub, config_in(tmp_path / "state"))

    store = IdentityStore(tmp_path / "state" / "identity")
    loaded = store.load(machine_prints())
    assert outcome.changed
    assert loaded.agent_id == outcome.identity.agent_id
    assert loaded.deployment == "test"
    assert loaded.report_address == stub.report_address
    assert loaded.enrolment_address == stub.enrolment_address
    assert loaded.trust.current == (stub.authority.der,)
    assert abs(outcome.clock_skew_seconds) < 5


async def test_identity_files_are_private_and_the_pending_key_is_gone(tmp_path: Path) -> None:
    async with running_collector() as stub:
        await enrol_at(stub, config_in(tmp_path))

    directory = tmp_path / "identity"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}
    assert {"key.pem", "certificate.pem", "trust.json", "identity.json"} <= set(modes)
    assert "pending-key.pem" not in modes


async def test_only_the_part_before_the_pin_is_sent(tmp_path: Path) -> None:
    async with running_collector() as stub:
        token = stub.token()
        await enrol_at(stub, config_in(tmp_path), token)

    assert stub.enrol_requests[0].token == ".".join(token.split(".")[1:3])
    assert list(stub.enrol_requests[0].protocol_versions) == [1]


async def test_after_a_lost_reply_the_same_key_asks_again_and_nothing_is_spent_twice(
    tmp_path: Path,
) -> None:
    async with running_collector(CollectorStub(lost_replies=1)) as stub:
        token = stub.token()
        with pytest.raises(LinkError, match="try again"):
            await enrol_at(stub, config_in(tmp_path), token)
        outcome = await enrol_at(stub, config_in(tmp_path), token)

    keys = {
        x509.load_der_x509_csr(request.csr).public_key().public_numbers()  # type: ignore[union-attr]
        for request in stub.enrol_requests
    }
    assert outcome.changed
    assert len(stub.enrol_requests) == 2
    assert len(keys) == 1


async def test_enrolling_again_at_the_same_deployment_changes_nothing(tmp_path: Path) -> None:
    async with running_collector() as stub:
        first = await enrol_at(stub, config_in(tmp_path))
        again = await enrol_at(stub, config_in(tmp_path))

    assert not again.changed
    assert again.identity.agent_id == first.identity.agent_id
    assert len(stub.enrol_requests) == 1


async def test_enrolling_at_another_deployment_says_leave_first(tmp_path: Path) -> None:
    async with running_collector() as stub, running_collector() as other:
        await enrol_at(stub, config_in(tmp_path))
        with pytest.raises(IdentityError, match="leave` first"):
            await enrol_at(other, config_in(tmp_path))

    assert other.enrol_requests == []


async def test_an_expired_identity_may_enrol_anew(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    stub = CollectorStub(
        not_before=now - dt.timedelta(days=60), not_after=now - dt.timedelta(days=30)
    )
    async with running_collector(stub):
        first = await enrol_at(stub, config_in(tmp_path))
        stub.not_before = stub.not_after = None
        again = await enrol_at(stub, config_in(tmp_path))

    assert again.changed
    assert again.identity.agent_id != first.identity.agent_id


async def test_another_machines_identity_is_put_aside_before_enrolling(tmp_path: Path) -> None:
    async with running_collector() as stub:
        first = await enrol_at(stub, config_in(tmp_path), machine=ELSEWHERE)
        again = await enrol_at(stub, config_in(tmp_path))

    assert again.put_aside is not None
    assert again.put_aside.with_name(f"{again.put_aside.name}key.pem").exists()
    assert again.identity.agent_id != first.identity.agent_id


async def test_a_wrong_pin_stops_before_anything_is_sent(tmp_path: Path) -> None:
    async with running_collector() as stub:
        token = stub.token(pin=ThrowAwayAuthority().pin)
        with pytest.raises(LinkError, match="Nothing was sent") as caught:
            await enrol_at(stub, config_in(tmp_path), token)

    assert caught.value.reason == "tls"
    assert "not the collector that issued the token" in str(caught.value)
    assert stub.enrol_requests == []
    assert not (tmp_path / "identity").exists()


async def test_a_stranger_that_shows_the_right_anchor_is_not_believed(tmp_path: Path) -> None:
    real, stranger = ThrowAwayAuthority(), ThrowAwayAuthority("stranger")
    key, chain = stranger.issue_server("collector.test")
    async with running_collector(
        CollectorStub(authority=real), server_identity=(key, chain + real.pem)
    ) as stub:
        with pytest.raises(LinkError, match="not issued by this deployment's authority"):
            await enrol_at(stub, config_in(tmp_path))

    assert stub.enrol_requests == []


async def test_a_server_certificate_for_another_name_is_explained(tmp_path: Path) -> None:
    authority = ThrowAwayAuthority()
    identity = authority.issue_server("elsewhere.test", "")
    async with running_collector(
        CollectorStub(authority=authority), server_identity=identity
    ) as stub:
        with pytest.raises(LinkError, match=r'not for the name "127.0.0.1"'):
            await enrol_at(stub, config_in(tmp_path))


@pytest.mark.parametrize(
    ("days", "says"), [(-30, "has expired"), (30, "not valid yet")], ids=["expired", "future"]
)
async def test_a_server_certificate_out_of_time_is_explained_with_the_clock(
    tmp_path: Path, days: int, says: str
) -> None:
    authority = ThrowAwayAuthority()
    middle = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    identity = authority.issue_server(
        "collector.test",
        not_before=middle - dt.timedelta(days=10),
        not_after=middle + dt.timedelta(days=10),
    )
    async with running_collector(
        CollectorStub(authority=authority), server_identity=identity
    ) as stub:
        with pytest.raises(LinkError, match=f"{says}.*clock"):
            await enrol_at(stub, config_in(tmp_path))


@pytest.mark.parametrize(
    ("worth", "says"),
    [
        ("token-used", "used already"),
        ("token-expired", "has expired"),
        ("token-unknown", "does not know this token"),
        ("token-revoked", "was revoked"),
        ("weak-key", "upgrade the collector"),
        ("unsupported-key", "upgrade the collector"),
        ("clock", "more than an hour"),
        ("malformed", "upgrade the older"),
        ("upgrade", "upgrade keycensus-agent"),
        ("something-new", "ask who runs the collector"),
    ],
)
async def test_a_refused_token_says_why_and_what_to_do(
    tmp_path: Path, worth: str, says: str
) -> None:
    async with running_collector() as stub:
        token = stub.token(worth)
        with pytest.raises(RefusedError, match=says) as caught:
            await enrol_at(stub, config_in(tmp_path), token)

    assert caught.value.refusal == worth
    assert caught.value.retry_after_seconds == 7
    assert caught.value.exit_status == 3
    assert token.split(".")[2] not in str(caught.value)


async def test_a_certificate_of_an_unknown_issuer_is_not_stored(tmp_path: Path) -> None:
    stub = CollectorStub(foreign_issuer=ThrowAwayAuthority())
    async with running_collector(stub):
        with pytest.raises(LinkError, match="no trust anchor issued it"):
            await enrol_at(stub, config_in(tmp_path))

    assert not (tmp_path / "identity" / "identity.json").exists()


async def test_a_clock_that_differs_is_told(tmp_path: Path) -> None:
    async with running_collector(CollectorStub(clock_offset_seconds=7200)) as stub:
        outcome = await enrol_at(stub, config_in(tmp_path))
    assert outcome.clock_skew_seconds == pytest.approx(-7200, abs=5)


async def test_an_address_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    stub = CollectorStub()
    config = config_in(tmp_path)
    token = stub.token()
    with pytest.raises(UsageError, match="host:port"):
        await enrol_at(_Misnamed(), config, token)


@dataclasses.dataclass
class _Misnamed(CollectorStub):
    @property
    def enrolment_address(self) -> str:
        return "https://collector.test/"


async def test_the_token_is_in_no_log_and_no_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running_collector() as stub:
        token = stub.token()
        await enrol_at(stub, config_in(tmp_path), token)

    secret = token.split(".")[2]
    assert secret not in caplog.text
    for path in (tmp_path / "identity").iterdir():
        assert secret.encode() not in path.read_bytes()
