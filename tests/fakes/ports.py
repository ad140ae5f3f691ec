"""The collector's server inside the test's own event loop, with a reporter that only says hello.

For tests of ports, identities and commands; what agents report is tested with real intake.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.joining import Identity, enrol, request_of
from fastapi import FastAPI

from keycensus_collector import admin
from keycensus_collector.authority.agents_service import Reporter
from keycensus_collector.authority.peer import Peer
from keycensus_collector.authority.refusals import CallContext
from keycensus_collector.authority.standing import ACTIVE, ended
from keycensus_collector.clock import Clock, FixedClock, SystemClock
from keycensus_collector.config import Address, Configuration, IntakeLimits, Listen
from keycensus_collector.deployment import CompanyAuthority, SetUp, set_up
from keycensus_collector.serve import Bound, Parts, Server
from keycensus_collector.store.engine import Store
from keycensus_proto.v1 import enrolment_pb2, inventory_pb2, report_pb2, report_pb2_grpc

FREE = Address("127.0.0.1", 0)
_WRITE_FAILED = "Internal error from Core"


class HelloReporter:
    """Answers each request of a stream with a hello-ack that names the peer."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []

    async def serve(
        self,
        requests: AsyncIterator[bytes],
        context: CallContext,
        peer: Peer,
    ) -> None:
        self.peers.append(peer)
        async for _ in requests:
            if peer.standing != ACTIVE:
                refusal = ended(peer.standing, peer.agent_id)
                said = report_pb2.Refusal(reason=refusal.reason, text=str(refusal))
                await context.write(report_pb2.ReportResponse(refusal=said))
                return
            answer = report_pb2.HelloAck(deployment=f"{peer.deployment}/{peer.agent_id}")
            await context.write(report_pb2.ReportResponse(hello_ack=answer))


def configuration_in(
    directory: Path, *, streams: int = 100, streams_per_second: int = 100
) -> Configuration:
    """Return a configuration that keeps to `directory` and listens on free ports."""
    return Configuration(
        state_directory=directory,
        database_url=f"sqlite:///{directory / 'keycensus.db'}",
        listen=Listen(FREE, FREE, FREE),
        names=("localhost",),
        limits=IntakeLimits(streams=streams, streams_per_second=streams_per_second),
    )


@dataclass(frozen=True)
class Running:
    """A server that runs, and what a test needs to talk to it."""

    configuration: Configuration
    clock: Clock
    bound: Bound
    made: SetUp
    reporter: HelloReporter
    server: Server
    anchor_pem: bytes

    def run(self, operation: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Run an operation through the socket; not from the event loop's own thread."""
        return admin.call(self.configuration, self.clock, operation, arguments)


@asynccontextmanager
async def running_server(
    directory: Path,
    *,
    company: CompanyAuthority | None = None,
    clock: FixedClock | SystemClock | None = None,
    streams: int = 100,
    streams_per_second: int = 100,
    made: SetUp | None = None,
) -> AsyncIterator[Running]:
    """Set a deployment up in `directory`, if it is not `made` yet, and serve it."""
    clock = clock or SystemClock()
    configuration = configuration_in(
        directory, streams=streams, streams_per_second=streams_per_second
    )
    made = made or set_up(configuration, "test", company, clock)
    reporter = HelloReporter()

    def make_reporter(_store: Store, _clock: Clock, _configuration: Configuration) -> Reporter:
        return reporter

    parts = Parts(make_reporter, lambda *_: FastAPI(), ())
    server = Server(configuration, clock, parts)
    bound = await server.start()
    anchor = (directory / "authority" / "chain.pem").read_bytes()
    anchor_pem = anchor[anchor.rindex(b"-----BEGIN") :]
    try:
        yield Running(configuration, clock, bound, made, reporter, server, anchor_pem)
    finally:
        await server.stop()


async def run(running: Running, operation: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
    """Run an operation through the server's socket, from its own event loop."""
    return await asyncio.to_thread(running.run, operation, **arguments)


async def token(running: Running, **arguments: object) -> str:
    return str((await run(running, "token.create", **arguments))["token"])


async def join(
    running: Running, text: str | None = None, *, name: str = "host.example"
) -> Identity:
    facts = inventory_pb2.HostFacts(name=name, machine_hash=bytes(32))
    text = text or await token(running)
    return await enrol(str(running.bound.enrol), running.anchor_pem, text, facts=facts)


async def refusal(work: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await work
    return raised.value


async def hello(running: Running, identity: Identity) -> report_pb2.ReportResponse:
    """Say hello on a new stream and return the answer.

    A call that ends while its client writes may lose its status in grpcio, which then tells of an
    error of its own (_WRITE_FAILED); so that is tried again, and every other status is raised.
    """
    for _ in range(10):
        try:
            return await _hello(running, identity)
        except grpc.aio.AioRpcError as error:
            if error.details() != _WRITE_FAILED:
                raise
    raise AssertionError("grpcio lost the status of ten calls")


async def _hello(running: Running, identity: Identity) -> report_pb2.ReportResponse:
    async with identity.channel(str(running.bound.report)) as channel:
        stream = report_pb2_grpc.AgentsStub(channel).Report(timeout=20)
        # The refusal may be here before the hello is out.
        with suppress(asyncio.InvalidStateError):
            await stream.write(report_pb2.ReportRequest(hello=report_pb2.Hello()))
        answer = await stream.read()
        assert isinstance(answer, report_pb2.ReportResponse)
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        return answer


async def renew(running: Running, identity: Identity) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    async with identity.channel(str(running.bound.report)) as channel:
        answer = await report_pb2_grpc.AgentsStub(channel).Renew(
            enrolment_pb2.RenewRequest(csr=request_of(key)), timeout=20
        )
    response = enrolment_pb2.EnrolResponse()
    response.CopyFrom(identity.response)
    del response.certificate_chain[:]
    response.certificate_chain.extend(answer.certificate_chain)
    return Identity(key, response)
