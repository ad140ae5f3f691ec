"""Port 8440: what an enrolled agent may do. TLS has asked for its certificate; we look it up.

Nothing that a message says names the agent or host that is meant: the certificate does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

import grpc
import structlog
from sqlalchemy import Connection

from keycensus_collector.authority.admission import Admission
from keycensus_collector.authority.convert import certificate_chain, trust_bundle
from keycensus_collector.authority.csr import requested_key
from keycensus_collector.authority.issuing import Issuing, check_renewal, leave
from keycensus_collector.authority.peer import (
    Peer,
    certificate_of,
    check_peer,
    fingerprint,
    peer_now,
    peer_of,
    read_certificate,
    settle_certificate,
)
from keycensus_collector.authority.readmission import may_be_lost, readmit
from keycensus_collector.authority.refusals import CallContext, answered
from keycensus_collector.authority.standing import ACTIVE
from keycensus_collector.clock import Clock
from keycensus_collector.errors import AuthorityError, Refusal, StoreError
from keycensus_collector.memory import Memory
from keycensus_collector.store.engine import Store
from keycensus_proto.v1 import enrolment_pb2, report_pb2, report_pb2_grpc

_BUSY_SECONDS = 60

_log = structlog.get_logger()


class Reporter(Protocol):
    """Intake, as seen from the port: serves one stream of one agent until it ends."""

    async def serve(
        self,
        requests: AsyncIterator[bytes],
        context: CallContext,
        peer: Peer,
    ) -> None:
        """Read `requests`, which are ReportRequests not decoded, and answer by `context.write`."""
        ...


class AgentsServicer(report_pb2_grpc.AgentsServicer):
    """`keycensus.v1.Agents`. At most `streams` report streams are open at once.

    `admission` says how many begin a second, `memory` whether there is any for another.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        issuing: Issuing,
        reporter: Reporter,
        *,
        streams: int,
        admission: Admission,
        memory: Memory,
    ) -> None:
        self._store = store
        self._clock = clock
        self._issuing = issuing
        self._reporter = reporter
        self._free_streams = streams
        self._admission = admission
        self._memory = memory

    async def Renew(  # noqa: N802 - the name is the protocol's
        self, request: enrolment_pb2.RenewRequest, context: CallContext
    ) -> enrolment_pb2.RenewResponse:
        """Give the calling agent a further certificate (protos/README.md, 4.2)."""
        return await answered(context, self._renew(request, context))

    async def Leave(  # noqa: N802 - the name is the protocol's
        self, request: enrolment_pb2.LeaveRequest, context: CallContext
    ) -> enrolment_pb2.LeaveResponse:
        """End the calling agent's identity; its host's last inventory stays, retired."""
        return await answered(context, self._leave(request, context))

    # The stubs know generators only; a coroutine that writes to its context is as good.
    async def Report(  # type: ignore[override]  # noqa: N802 - the name is the protocol's
        self,
        request_iterator: AsyncIterator[bytes],
        context: CallContext,
    ) -> None:
        """Serve a report stream; a refusal is its last message (protos/README.md, 5 and 8)."""
        try:
            peer = await self._admit(context)
        except (StoreError, AuthorityError) as error:
            _log.error("stream.failed", error_id=error.error_id, error=str(error))
            await _refuse(
                context,
                Refusal(
                    "busy",
                    "the collector can't store anything now; its log says why",
                    retry_after_seconds=_BUSY_SECONDS,
                ),
            )
            return
        except Refusal as refusal:
            _log.info("stream.refused", reason=refusal.reason, peer=context.peer())
            await _refuse(context, refusal)
            return
        self._free_streams -= 1
        try:
            await self._reporter.serve(request_iterator, context, peer)
        finally:
            self._free_streams += 1

    async def _admit(self, context: CallContext) -> Peer:
        self._check_room()
        if self._memory.is_short(asyncio.get_running_loop().time()):
            raise Refusal(
                "busy", "the collector is short of memory", retry_after_seconds=_BUSY_SECONDS
            )
        # Before anything is looked up: that is what the rate is for.
        await self._admission.begin(fingerprint(context))
        peer = await self._peer(context, for_hello=True)
        if peer.is_renewed and peer.standing == ACTIVE:
            await self._store.run_write(
                lambda connection: settle_certificate(connection, peer, peer_now(connection, peer)),
                urgent=True,
            )
        # Again: others were let in while this one waited. From here to its stream nothing waits.
        self._check_room()
        return peer  # one that is not active says by its hello which machine it is, and is refused

    def _check_room(self) -> None:
        if self._free_streams <= 0:
            raise Refusal(
                "busy", "too many agents are connected", retry_after_seconds=_BUSY_SECONDS
            )

    async def _peer(self, context: CallContext, *, for_hello: bool = False) -> Peer:
        """Return who calls; one whose certificate a restored database lost is taken back."""
        deployment = self._issuing.deployment
        try:
            return await peer_of(context, self._store, deployment, for_hello=for_hello)
        except Refusal as refusal:
            if refusal.reason != "unknown" or not await self._readmit(context):
                raise
        return await peer_of(context, self._store, deployment, for_hello=for_hello)

    async def _readmit(self, context: CallContext) -> bool:
        certificate = certificate_of(context)
        presented = read_certificate(certificate, self._issuing.deployment)
        authority, now_ms = self._issuing.authority, self._clock.now_ms()
        if not await self._store.run_read(lambda connection: may_be_lost(connection, certificate)):
            return False
        taken = await self._store.run_write(
            lambda connection: readmit(connection, authority, certificate, presented, now_ms),
            urgent=True,
        )
        if taken:
            _log.warning("agent.readmitted", agent_id=presented.agent_id)
        return taken

    async def _renew(
        self, request: enrolment_pb2.RenewRequest, context: CallContext
    ) -> enrolment_pb2.RenewResponse:
        peer = await self._peer(context)
        key = requested_key(request.csr)
        now_ms = self._clock.now_ms()

        def work(connection: Connection) -> enrolment_pb2.RenewResponse:
            check_peer(connection, peer)
            issued = self._issuing.renew(connection, peer, key, now_ms)
            return enrolment_pb2.RenewResponse(
                certificate_chain=certificate_chain(self._issuing.authority, issued),
                trust=trust_bundle(connection),
                collector_time_unix_ms=now_ms,
            )

        # Asked here already, so that one who repeats itself takes none of the writer's time.
        await self._store.run_read(lambda connection: check_renewal(connection, peer, now_ms))
        response = await self._store.run_write(work, urgent=True)
        _log.info("agent.renewed", agent_id=peer.agent_id)
        return response

    async def _leave(
        self, request: enrolment_pb2.LeaveRequest, context: CallContext
    ) -> enrolment_pb2.LeaveResponse:
        peer = await self._peer(context)
        now_ms = self._clock.now_ms()

        def work(connection: Connection) -> None:
            check_peer(connection, peer)
            leave(connection, peer, request.reason, now_ms)

        await self._store.run_write(work, urgent=True)
        _log.info("agent.left", agent_id=peer.agent_id)
        return enrolment_pb2.LeaveResponse()


def add_agents(servicer: report_pb2_grpc.AgentsServicer, server: grpc.aio.Server) -> None:
    """Let a server serve `keycensus.v1.Agents`, with what comes in a report as bytes.

    The generated function of this purpose decodes each message in the event loop, where a batch of
    thousands of rows would hold up everybody.
    """
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Renew": grpc.unary_unary_rpc_method_handler(
            servicer.Renew,
            request_deserializer=enrolment_pb2.RenewRequest.FromString,
            response_serializer=enrolment_pb2.RenewResponse.SerializeToString,
        ),
        "Leave": grpc.unary_unary_rpc_method_handler(
            servicer.Leave,
            request_deserializer=enrolment_pb2.LeaveRequest.FromString,
            response_serializer=enrolment_pb2.LeaveResponse.SerializeToString,
        ),
        "Report": grpc.stream_stream_rpc_method_handler(
            servicer.Report, response_serializer=report_pb2.ReportResponse.SerializeToString
        ),
    }
    name = report_pb2.DESCRIPTOR.services_by_name["Agents"].full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))


async def _refuse(context: CallContext, refusal: Refusal) -> None:
    await context.write(
        report_pb2.ReportResponse(
            refusal=report_pb2.Refusal(
                reason=refusal.reason,
                text=str(refusal),
                retry_after_seconds=refusal.retry_after_seconds,
            )
        )
    )
