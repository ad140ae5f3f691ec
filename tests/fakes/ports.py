"""The collector's server inside the test's own event loop, with a reporter that only says hello.

For tests of ports, identities and commands; what agents report is tested with real intake.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from keycensus_collector import admin
from keycensus_collector.authority.agents_service import Reporter
from keycensus_collector.authority.peer import Peer
from keycensus_collector.authority.refusals import CallContext
from keycensus_collector.clock import Clock, FixedClock, SystemClock
from keycensus_collector.config import Address, Configuration, IntakeLimits, Listen
from keycensus_collector.deployment import CompanyAuthority, SetUp, set_up
from keycensus_collector.serve import Bound, Parts, Server
from keycensus_collector.store.engine import Store
from keycensus_proto.v1 import report_pb2

FREE = Address("127.0.0.1", 0)


class HelloReporter:
    """Answers each request of a stream with a hello-ack that names the peer."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []

    async def serve(
        self,
        requests: AsyncIterator[report_pb2.ReportRequest],
        context: CallContext,
        peer: Peer,
    ) -> None:
        self.peers.append(peer)
        async for _ in requests:
            answer = report_pb2.HelloAck(deployment=f"{peer.deployment}/{peer.agent_id}")
            await context.write(report_pb2.ReportResponse(hello_ack=answer))


def configuration_in(directory: Path, *, streams: int = 100) -> Configuration:
    """Return a configuration that keeps to `directory` and listens on free ports."""
    return Configuration(
        state_directory=directory,
        database_url=f"sqlite:///{directory / 'keycensus.db'}",
        listen=Listen(FREE, FREE, FREE),
        names=("localhost",),
        limits=IntakeLimits(streams=streams),
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
) -> AsyncIterator[Running]:
    """Set a deployment up in `directory` and serve it."""
    clock = clock or SystemClock()
    configuration = configuration_in(directory, streams=streams)
    made = set_up(configuration, "test", company, clock)
    reporter = HelloReporter()

    def make_reporter(_store: Store, _clock: Clock, _configuration: Configuration) -> Reporter:
        return reporter

    parts = Parts(make_reporter, lambda _store, _clock: FastAPI(), ())
    server = Server(configuration, clock, parts)
    bound = await server.start()
    anchor = (directory / "authority" / "chain.pem").read_bytes()
    anchor_pem = anchor[anchor.rindex(b"-----BEGIN") :]
    try:
        yield Running(configuration, clock, bound, made, reporter, server, anchor_pem)
    finally:
        await server.stop()
