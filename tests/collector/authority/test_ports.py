"""Both gRPC ports over real TLS: who is let in, and what the others are told."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from fakes.joining import (
    Identity,
    anchors_pem,
    enrol,
    mutual_channel,
    proof_of,
    reason_of,
    request_of,
    server_tls_channel,
)
from fakes.ports import Running, hello, join, refusal, renew, run, running_server, token

from keycensus_collector import listening
from keycensus_collector.authority import admission, local
from keycensus_collector.authority.authority import issue_agent_certificate
from keycensus_collector.clock import FixedClock
from keycensus_collector.deployment import CompanyAuthority
from keycensus_proto.v1 import (
    enrolment_pb2,
    enrolment_pb2_grpc,
    inventory_pb2,
    report_pb2,
    report_pb2_grpc,
)

CODE = grpc.StatusCode
DAY = 86_400


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_server(tmp_path / "state") as running:
        yield running


async def test_a_host_joins_and_is_known_on_its_stream(running: Running) -> None:
    identity = await join(running)
    response = identity.response
    assert response.deployment == "test"
    assert response.report_address == f":{running.bound.report.port}"
    assert anchors_pem(list(response.trust.current)) == running.anchor_pem
    assert (await hello(running, identity)).hello_ack.deployment == f"test/{response.agent_id}"
    hosts = await asyncio.to_thread(running.run, "host.list")
    assert [(row["id"], row["name"], row["state"]) for row in hosts] == [
        (response.host_id, "host.example", "active")
    ]


async def test_labels_of_the_token_and_of_the_host_stay_apart(running: Running) -> None:
    text = await token(running, labels={"env": "prod"})
    facts = inventory_pb2.HostFacts(name="a\x1b[31m", labels={"env": "claimed"})
    await enrol(str(running.bound.enrol), running.anchor_pem, text, facts=facts)
    (row,) = await asyncio.to_thread(running.run, "host.list")
    assert row["labels"] == {"token": {"env": "prod"}, "host": {"env": "claimed"}}
    assert row["name"] == "a\\x1b[31m"


async def test_a_token_that_is_used_unknown_expired_or_revoked_is_refused(tmp_path: Path) -> None:
    clock = FixedClock(int(datetime.now(UTC).timestamp() * 1000))
    async with running_server(tmp_path / "state", clock=clock) as running:
        used = await token(running)
        await join(running, used)
        revoked = await token(running)
        await run(running, "token.revoke", id=revoked.split(".")[1])
        expired = await token(running, ttl_ms=1000)
        clock.advance(2)
        unknown = "kc1.AAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.x"
        for text, reason, advice in (
            (used, "token-used", "keycensus-collector token create"),
            (revoked, "token-revoked", "ask for a new one"),
            (expired, "token-expired", "keycensus-collector token create"),
            (unknown, "token-unknown", "check that it was copied whole"),
        ):
            error = await refusal(join(running, text))
            assert error.code() is CODE.PERMISSION_DENIED
            assert reason_of(error) == reason
            assert advice in (error.details() or "")


async def test_fifty_hosts_with_one_token_at_once_are_one_host(running: Running) -> None:
    text = await token(running)
    results = await asyncio.gather(
        *(join(running, text) for _ in range(50)), return_exceptions=True
    )
    errors = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
    assert len(results) - len(errors) == 1
    assert {reason_of(error) for error in errors} == {"token-used"}
    assert len(await asyncio.to_thread(running.run, "host.list")) == 1


async def test_the_same_key_gets_the_same_answer_and_spends_nothing(running: Running) -> None:
    text = await token(running)
    key = ec.generate_private_key(ec.SECP256R1())
    address = str(running.bound.enrol)
    answers = [(await enrol(address, running.anchor_pem, text, key=key)).response for _ in range(3)]
    assert len({(each.agent_id, each.certificate_chain[0]) for each in answers}) == 1
    assert len(await asyncio.to_thread(running.run, "agent.list")) == 1


async def test_a_host_that_was_here_before_does_not_take_over_its_old_row(
    running: Running,
) -> None:
    first, second = await join(running), await join(running)
    assert first.response.host_id != second.response.host_id
    assert len(await asyncio.to_thread(running.run, "host.list")) == 2


async def test_what_is_no_request_or_no_facts_is_refused(running: Running) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    proof = proof_of(await token(running))
    weak = request_of(ec.generate_private_key(ec.SECP256K1()))
    Request = enrolment_pb2.EnrolRequest  # noqa: N806 - a class
    async with server_tls_channel(str(running.bound.enrol), running.anchor_pem) as channel:
        call = enrolment_pb2_grpc.EnrolmentStub(channel).Enrol
        for request, reason in (
            (Request(token=proof, csr=b"junk"), "malformed"),
            (Request(token=proof, csr=weak), "weak-key"),
            (Request(token=proof, csr=request_of(key), host_facts=b"\xff"), "malformed"),
            (Request(token=proof, csr=request_of(key), host_facts=bytes(70_000)), "malformed"),
            (Request(token=proof, csr=request_of(key), protocol_versions=[2]), "upgrade"),
            (Request(csr=request_of(key)), "token-unknown"),
        ):
            assert reason_of(await refusal(call(request, timeout=20))) == reason
        await call(Request(token=proof, csr=request_of(key)), timeout=20)  # still unspent


async def test_a_collector_of_another_ca_is_not_trusted(running: Running, tmp_path: Path) -> None:
    async with running_server(tmp_path / "rogue") as rogue:
        error = await refusal(enrol(str(rogue.bound.enrol), running.anchor_pem, "kc1.a.b.c"))
    assert error.code() is CODE.UNAVAILABLE


async def test_no_client_certificate_or_one_of_another_ca_is_refused_by_tls(
    running: Running,
) -> None:
    identity = await join(running)
    stranger_ca = local.create_own("test", datetime.now(UTC))
    key = ec.generate_private_key(ec.SECP256R1())
    stranger = issue_agent_certificate(
        stranger_ca,
        key.public_key(),
        deployment="test",
        agent_id=identity.response.agent_id,
        now=datetime.now(UTC),
    )
    address = str(running.bound.report)
    anchors = list(identity.response.trust.current)
    bare = server_tls_channel(address, running.anchor_pem)
    foreign = mutual_channel(address, anchors, key, [stranger.public_bytes(Encoding.DER)])
    for channel in (bare, foreign):
        async with channel:
            call = report_pb2_grpc.AgentsStub(channel).Leave
            error = await refusal(call(enrolment_pb2.LeaveRequest(), timeout=20))
            assert error.code() is CODE.UNAVAILABLE
    assert running.reporter.peers == []


@pytest.mark.parametrize("port", ["enrol", "report", "web"])
async def test_tls_below_1_2_is_refused_on_every_port(running: Running, port: str) -> None:
    def handshake(version: str) -> str:
        address = str(getattr(running.bound, port))
        command = ["openssl", "s_client", "-connect", address, "-cipher", "ALL:@SECLEVEL=0"]
        result = subprocess.run(
            [*command, version], input=b"", capture_output=True, check=False, timeout=20
        )
        return (result.stdout + result.stderr).decode()

    old = await asyncio.to_thread(handshake, "-tls1_1")
    assert "Cipher is (NONE)" in old
    assert "BEGIN CERTIFICATE" not in old
    assert "BEGIN CERTIFICATE" in await asyncio.to_thread(handshake, "-tls1_2")


async def test_a_certificate_of_our_ca_that_names_no_agent_of_ours_is_refused(
    tmp_path: Path,
) -> None:
    """Under a company's root others hold certificates too: TLS lets them in, we do not."""
    company = local.create_own("company", datetime.now(UTC))
    company.save(tmp_path / "company")
    files = CompanyAuthority(
        tmp_path / "company" / local.CHAIN_FILE, tmp_path / "company" / local.KEY_FILE
    )
    async with running_server(tmp_path / "state", company=files) as running:
        identity = await join(running)
        agent_id = identity.response.agent_id
        key = ec.generate_private_key(ec.SECP256R1())
        for deployment, name in (("test", agent_id), ("other", agent_id), ("test", "nobody")):
            other = issue_agent_certificate(
                company,
                key.public_key(),
                deployment=deployment,
                agent_id=name,
                now=datetime.now(UTC),
            )
            imposter = Identity(
                key,
                enrolment_pb2.EnrolResponse(
                    trust=identity.response.trust,
                    certificate_chain=[other.public_bytes(Encoding.DER)],
                ),
            )
            assert (await hello(running, imposter)).refusal.reason == "unknown"
            async with imposter.channel(str(running.bound.report)) as channel:
                call = report_pb2_grpc.AgentsStub(channel).Leave
                error = await refusal(call(enrolment_pb2.LeaveRequest(), timeout=20))
                assert error.code() is CODE.UNAUTHENTICATED
                assert reason_of(error) == "unknown"
        assert (await hello(running, identity)).hello_ack.deployment == f"test/{agent_id}"


async def test_a_companys_intermediate_serves_and_enrols(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    root_key, key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    root = ca_certificate("root", root_key, "root", root_key, now)
    middle = ca_certificate("issuing", key, "root", root_key, now)
    local.LocalAuthority(key, (middle, root)).save(tmp_path / "company")
    files = CompanyAuthority(
        tmp_path / "company" / local.CHAIN_FILE, tmp_path / "company" / local.KEY_FILE
    )
    async with running_server(tmp_path / "state", company=files) as running:
        identity = await join(running)
        chain = list(map(x509.load_der_x509_certificate, identity.response.certificate_chain))
        assert chain[1:] == [middle]
        assert anchors_pem(list(identity.response.trust.current)) == root.public_bytes(Encoding.PEM)
        assert (await hello(running, identity)).HasField("hello_ack")


def ca_certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


async def test_streams_beyond_the_limit_are_told_to_come_back(tmp_path: Path) -> None:
    async with running_server(tmp_path / "state", streams=1) as running:
        first, second = await join(running), await join(running)
        async with first.channel(str(running.bound.report)) as channel:
            stream = report_pb2_grpc.AgentsStub(channel).Report(timeout=20)
            await stream.write(report_pb2.ReportRequest(hello=report_pb2.Hello()))
            await stream.read()
            busy = (await hello(running, second)).refusal
            assert (busy.reason, busy.retry_after_seconds) == ("busy", 60)
            await stream.done_writing()
            assert await stream.read() is grpc.aio.EOF
        assert (await hello(running, second)).HasField("hello_ack")


async def test_streams_that_wait_to_begin_are_no_more_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One at once and two a second: while the others wait there is room for each of them.
    monkeypatch.setattr(admission, "_BURST_SECONDS", 0.5)
    server = running_server(tmp_path / "state", streams=1, streams_per_second=2)
    async with server as running, AsyncExitStack() as stack:
        stubs = []
        for _ in range(4):
            identity = await join(running)
            channel = identity.channel(str(running.bound.report))
            stubs.append(report_pb2_grpc.AgentsStub(await stack.enter_async_context(channel)))
            await channel.channel_ready()

        async def begin(
            stub: report_pb2_grpc.AgentsAsyncStub,
        ) -> tuple[Any, report_pb2.ReportResponse]:
            stream: Any = stub.Report(timeout=20)
            await stream.write(report_pb2.ReportRequest(hello=report_pb2.Hello()))
            return stream, await stream.read()

        stream, answer = await begin(stubs[0])
        assert answer.HasField("hello_ack")
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        answers = [answer for _, answer in await asyncio.gather(*map(begin, stubs))]
        assert sum(answer.HasField("hello_ack") for answer in answers) == 1
        assert [answer.refusal.reason for answer in answers].count("busy") == 3


async def test_streams_above_the_rate_wait_and_then_are_told_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One at once and one a second; one may wait.
    monkeypatch.setattr(admission, "_BURST_SECONDS", 1.0)
    monkeypatch.setattr(admission, "_PATIENCE_SECONDS", 1.0)
    async with running_server(tmp_path / "state", streams_per_second=1) as running:
        identities = [await join(running) for _ in range(3)]
        answers = await asyncio.gather(*(hello(running, identity) for identity in identities))
        refusals = [each.refusal for each in answers if each.HasField("refusal")]
        assert [each.reason for each in refusals] == ["busy"]
        assert 2 <= refusals[0].retry_after_seconds <= 3
        assert sum(each.HasField("hello_ack") for each in answers) == 2


async def test_connections_beyond_the_limit_are_closed_before_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_SPARE_CONNECTIONS", 4)
    async with running_server(tmp_path / "state", streams=1) as running:
        for address, most in ((running.bound.report, 5), (running.bound.enrol, 4)):
            held = [await asyncio.open_connection("127.0.0.1", address.port) for _ in range(most)]
            reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
            assert await asyncio.wait_for(reader.read(1), 8) == b"", "it was served"
            assert not any(each.at_eof() for each, _ in held)
            for each in (writer, *(each for _, each in held)):
                each.close()
        identity = await join(running)
        assert (await hello(running, identity)).HasField("hello_ack")


async def test_an_open_stream_does_not_hold_up_the_end(running: Running) -> None:
    identity = await join(running)
    async with identity.channel(str(running.bound.report)) as channel:
        stream = report_pb2_grpc.AgentsStub(channel).Report(timeout=60)
        await stream.write(report_pb2.ReportRequest(hello=report_pb2.Hello()))
        await stream.read()
        started = asyncio.get_running_loop().time()
        await running.server.stop()
        assert asyncio.get_running_loop().time() - started < 8


async def test_our_own_trouble_is_told_as_busy_and_logged(
    running: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    identity = await join(running)
    running.configuration.state_directory.joinpath("keycensus.db").write_bytes(b"x" * 400_000)
    answer = (await hello(running, identity)).refusal
    assert (answer.reason, answer.retry_after_seconds) == ("busy", 60)
    error = await refusal(renew(running, identity))
    assert (error.code(), reason_of(error)) == (CODE.RESOURCE_EXHAUSTED, "busy")
    assert str(running.configuration.state_directory) not in (error.details() or "")
    assert "damaged" in capfd.readouterr().out
