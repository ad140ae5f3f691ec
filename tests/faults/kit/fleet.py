"""A fleet of simulated agents in one process: the real protocol over real mutual TLS.

Their certificates are issued by the deployment's own authority and written into its database at
once, while the collector is down: 5,000 enrolments would measure enrolment. (`joining.enrol` lets
single agents in by the front door.) When to come back is decided by the agent's own `back_off`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import os
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.agent_stream import File, place_change, place_row
from fakes.collector import Collector
from fakes.joining import key_pem
from sqlalchemy import Connection, insert, select

from keycensus_agent.reader.report.sync import Outcome
from keycensus_agent.reader.schedule import back_off
from keycensus_collector.authority.authority import issue_agent_certificate, spki, to_ms
from keycensus_collector.authority.local import load as load_authority
from keycensus_collector.authority.peer import serial_text
from keycensus_collector.config import load as load_configuration
from keycensus_collector.deployment import authority_directory
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import (
    agent,
    agent_certificate,
    deployment,
    host,
    host_state,
)
from keycensus_proto.v1 import inventory_pb2, report_pb2, report_pb2_grpc

_CALL_SECONDS = 60.0
# As the agent's own channel: no reconnecting behind our back, a connection for each attempt.
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who one simulated agent is. PEM; `roots` are the deployment's anchors."""

    host_no: int
    agent_no: int
    name: str
    key: bytes = field(repr=False)
    chain: bytes
    roots: bytes


def issue_fleet(collector: Collector, count: int) -> list[Credentials]:
    """Enrol `count` agents behind the back of a collector that is not running."""
    configuration = load_configuration(collector.config_file)
    now = dt.datetime.now(dt.UTC)
    authority = load_authority(authority_directory(configuration), now)
    chain = b"".join(each.public_bytes(Encoding.PEM) for each in authority.chain)
    roots = authority.chain[-1].public_bytes(Encoding.PEM)
    issued: list[Credentials] = []
    with Store.open(configuration.database_url) as store, store.write() as connection:
        name = connection.execute(select(deployment.c.name)).scalar_one()
        for number in range(count):
            key = ec.generate_private_key(ec.SECP256R1())
            host_name, agent_id = f"sim{number}.example", str(uuid.uuid4())
            certificate = issue_agent_certificate(
                authority, key.public_key(), deployment=name, agent_id=agent_id, now=now
            )
            host_no, agent_no = _insert(connection, host_name, agent_id, certificate)
            pem = certificate.public_bytes(Encoding.PEM) + chain
            issued.append(Credentials(host_no, agent_no, host_name, key_pem(key), pem, roots))
    return issued


def _insert(
    connection: Connection, name: str, agent_id: str, certificate: x509.Certificate
) -> tuple[int, int]:
    """Write one host with its agent and certificate; return their numbers."""
    now_ms = time.time_ns() // 1_000_000
    host_no = connection.execute(
        insert(host)
        .values(
            host_id=str(uuid.uuid4()),
            name=name,
            state="active",
            created_ms=now_ms,
            last_seen_ms=now_ms,
            complete=False,
            facts=b"",
            operating_system="",
            kernel="",
            agent_version="",
            labels='{"token": {}, "host": {}}',
            counters="{}",
            clock_skew_ms=0,
        )
        .returning(host.c.host_no)
    ).scalar_one()
    connection.execute(
        insert(host_state).values(host_no=host_no, from_ms=now_ms, state="active", cause="enrol")
    )
    agent_no = connection.execute(
        insert(agent)
        .values(
            agent_id=agent_id,
            host_no=host_no,
            state="active",
            state_reason="",
            enrolled_ms=now_ms,
            enrolled_by="",
        )
        .returning(agent.c.agent_no)
    ).scalar_one()
    connection.execute(
        insert(agent_certificate).values(
            serial=serial_text(certificate.serial_number),
            agent_no=agent_no,
            sha256=hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest(),
            public_key_hash=hashlib.sha256(spki(certificate)).digest(),
            state="current",
            not_after_ms=to_ms(certificate.not_valid_after_utc),
            issued_ms=now_ms,
        )
    )
    return host_no, agent_no


class EndedError(Exception):
    """A visit broke off: `reason` in the agent's words, `retry_after` seconds if it was asked for."""

    def __init__(self, reason: str, retry_after: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


@dataclass(slots=True)
class Visit:
    """When (monotonic seconds) a visit began, stood, was let in, was acknowledged."""

    began: float
    connected: float = 0.0
    greeted: float = 0.0
    acknowledged: float = 0.0


@dataclass(slots=True)
class SimulatedAgent:
    """One agent's state towards the collector, and its visits there.

    `wanted` is what it holds by path, `acknowledged` what the collector has said to have committed:
    the oracle compares both with the inventory.
    """

    credentials: Credentials
    instance: bytes = field(default_factory=lambda: os.urandom(16))
    nonce: bytes = b""
    sequence: int = 0
    stored: int = 0
    wanted: dict[bytes, File] = field(default_factory=dict)
    acknowledged: dict[bytes, File] = field(default_factory=dict)
    repeated: int = 0
    _waiting: tuple[report_pb2.ReportRequest, dict[bytes, File]] | None = None
    _offers: int = 0

    @property
    def is_waiting(self) -> bool:
        """Whether a batch was sent, or was about to be, and its ack has not come."""
        return self._waiting is not None

    @asynccontextmanager
    async def stream(self, address: str, visit: Visit) -> AsyncIterator[Conversation]:
        """Connect, say hello, give the conversation, and leave. EndedError if it breaks off."""
        own = self.credentials
        secret = grpc.ssl_channel_credentials(own.roots, own.key, own.chain)
        async with grpc.aio.secure_channel(address, secret, options=_OPTIONS) as channel:
            call = report_pb2_grpc.AgentsStub(channel).Report(timeout=_CALL_SECONDS * 20)
            conversation = Conversation(call)
            try:
                await self._greet(conversation, visit)
                yield conversation
                await conversation.leave()
            except grpc.aio.AioRpcError as error:
                raise EndedError(error.code().name) from None
            except (asyncio.InvalidStateError, TimeoutError) as error:
                raise EndedError(type(error).__name__) from None
            finally:
                call.cancel()

    async def visit(self, address: str, hold_seconds: float = 0.0) -> Visit:
        """Report what is not acknowledged, stay for a while, and leave."""
        visit = Visit(time.monotonic())
        async with self.stream(address, visit) as conversation:
            await self.report(conversation)
            visit.acknowledged = time.monotonic()
            await asyncio.sleep(hold_seconds)
        return visit

    async def _greet(self, conversation: Conversation, visit: Visit) -> None:
        hello = report_pb2.Hello(
            protocol_version=1,
            agent_version="0.1.0",
            instance=self.instance,
            boot_id=bytes(16),
            nonce=self.nonce,
            complete=True,
            acknowledged_sequence=self.stored,
            host_facts=inventory_pb2.HostFacts(name=self.credentials.name).SerializeToString(),
            agent_time_unix_ms=time.time_ns() // 1_000_000,
        )
        await conversation.send(report_pb2.ReportRequest(hello=hello))
        visit.connected = time.monotonic()
        answer = (await conversation.receive("hello_ack")).hello_ack
        visit.greeted = time.monotonic()
        self.nonce = answer.nonce
        if self._waiting is not None and answer.last_sequence >= self.sequence:
            # Committed, and the ack was lost: the collector tells it now (protos, section 6).
            assert any(ack.sequence == self.sequence for ack in answer.lost_acks)
            self.repeated += 1
            self._settle()

    async def report(self, conversation: Conversation) -> None:
        """Send the batch that was fixed before, then what differs, each until its ack."""
        if self._waiting is None:
            changed = {
                path: file
                for path, file in self.wanted.items()
                if self.acknowledged.get(path) != file
            }
            if not changed:
                return
            self.sequence += 1
            changes = [
                place_change(path, place_row(path, f.manifest)) for path, f in changed.items()
            ]
            batch = report_pb2.Batch(sequence=self.sequence, changes=changes)
            self._waiting = report_pb2.ReportRequest(batch=batch), changed
        request, changed = self._waiting
        await self._offer(conversation, list(changed.values()))
        await conversation.send(request)
        ack = (await conversation.receive("ack")).ack
        assert ack.sequence == self.sequence
        assert not ack.items, ack
        self._settle()

    def _settle(self) -> None:
        assert self._waiting is not None
        self.acknowledged |= self._waiting[1]
        self.stored = self.sequence
        self._waiting = None

    async def _offer(self, conversation: Conversation, files: list[File]) -> None:
        self._offers += 1
        manifests = list(dict.fromkeys(file.manifest for file in files))
        offer = report_pb2.Offer(offer=self._offers, manifests=manifests)
        await conversation.send(report_pb2.ReportRequest(offer=offer))
        blobs = {key: data for file in files for key, data in file.blobs.items()}
        while True:
            want = (await conversation.receive("want")).want
            for wanted in want.blobs:
                blob = report_pb2.Blob(
                    offer=want.offer,
                    kind=wanted.kind,
                    hash=wanted.hash,
                    data=blobs[wanted.kind, wanted.hash],
                )
                await conversation.send(report_pb2.ReportRequest(blob=blob))
            if want.satisfied:
                return


class Conversation:
    """An open stream; every ending but our own is an EndedError."""

    def __init__(self, call: Any) -> None:  # noqa: ANN401 - grpc.aio's call is generic in two types
        self._call = call

    async def send(self, request: report_pb2.ReportRequest) -> None:
        """Send one message."""
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                await self._call.write(request)
        except asyncio.InvalidStateError:
            # The stream has ended; its last message says why.
            await self.receive("nothing")

    async def receive(self, kind: str) -> report_pb2.ReportResponse:
        """Return the next message, which must be of that kind."""
        async with asyncio.timeout(_CALL_SECONDS):
            answer = await self._call.read()
        if not isinstance(answer, report_pb2.ReportResponse):
            raise EndedError("ended")
        if answer.WhichOneof("message") == "refusal":
            raise EndedError(answer.refusal.reason, answer.refusal.retry_after_seconds)
        if answer.WhichOneof("message") != kind:
            raise EndedError(f"{answer.WhichOneof('message')} instead of {kind}")
        return answer

    async def leave(self) -> None:
        """Half-close, and wait for the collector's end."""
        await self._call.done_writing()
        async with asyncio.timeout(_CALL_SECONDS):
            while isinstance(await self._call.read(), report_pb2.ReportResponse):
                pass


@dataclass(frozen=True, slots=True)
class Returned:
    """How one agent came back: seconds after the loss at which it tried, and was acknowledged."""

    tries: tuple[float, ...]
    served: float
    refused: int
    visit: Visit


async def come_back(
    member: SimulatedAgent, address: str, lost_at: float, dice: random.Random, scale: float = 1.0
) -> Returned:
    """Reconnect as the agent's daemon does after a loss, until the collector has everything.

    `scale` shortens every wait, for tests that can't take minutes.
    """
    tries: list[float] = []
    failures, refused = 1, 0
    outcome = Outcome("unreachable")
    while True:
        await asyncio.sleep(back_off(failures, outcome, dice.random()) * scale)
        tries.append(time.monotonic() - lost_at)
        try:
            visit = await member.visit(address)
        except EndedError as error:
            failures += 1
            refused += error.reason == "busy"
            outcome = Outcome(error.reason, retry_after_seconds=error.retry_after)
            continue
        return Returned(tuple(tries), visit.acknowledged - lost_at, refused, visit)
