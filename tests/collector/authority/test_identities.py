"""What becomes of an identity: renewed, banned, left, recovered; over real TLS."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.joining import Identity, enrol, reason_of, request_of, server_tls_channel
from fakes.ports import (
    Running,
    hello,
    join,
    refusal,
    renew,
    run,
    running_server,
    token,
)
from grpc import StatusCode
from grpc.aio import AioRpcError
from hypothesis import given, settings
from hypothesis import strategies as st

from keycensus_collector.authority import local
from keycensus_collector.authority.authority import issue_agent_certificate
from keycensus_collector.authority.enrolment import recovery_message
from keycensus_collector.authority.peer import read_certificate
from keycensus_collector.clock import FixedClock
from keycensus_collector.errors import Refusal
from keycensus_proto.v1 import enrolment_pb2, enrolment_pb2_grpc, report_pb2_grpc

CODE = StatusCode
DAY = 86_400


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_server(tmp_path / "state") as running:
        yield running


async def test_a_renewed_certificate_ends_the_old_one_when_it_opens_its_first_stream(
    running: Running,
) -> None:
    old = await join(running)
    new = await renew(running, old)
    assert new.certificate.serial_number != old.certificate.serial_number
    assert (await hello(running, old)).HasField("hello_ack")
    assert (await hello(running, new)).HasField("hello_ack")
    answer = await hello(running, old)
    assert answer.refusal.reason == "unknown"
    assert "replaced by a newer one" in answer.refusal.text
    assert (await hello(running, new)).HasField("hello_ack")


async def test_a_second_renewal_survives_the_first_stream_of_the_first(tmp_path: Path) -> None:
    clock = FixedClock(int(datetime.now(UTC).timestamp() * 1000))
    async with running_server(tmp_path / "state", clock=clock) as running:
        old = await join(running)
        first = await renew(running, old)
        clock.advance(61)
        second = await renew(running, old)
        assert (await hello(running, first)).HasField("hello_ack")
        assert (await hello(running, second)).HasField("hello_ack")
        assert (await hello(running, first)).refusal.reason == "unknown"


async def test_an_agent_that_asks_for_one_certificate_after_another_is_told_to_wait(
    running: Running,
) -> None:
    old = await join(running)
    results = await asyncio.gather(*(renew(running, old) for _ in range(5)), return_exceptions=True)
    errors = [result for result in results if isinstance(result, AioRpcError)]
    assert len(results) - len(errors) == 1
    for error in errors:
        assert (error.code(), reason_of(error)) == (CODE.RESOURCE_EXHAUSTED, "busy")
        assert error.details() == "this agent was renewed a moment ago"
    (new,) = [result for result in results if isinstance(result, Identity)]
    assert (await hello(running, new)).HasField("hello_ack")
    assert (await hello(running, await renew(running, new))).HasField("hello_ack")


async def test_the_banned_are_told_so_until_they_are_let_in_again(running: Running) -> None:
    identity = await join(running)
    await run(running, "agent.ban", agent=identity.response.agent_id, reason="stolen")
    assert (await hello(running, identity)).refusal.reason == "banned"
    error = await refusal(renew(running, identity))
    assert (error.code(), reason_of(error)) == (CODE.PERMISSION_DENIED, "banned")
    await run(running, "agent.unban", agent="host.example")
    assert (await hello(running, identity)).HasField("hello_ack")


async def test_who_leaves_is_gone_and_its_host_retired(running: Running) -> None:
    identity = await join(running)
    async with identity.channel(str(running.bound.report)) as channel:
        request = enrolment_pb2.LeaveRequest(reason="uninstalled")
        await report_pb2_grpc.AgentsStub(channel).Leave(request, timeout=20)
    assert (await hello(running, identity)).refusal.reason == "unknown"
    (agent,) = await asyncio.to_thread(running.run, "agent.list")
    (host,) = await asyncio.to_thread(running.run, "host.list")
    assert (agent["state"], agent["reason"], host["state"]) == ("left", "uninstalled", "retired")


async def test_a_token_whose_host_has_left_lets_the_same_key_in_no_more(running: Running) -> None:
    text = await token(running)
    identity = await join(running, text)
    address = str(running.bound.enrol)
    for operation, reason in (("agent.ban", "banned"), ("agent.evict", "token-used")):
        await run(running, operation, agent=identity.response.agent_id)
        error = await refusal(enrol(address, running.anchor_pem, text, key=identity.key))
        assert reason_of(error) == reason


async def recover(
    running: Running,
    identity: Identity,
    at_ms: int,
    *,
    signer: ec.EllipticCurvePrivateKey | None = None,
) -> enrolment_pb2.EnrolResponse:
    certificate = identity.response.certificate_chain[0]
    csr = request_of(ec.generate_private_key(ec.SECP256R1()))
    message = recovery_message(certificate, csr, at_ms)
    request = enrolment_pb2.RecoverRequest(
        certificate=certificate,
        csr=csr,
        at_unix_ms=at_ms,
        signature=(signer or identity.key).sign(message, ec.ECDSA(hashes.SHA256())),
    )
    async with server_tls_channel(str(running.bound.enrol), running.anchor_pem) as channel:
        return await enrolment_pb2_grpc.EnrolmentStub(channel).Recover(request, timeout=20)


async def test_an_expired_certificate_is_recovered_against_a_proof_of_its_key(
    tmp_path: Path,
) -> None:
    clock = FixedClock(int(datetime.now(UTC).timestamp() * 1000))
    async with running_server(tmp_path / "state", clock=clock) as running:
        identity = await join(running)
        clock.advance(100 * DAY)
        response = await recover(running, identity, clock.now_ms())
        assert response.agent_id == identity.response.agent_id
        recovered = x509.load_der_x509_certificate(response.certificate_chain[0])
        assert read_certificate(recovered, "test").agent_id == response.agent_id
        error = await refusal(recover(running, identity, clock.now_ms() - 3_700_000))
        assert reason_of(error) == "clock"
        stranger = ec.generate_private_key(ec.SECP256R1())
        error = await refusal(recover(running, identity, clock.now_ms(), signer=stranger))
        assert reason_of(error) == "unknown"
        await run(running, "agent.ban", agent=identity.response.agent_id)
        assert reason_of(await refusal(recover(running, identity, clock.now_ms()))) == "banned"
        await run(running, "agent.unban", agent=identity.response.agent_id)
        clock.advance(111 * DAY)
        assert reason_of(await refusal(recover(running, identity, clock.now_ms()))) == "too-late"


async def test_junk_in_place_of_a_certificate_to_recover_is_refused(running: Running) -> None:
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    async with server_tls_channel(str(running.bound.enrol), running.anchor_pem) as channel:
        call = enrolment_pb2_grpc.EnrolmentStub(channel).Recover
        for certificate in (b"", b"\x30\x03\x02\x01\x01", bytes(20_000)):
            request = enrolment_pb2.RecoverRequest(certificate=certificate, at_unix_ms=now_ms)
            assert reason_of(await refusal(call(request, timeout=20))) == "malformed"


CERTIFICATE = issue_agent_certificate(
    local.create_own("test", datetime.now(UTC)),
    ec.generate_private_key(ec.SECP256R1()).public_key(),
    deployment="test",
    agent_id="an-agent",
    now=datetime.now(UTC),
).public_bytes(Encoding.DER)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(CERTIFICATE) - 1), st.integers(1, 255))
def test_a_damaged_certificate_is_read_or_refused_and_never_crashes(
    position: int, change: int
) -> None:
    changed = bytearray(CERTIFICATE)
    changed[position] ^= change
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd serial numbers and the like
        try:
            certificate = x509.load_der_x509_certificate(bytes(changed))
            presented = read_certificate(certificate, "test")
        except (ValueError, x509.InvalidVersion, Refusal):
            return
    assert presented.deployment == "test"
