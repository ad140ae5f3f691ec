"""Machines that share an identity, and one operator's word that puts them right: real TLS throughout."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import shutil
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.collector import Collector
from fakes.enrolled_agent import join
from fakes.joining import Identity, anchors_pem, enrol, request_of, server_tls_channel
from fakes.link_hello import Machine

from keycensus_agent.host_facts import MachinePrints
from keycensus_agent.link.certificate import sign_rekey
from keycensus_proto.v1 import (
    enrolment_pb2,
    enrolment_pb2_grpc,
    inventory_pb2,
    report_pb2,
    report_pb2_grpc,
)

# `make faults-long` takes a thousand.
COPIES = int(os.environ.get("KEYCENSUS_COPIES", "60"))


def copies_of(identity: Path, directory: Path, count: int) -> list[Machine]:
    """Return machines from one image: the same identity and the same state, each with its own boot."""
    machines = []
    for number in range(count):
        copy = directory / f"copy{number}" / "identity"
        shutil.copytree(identity, copy)
        machines.append(Machine(copy, f"copy{number}", number.to_bytes(32, "big"), b"", b"i" * 16))
    return machines


def until_refused(machines: list[Machine], word: str) -> None:
    """Let machines report in turn until every one of them is refused with `word`."""
    for _ in range(6):
        if {machine.say() for machine in machines} == {word}:
            return
    pytest.fail(f"not every machine was refused {word!r}")


@pytest.mark.long
def test_each_copy_gets_an_identity_of_its_own_and_the_named_one_stays_the_host(
    tmp_path: Path,
) -> None:
    with Collector.make(tmp_path / "collector") as collector:
        image = join(collector, tmp_path / "image")
        machines = copies_of(image, tmp_path, 3)
        shared, host = machines[0].agent_id(), collector.query("agent", "list")[0]["host_id"]
        until_refused(machines, "cloned")

        shown = collector.query("agent", "show", shared[:8])
        assert shown["state"] == "cloned"
        assert {each["name"] for each in shown["machines"]} == {"copy0", "copy1", "copy2"}
        assert {each["address"] for each in shown["machines"]} == {"127.0.0.1"}
        assert "clones: copy" in collector.command("doctor").stdout

        result = collector.command("agent", "rekey", shared[:8], "--keep", "copy1")
        assert result.returncode == 0, result.stderr
        assert [machine.say() for machine in machines] == ["rekeyed"] * 3
        assert [machine.say() for machine in machines] == ["ack"] * 3
        ids = {machine.agent_id() for machine in machines}
        assert len(ids | {shared}) == 4
        agents = {each["id"]: each for each in collector.query("agent", "list")}
        assert agents[machines[1].agent_id()]["host_id"] == host
        assert len({agents[one]["host_id"] for one in ids}) == 3
        assert agents[shared]["state"] == "rekeyed"
        # Nobody is cloned any more, however often they come.
        assert [machine.say() for _ in range(2) for machine in machines] == ["ack"] * 6


@pytest.mark.long
def test_a_banned_identity_gives_none_to_its_copies(tmp_path: Path) -> None:
    with Collector.make(tmp_path / "collector") as collector:
        machines = copies_of(join(collector, tmp_path / "image"), tmp_path, 2)
        shared = machines[0].agent_id()
        until_refused(machines, "cloned")
        assert collector.command("agent", "rekey", "--all-clones").returncode == 0
        assert collector.command("agent", "ban", shared[:8]).returncode == 0
        assert [machine.say() for machine in machines] == ["banned"] * 2
        assert collector.command("agent", "rekey", shared[:8]).returncode == 2
        assert machines[0].agent_id() == shared
        assert len(collector.query("agent", "list")) == 1


def test_a_machine_from_an_image_with_other_hardware_enrols_anew_by_its_configured_token(
    tmp_path: Path,
) -> None:
    from keycensus_agent.link_start import LinkStart
    from keycensus_agent.reader.link_client import LinkClient
    from keycensus_agent.relay import FrameKind

    with Collector.make(tmp_path / "collector") as collector:
        other = MachinePrints("0" * 64, "1" * 64)
        identity = join(collector, tmp_path / "agent", machine=other)
        copied = Machine(identity)
        before = copied.agent_id()
        assert copied.say() == "other-machine"
        assert copied.agent_id() == before

        token_file = tmp_path / "token"
        token_file.write_text(collector.enrolment_token())
        start = LinkStart(identity, enrol_address=collector.enrol, token_file=token_file)
        with LinkClient.spawn(start) as link:
            frame = link.receive(40)
            assert frame is not None
            assert frame[0] is FrameKind.OPEN, frame
        assert copied.agent_id() != before
        assert copied.say() == "ack"
        (aside,) = identity.glob("aside-other-machine-*.identity.json")
        assert before in aside.read_text()


# --- many of one image ------------------------------------------------------------------------


def hello_of(number: int, nonce: bytes = b"") -> report_pb2.Hello:
    return report_pb2.Hello(
        protocol_version=1,
        instance=b"i" * 16,
        boot_id=(number + 1).to_bytes(16, "big"),
        nonce=nonce,
        host_facts=inventory_pb2.HostFacts(name=f"copy{number}").SerializeToString(),
    )


async def say(channel: grpc.aio.Channel, hello: report_pb2.Hello) -> report_pb2.ReportResponse:
    stream = report_pb2_grpc.AgentsStub(channel).Report(timeout=120)
    await stream.write(report_pb2.ReportRequest(hello=hello))
    answer = await stream.read()
    assert isinstance(answer, report_pb2.ReportResponse)
    await stream.done_writing()
    return answer


async def first_contact(
    collector: Collector, own: Identity, hello: report_pb2.Hello
) -> report_pb2.ReportResponse:
    """Say hello under an identity's own TLS; as an agent does, come back if the server is busy."""
    for _ in range(10):
        async with own.channel(collector.report) as channel:
            try:
                return await say(channel, hello)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
        await asyncio.sleep(1)
    pytest.fail("the server let nobody in")


async def take_identity(
    channel: grpc.aio.Channel, shared: Identity, hello: report_pb2.Hello
) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate, csr = shared.response.certificate_chain[0], request_of(key)
    at_ms = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
    machine = (hello.boot_id, hello.instance, hello.host_facts)
    proof = enrolment_pb2.RekeyProof(
        certificate=certificate,
        at_unix_ms=at_ms,
        boot_id=hello.boot_id,
        instance=hello.instance,
        signature=sign_rekey(shared.key, certificate, csr, machine, at_ms),
    )
    request = enrolment_pb2.EnrolRequest(rekey=proof, csr=csr, host_facts=hello.host_facts)
    response = await enrolment_pb2_grpc.EnrolmentStub(channel).Enrol(request, timeout=120)
    return Identity(key, response)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_machines_of_one_image_are_put_right_by_one_command(tmp_path: Path) -> None:
    """Over real gRPC and TLS, with scripted agents: a hello each, one command, an identity each."""
    with Collector.make(tmp_path / "collector") as collector:
        asyncio.run(_put_all_right(collector))


async def _put_all_right(collector: Collector) -> None:
    """Say everything under the shared identity over one channel; then each copy has its own."""
    shared = await enrol(
        collector.enrol, collector.ca_file.read_bytes(), collector.enrolment_token()
    )
    anchors = anchors_pem(list(shared.response.trust.current))
    at_once = asyncio.Semaphore(8)
    async with (
        shared.channel(collector.report) as report,
        server_tls_channel(collector.enrol, anchors) as join_port,
    ):

        async def contact(number: int) -> str:
            async with at_once:
                answer = await say(report, hello_of(number))
                return answer.refusal.reason or "ack"

        # The first few take turns until it shows; then everyone is refused.
        for _ in range(3):
            for number in range(3):
                await contact(number)
        reasons = await asyncio.gather(*(contact(number) for number in range(COPIES)))
        assert set(reasons) == {"cloned"}
        assert collector.query("agent", "list")[0]["copies"] == COPIES

        assert len(collector.query("agent", "rekey", "--all-clones")["agents"]) == 1

        async def put_right(number: int) -> str:
            async with at_once:
                hello = hello_of(number)
                assert (await say(report, hello)).refusal.reason == "rekey"
                own = await take_identity(join_port, shared, hello)
                assert (await first_contact(collector, own, hello)).HasField("hello_ack")
                return own.response.agent_id

        own = await asyncio.gather(*(put_right(number) for number in range(COPIES)))
    assert len(set(own)) == COPIES
    agents = collector.query("agent", "list")
    assert sum(each["state"] == "active" for each in agents) == COPIES
    assert len({each["host_id"] for each in agents if each["state"] == "active"}) == COPIES
