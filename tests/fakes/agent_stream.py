"""A scripted agent: speaks the report stream in memory or over gRPC, honestly or not.

`FakeAgent` knows what it would say (rows, manifests, blobs, sequence, nonce) and the whole dance of
one batch; what it says through is a `Line`. A test may also send any single message itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fakes.databases import new_store
from sqlalchemy import insert, select

from keycensus_agent.model import Gap, Scope, gap_key, place_key
from keycensus_collector.authority.peer import Peer
from keycensus_collector.clock import FixedClock
from keycensus_collector.intake.model import Limits
from keycensus_collector.intake.reporter import Reporter
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import (
    agent,
    agent_certificate,
    authority_certificate,
    deployment,
    host,
    host_state,
)
from keycensus_proto.v1 import inventory_pb2, manifest_pb2, report_pb2

START_MS = 1_790_000_000_000
# A machine that does much else may hold anybody up for seconds; who waits for this long waits in vain.
PATIENCE_SECONDS = 60.0
MANIFEST, CERTIFICATE, SPKI, CSR, CRL = 1, 2, 3, 4, 5
PLACE, USAGE, GAP, HOST = 1, 2, 3, 4


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


# --- lines ------------------------------------------------------------------------------------


class Line(Protocol):
    """One open stream."""

    async def send(self, request: report_pb2.ReportRequest) -> None: ...

    async def receive(self) -> report_pb2.ReportResponse | None:
        """Return the next response, None at the end of the stream."""
        ...

    async def leave(self) -> None:
        """Half-close, and wait until the collector ends the stream."""
        ...


class MemoryLine:
    """A stream of a Reporter, without network."""

    def __init__(self, reporter: Reporter, peer: Peer) -> None:
        self._requests: asyncio.Queue[report_pb2.ReportRequest | None] = asyncio.Queue()
        self._responses: asyncio.Queue[report_pb2.ReportResponse | None] = asyncio.Queue()
        self.serving = asyncio.create_task(self._serve(reporter, peer))

    async def _serve(self, reporter: Reporter, peer: Peer) -> None:
        try:
            await reporter.serve(self._read(), self, peer)
        finally:
            self._responses.put_nowait(None)

    async def _read(self) -> AsyncIterator[bytes]:
        while (request := await self._requests.get()) is not None:
            yield request.SerializeToString()

    async def write(self, message: report_pb2.ReportResponse, /) -> None:
        self._responses.put_nowait(message)

    async def send(self, request: report_pb2.ReportRequest) -> None:
        self._requests.put_nowait(request)

    async def receive(self) -> report_pb2.ReportResponse | None:
        return await asyncio.wait_for(self._responses.get(), PATIENCE_SECONDS)

    async def leave(self) -> None:
        self._requests.put_nowait(None)
        await asyncio.wait_for(self.serving, PATIENCE_SECONDS)

    async def break_off(self) -> None:
        """Vanish, as when the connection is cut."""
        self.serving.cancel()
        await asyncio.wait([self.serving], timeout=PATIENCE_SECONDS)


class GrpcLine:
    """A stream over a stub's `Report()` call."""

    def __init__(self, call: Any) -> None:  # noqa: ANN401 - grpc.aio's call is generic in two types
        self._call = call

    async def send(self, request: report_pb2.ReportRequest) -> None:
        await self._call.write(request)

    async def receive(self) -> report_pb2.ReportResponse | None:
        response = await asyncio.wait_for(self._call.read(), PATIENCE_SECONDS)
        return response if isinstance(response, report_pb2.ReportResponse) else None

    async def leave(self) -> None:
        await self._call.done_writing()
        while await self.receive() is not None:
            pass


# --- what an agent says -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class File:
    """One file's content: the manifest and every blob that it leads to, by hash."""

    manifest: bytes
    blobs: dict[tuple[int, bytes], bytes]


def entry(kind: str, data: bytes, **fields: Any) -> manifest_pb2.Entry:  # noqa: ANN401
    return manifest_pb2.Entry(
        kind=kind, artifact=sha256(data), size=fields.pop("size", len(data)), **fields
    )


def file_of(*ders: bytes, format_: str = "pem") -> File:
    """Return a file that holds certificates."""
    return file_with([(CERTIFICATE, entry("certificate", der), der) for der in ders], format_)


def file_with(items: Sequence[tuple[int, manifest_pb2.Entry, bytes]], format_: str = "pem") -> File:
    data = manifest_pb2.Manifest(
        format=format_, entries=[one for _, one, _ in items]
    ).SerializeToString()
    blobs = {(kind, sha256(der)): der for kind, _, der in items if kind}
    return File(sha256(data), {(MANIFEST, sha256(data)): data, **blobs})


def long_file(*files: File, format_: str = "pem") -> File:
    """Return a file whose manifest is a list of the others as parts."""
    data = manifest_pb2.Manifest(
        format=format_, parts=[file.manifest for file in files]
    ).SerializeToString()
    blobs = {key: blob for file in files for key, blob in file.blobs.items()}
    return File(sha256(data), {(MANIFEST, sha256(data)): data, **blobs})


def place_row(path: bytes, manifest: bytes = b"", **fields: Any) -> bytes:  # noqa: ANN401
    values: dict[str, Any] = {
        "status": "read",
        "format": "pem",
        "mode": 0o644,
        "owner": "root",
        "group": "root",
        "role": "server",
        "use": "live",
        **fields,
    }
    return inventory_pb2.Place(path=path, manifest=manifest, **values).SerializeToString()


def place_change(
    path: bytes,
    row: bytes | None,
    *,
    cause: str = "content",
    key: bytes | None = None,
    skipped: int = 0,
) -> report_pb2.Change:
    change = report_pb2.Change(
        row_class=inventory_pb2.ROW_CLASS_PLACE,
        key=place_key(Scope(), path) if key is None else key,
        cause=cause,
        observed_at_unix_ms=START_MS,
        skipped=skipped,
    )
    if row is None:
        change.gone.reason = "removed"
    else:
        change.row = row
    return change


def gap_change(gap: Gap, *, gone: bool = False) -> report_pb2.Change:
    change = report_pb2.Change(
        row_class=inventory_pb2.ROW_CLASS_GAP, key=gap_key(gap), cause="coverage"
    )
    if gone:
        change.gone.reason = "removed"
    else:
        change.row = gap_row(gap)
    return change


def gap_row(gap: Gap) -> bytes:
    return inventory_pb2.Gap(
        prefix=gap.prefix, reason=gap.reason, detail=gap.detail
    ).SerializeToString()


def listing(
    row_class: int,
    rows: dict[bytes, bytes],
    *,
    complete: bool = True,
    more: bool = False,
) -> report_pb2.ReportRequest:
    """Return one piece of a list; `rows` are row hashes by key."""
    return report_pb2.ReportRequest(
        listing=report_pb2.Listing(
            row_class=inventory_pb2.RowClass.ValueType(row_class),
            rows=[report_pb2.RowHash(key=key, row_hash=rows[key]) for key in sorted(rows)],
            more=more,
            complete=complete,
        )
    )


def batch(
    sequence: int,
    *changes: report_pb2.Change,
    complete: bool = False,
    counters: dict[str, int] | None = None,
) -> report_pb2.ReportRequest:
    return report_pb2.ReportRequest(
        batch=report_pb2.Batch(
            sequence=sequence,
            changes=changes,
            complete=complete,
            counters=report_pb2.Counters(values=counters or {}),
        )
    )


@dataclass(slots=True)
class FakeAgent:
    """One agent's side: its identity, its state, and the dance of offer, blobs, batch, ack."""

    peer: Peer
    instance: bytes = field(default_factory=lambda: os.urandom(16))
    nonce: bytes = b""
    sequence: int = 0
    acknowledged: int = 0
    complete: bool = False
    files: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    offers: int = 0

    def hello(self, **fields: Any) -> report_pb2.ReportRequest:  # noqa: ANN401
        values: dict[str, Any] = {
            "protocol_version": 1,
            "agent_version": "0.1.0",
            "instance": self.instance,
            "boot_id": bytes(16),
            "nonce": self.nonce,
            "complete": self.complete,
            "acknowledged_sequence": self.acknowledged,
            "host_facts": inventory_pb2.HostFacts(name="web1").SerializeToString(),
            "agent_time_unix_ms": START_MS,
            **fields,
        }
        return report_pb2.ReportRequest(hello=report_pb2.Hello(**values))

    async def greet(self, line: Line, **fields: Any) -> report_pb2.HelloAck:  # noqa: ANN401
        """Say hello and keep the nonce."""
        await line.send(self.hello(**fields))
        answer = await line.receive()
        assert answer is not None
        assert answer.WhichOneof("message") == "hello_ack", answer
        self.nonce = answer.hello_ack.nonce
        return answer.hello_ack

    async def offer(self, line: Line, *files: File) -> None:
        """Offer files and send what is wanted, until the offer is satisfied."""
        for file in files:
            self.files |= file.blobs
        number = await self.send_offer(line, [file.manifest for file in files])
        while True:
            answer = await line.receive()
            assert answer is not None
            assert answer.WhichOneof("message") == "want", answer
            assert answer.want.offer == number
            await self.supply(line, answer.want)
            if answer.want.satisfied:
                return

    async def send_offer(self, line: Line, manifests: Sequence[bytes]) -> int:
        self.offers += 1
        await line.send(
            report_pb2.ReportRequest(offer=report_pb2.Offer(offer=self.offers, manifests=manifests))
        )
        return self.offers

    async def supply(self, line: Line, want: report_pb2.Want) -> None:
        """Send what is wanted, and say what is not there."""
        lacking: list[report_pb2.WantedBlob] = []
        for wanted in want.blobs:
            data = self.files.get((wanted.kind, wanted.hash))
            if data is None:
                lacking.append(wanted)
                continue
            self.sent.append((wanted.kind, wanted.hash))
            await line.send(blob(wanted.kind, wanted.hash, data, offer=want.offer))
        if lacking:
            message = report_pb2.CannotSupply(offer=want.offer, blobs=lacking, reason="unknown")
            await line.send(report_pb2.ReportRequest(cannot_supply=message))

    async def send_batch(
        self,
        line: Line,
        *changes: report_pb2.Change,
        complete: bool = False,
        counters: dict[str, int] | None = None,
    ) -> report_pb2.Ack:
        """Send the next batch and return its ack."""
        self.sequence += 1
        request = batch(self.sequence, *changes, complete=complete, counters=counters)
        return await self.send_again(line, request)

    async def send_again(self, line: Line, request: report_pb2.ReportRequest) -> report_pb2.Ack:
        await line.send(request)
        answer = await line.receive()
        assert answer is not None
        assert answer.WhichOneof("message") == "ack", answer
        self.acknowledged = max(self.acknowledged, answer.ack.sequence)
        return answer.ack

    async def report(
        self,
        line: Line,
        places: Mapping[bytes, File | None],
        *,
        complete: bool = False,
        cause: str = "content",
        **fields: Any,  # noqa: ANN401
    ) -> report_pb2.Ack:
        """Report that each path holds a file, or is gone; the whole dance."""
        files = [file for file in places.values() if file is not None]
        if files:
            await self.offer(line, *files)
        changes = [
            place_change(
                path,
                None if file is None else place_row(path, file.manifest, **fields),
                cause=cause,
            )
            for path, file in places.items()
        ]
        return await self.send_batch(line, *changes, complete=complete)


def blob(kind: int, hash_: bytes, data: bytes, *, offer: int = 1) -> report_pb2.ReportRequest:
    return report_pb2.ReportRequest(
        blob=report_pb2.Blob(
            offer=offer, kind=report_pb2.BlobKind.ValueType(kind), hash=hash_, data=data
        )
    )


# --- a collector to say it to -------------------------------------------------------------------


class Desk:
    """A store with enrolled agents, and a reporter that serves them in memory."""

    def __init__(self, store: Store, limits: Limits | None = None) -> None:
        self.store = store
        self.clock = FixedClock(START_MS)
        self.limits = limits or Limits()
        self.reporter = Reporter(store, self.clock, self.limits)
        with store.write() as connection:
            if connection.execute(select(deployment.c.name)).first() is None:
                connection.execute(
                    insert(deployment).values(
                        deployment_no=1,
                        name="test",
                        database_id=bytes(range(16)),
                        created_ms=START_MS,
                    )
                )
                connection.execute(
                    insert(authority_certificate).values(
                        sha256=sha256(b"anchor"),
                        der=b"anchor",
                        state="current",
                        is_anchor=True,
                        added_ms=START_MS,
                    )
                )

    @classmethod
    def create(cls, directory: Path, limits: Limits | None = None) -> Desk:
        return cls(new_store(directory), limits)

    def restart(self) -> None:
        """Forget everything that is not in the store."""
        self.reporter = Reporter(self.store, self.clock, self.limits)

    def enrol(self, name: str = "web1", *, host_no: int | None = None) -> FakeAgent:
        """Enrol an agent, on a new host unless one is named."""
        with self.store.write() as connection:
            if host_no is None:
                host_no = connection.execute(
                    insert(host)
                    .values(
                        host_id=f"host-{name}",
                        name=name,
                        state="active",
                        created_ms=START_MS,
                        last_seen_ms=START_MS,
                        complete=False,
                        facts=b"",
                        operating_system="",
                        kernel="",
                        agent_version="",
                        labels='{"token": {"env": "prod"}}',
                        counters="{}",
                        clock_skew_ms=0,
                    )
                    .returning(host.c.host_no)
                ).scalar_one()
                connection.execute(
                    insert(host_state).values(
                        host_no=host_no, from_ms=START_MS, state="active", cause="enrolled"
                    )
                )
            agent_no = connection.execute(
                insert(agent)
                .values(
                    agent_id=f"agent-{name}-{os.urandom(4).hex()}",
                    host_no=host_no,
                    state="active",
                    state_reason="",
                    enrolled_ms=START_MS,
                    enrolled_by="",
                )
                .returning(agent.c.agent_no)
            ).scalar_one()
            agent_id = connection.execute(
                select(agent.c.agent_id).where(agent.c.agent_no == agent_no)
            ).scalar_one()
        serial = self.issue(agent_no)
        return FakeAgent(Peer(agent_no, agent_id, host_no, serial, "test"))

    def issue(self, agent_no: int, state: str = "current") -> str:
        serial = os.urandom(8).hex()
        with self.store.write() as connection:
            connection.execute(
                insert(agent_certificate).values(
                    serial=serial,
                    agent_no=agent_no,
                    sha256=sha256(serial.encode()),
                    public_key_hash=bytes(32),
                    state=state,
                    not_after_ms=START_MS * 2,
                    issued_ms=self.clock.now_ms(),
                )
            )
        return serial

    def line(self, who: FakeAgent) -> MemoryLine:
        return MemoryLine(self.reporter, who.peer)

    async def connect(self, who: FakeAgent, **fields: Any) -> MemoryLine:  # noqa: ANN401
        """Open a stream and say hello."""
        line = self.line(who)
        await who.greet(line, **fields)
        return line

    def rows(self, statement: Any) -> list[Any]:  # noqa: ANN401 - any select
        with self.store.read() as connection:
            return list(connection.execute(statement).all())

    def one(self, statement: Any) -> Any:  # noqa: ANN401 - any select
        with self.store.read() as connection:
            return connection.execute(statement).scalar_one()


async def expect(line: Line, kind: str) -> Any:  # noqa: ANN401 - one of the responses
    """Return the next response, which must be of that kind."""
    answer = await line.receive()
    assert answer is not None, f"the stream ended; expected {kind}"
    assert answer.WhichOneof("message") == kind, answer
    return getattr(answer, kind)
