"""The collector's one process: three ports, the workers behind them, and an orderly end.

Start, in this order, so that whatever is wrong is said before anything answers:
 1. the database (under its lock, upgraded if it is older), the authority, the server's certificate;
 2. the three ports and the operators' socket;
 3. the workers: catalogue, owners, silent hosts, renewal of the server's certificate.
An end on SIGTERM or SIGINT takes at most ten seconds: no new calls, those under way get a moment,
then the database is closed. What was not acknowledged comes again.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

import grpc
import structlog
import uvicorn
from starlette.types import ASGIApp

from keycensus_collector.access.syslog import Forwarder
from keycensus_collector.admin import AdminServer
from keycensus_collector.authority.admission import Admission
from keycensus_collector.authority.agents_service import AgentsServicer, Reporter, add_agents
from keycensus_collector.authority.authority import from_ms
from keycensus_collector.authority.enrolment import EnrolmentServicer
from keycensus_collector.authority.issuing import Issuing
from keycensus_collector.authority.keeper import AuthorityKeeper, registered
from keycensus_collector.authority.readmission import note_start
from keycensus_collector.authority.rollover import adopt
from keycensus_collector.clock import Clock
from keycensus_collector.collection import collect_seldom
from keycensus_collector.config import Address, Configuration, enrol_address
from keycensus_collector.deployment import (
    Deployment,
    admin_socket,
    read_deployment,
)
from keycensus_collector.errors import AuthorityError, KeycensusError
from keycensus_collector.imports.known_hosts import settle_known_hosts
from keycensus_collector.listening import bind_grpc, bind_tcp, enrol_options, report_options
from keycensus_collector.memory import Memory, use_few_arenas
from keycensus_collector.revocation.files import LOOK_SECONDS, ListFiles
from keycensus_collector.silence import mark_silent
from keycensus_collector.store.duties import Duties
from keycensus_collector.store.engine import Store
from keycensus_collector.tls import ServerTls
from keycensus_proto.v1 import enrolment_pb2_grpc

_GRACE_SECONDS = 2.0
_WEB_GRACE_SECONDS = 2
_WORKER_SECONDS = 2.0
_SILENCE_CHECK_SECONDS = 60.0
_CERTIFICATE_CHECK_SECONDS = 3600.0
_AUTHORITY_CHECK_SECONDS = 5.0

_OTHER_AUTHORITY = (
    "another authority signs by the database than the one in {where}/authority; copy the directory "
    "authority from the machine where it was activated, with its owner and modes"
)

_log = structlog.get_logger()


class Worker(Protocol):
    """Something that runs until it is cancelled."""

    async def run(self) -> None:
        """Work."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the server is put together from; tests put in others."""

    reporter: Callable[[Store, Clock, Configuration], Reporter]
    application: Callable[[Store, Clock, Configuration], ASGIApp]
    workers: tuple[Callable[[Store, Clock], Worker], ...]


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a running server really listens."""

    enrol: Address
    report: Address
    web: Address

    def as_text(self) -> dict[str, str]:
        """Return each address as "HOST:PORT" by its name."""
        return {"enrol": str(self.enrol), "report": str(self.report), "web": str(self.web)}


def standard_parts() -> Parts:
    """Return the collector's own parts."""
    from keycensus_collector.catalogue.worker import Worker as CatalogueWorker
    from keycensus_collector.intake.model import Limits
    from keycensus_collector.intake.reporter import Reporter as IntakeReporter
    from keycensus_collector.inventory.keeper import Keeper
    from keycensus_collector.ownership.worker import Worker as OwnershipWorker
    from keycensus_collector.revocation.worker import Worker as RevocationWorker
    from keycensus_collector.web.site import create_front

    def reporter(store: Store, clock: Clock, configuration: Configuration) -> Reporter:
        limits = configuration.limits
        return IntakeReporter(
            store,
            clock,
            Limits(
                batch_credit=limits.batch_credit,
                heartbeat_seconds=limits.heartbeat_seconds,
                linger_seconds=limits.linger_seconds,
                messages_per_second=limits.messages_per_second,
                batches_per_second=limits.batches_per_second,
                rows_per_second=limits.rows_per_second,
                rows_per_day=limits.rows_per_day,
                rows_per_host=limits.rows_per_host,
                blob_bytes_per_day=limits.blob_mib_per_day * 1024 * 1024,
            ),
        )

    def application(store: Store, clock: Clock, configuration: Configuration) -> ASGIApp:
        return create_front(store, clock, configuration.sign_in, enrol_address(configuration))

    workers = (CatalogueWorker, OwnershipWorker, RevocationWorker, Keeper)
    return Parts(reporter, application, workers)


class Server:
    """The running collector: `start`, `wait`, `stop`."""

    def __init__(self, configuration: Configuration, clock: Clock, parts: Parts) -> None:
        self._configuration = configuration
        self._clock = clock
        self._parts = parts
        self.tls: ServerTls | None = None
        self._failed = asyncio.Event()
        self._failure: BaseException | None = None
        self._workers: list[asyncio.Task[None]] = []
        # What `stop` undoes, the last first.
        self._closing = AsyncExitStack()

    async def start(self) -> Bound:
        """Open everything and begin to serve; on an error what was opened is closed again.

        Raises StoreError, AuthorityError or AddressError.
        """
        try:
            return await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> Bound:
        store, deployment, authority = self._open()  # 1
        tls = self.tls = ServerTls(self._configuration, authority, self._clock)
        issuing = Issuing(authority, deployment.name)
        report = await self._serve_agents(store, issuing, tls)  # 2
        enrol = await self._serve_enrolment(store, issuing, tls, report.port)
        web = self._serve_web(store, tls)
        follow = self._authority_follower(store, authority, tls)
        operators = AdminServer(
            store, authority, self._clock, admin_socket(self._configuration), follow
        )
        await operators.start()
        self._closing.push_async_callback(operators.stop)
        self._start_workers(store, tls, follow)  # 3
        bound = Bound(enrol, report, web)
        _log.info("serve.started", deployment=deployment.name, **bound.as_text())
        return bound

    async def wait(self, stopping: asyncio.Event) -> None:
        """Serve until `stopping` is set; raise what made a part of the server fail, if one does."""
        waits = [asyncio.create_task(event.wait()) for event in (stopping, self._failed)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """End: no new calls, those under way get a moment, workers stop, the database closes."""
        for task in self._workers:
            task.cancel()
        if self._workers:
            await asyncio.wait(self._workers, timeout=_WORKER_SECONDS)
        await self._closing.aclose()

    def _open(self) -> tuple[Store, Deployment, AuthorityKeeper]:
        store = Store.open(
            self._configuration.database_url,
            upgrade=True,
            cache_mib=self._configuration.cache_mib,
        )
        self._closing.push_async_callback(asyncio.to_thread, store.close)
        with store.read() as connection:
            deployment = read_deployment(connection)
            rows = registered(connection)
        now_ms = self._clock.now_ms()
        keeper = AuthorityKeeper(self._configuration.state_directory, rows, from_ms(now_ms))
        if not keeper.is_known and store.is_shared:
            raise AuthorityError(_OTHER_AUTHORITY.format(where=self._configuration.state_directory))
        if not keeper.is_known:
            _log.warning("authority.database_is_older")
            with store.write() as connection:
                adopt(connection, keeper.chain, now_ms)
                rows = registered(connection)
        keeper.refresh(rows, from_ms(now_ms))
        with store.write() as connection:
            note_start(connection, now_ms)
        return store, deployment, keeper

    def _authority_follower(
        self, store: Store, authority: AuthorityKeeper, tls: ServerTls
    ) -> Callable[[], Awaitable[None]]:
        """Return what takes up a roll-over, whichever process has done it."""

        async def follow() -> None:
            rows = await store.run_read(registered)
            now = from_ms(self._clock.now_ms())
            if await asyncio.to_thread(authority.refresh, rows, now):
                await tls.renew_if_due()
                _log.info("authority.changed")
            if store.is_shared and not authority.is_known:
                # Another collector has activated one whose key is not here: sign nothing any more.
                where = self._configuration.state_directory
                self._fail(AuthorityError(_OTHER_AUTHORITY.format(where=where)))

        return follow

    async def _serve_agents(self, store: Store, issuing: Issuing, tls: ServerTls) -> Address:
        reporter = self._parts.reporter(store, self._clock, self._configuration)
        limits = self._configuration.limits
        server = grpc.aio.server(options=report_options(limits.streams))
        servicer = AgentsServicer(
            store,
            self._clock,
            issuing,
            reporter,
            streams=limits.streams,
            admission=Admission(limits.streams_per_second),
            memory=Memory(limits.memory_mib * 1024 * 1024),
        )
        add_agents(servicer, server)
        credentials = tls.grpc_credentials(ask_for_client=True)
        address = self._configuration.listen.report
        return await self._start_grpc(server, address, credentials, "listen.report")

    async def _serve_enrolment(
        self, store: Store, issuing: Issuing, tls: ServerTls, report_port: int
    ) -> Address:
        server = grpc.aio.server(options=enrol_options())
        enrolment_pb2_grpc.add_EnrolmentServicer_to_server(
            EnrolmentServicer(store, self._clock, issuing, report_port), server
        )
        credentials = tls.grpc_credentials(ask_for_client=False)
        address = self._configuration.listen.enrol
        return await self._start_grpc(server, address, credentials, "listen.enrol")

    async def _start_grpc(
        self,
        server: grpc.aio.Server,
        address: Address,
        credentials: grpc.ServerCredentials,
        key: str,
    ) -> Address:
        bound = bind_grpc(server, address, credentials, key)
        await server.start()
        self._closing.push_async_callback(server.stop, _GRACE_SECONDS)
        return bound

    def _serve_web(self, store: Store, tls: ServerTls) -> Address:
        address = self._configuration.listen.web
        application = self._parts.application(store, self._clock, self._configuration)
        listener = bind_tcp(address, "listen.web")
        server = _WebServer(application, tls.web)
        task = self._begin(server.serve([listener]))

        async def stop() -> None:
            server.should_exit = True
            await asyncio.wait([task], timeout=_WEB_GRACE_SECONDS + 1)
            task.cancel()
            listener.close()

        self._closing.push_async_callback(stop)
        return Address(address.host, listener.getsockname()[1])

    def _start_workers(
        self, store: Store, tls: ServerTls, follow_authority: Callable[[], Awaitable[None]]
    ) -> None:
        started_ms = self._clock.now_ms()
        heartbeat_seconds = self._configuration.limits.heartbeat_seconds
        duties = Duties(store)

        async def watch_silence() -> None:
            if not await duties.is_ours("silence"):
                return
            silent = await store.run_write(
                lambda connection: mark_silent(
                    connection,
                    now_ms=self._clock.now_ms(),
                    listening_since_ms=started_ms,
                    heartbeat_seconds=heartbeat_seconds,
                )
            )
            if silent:
                _log.info("hosts.silent", count=silent)
            await store.run_write(
                lambda connection: settle_known_hosts(connection, self._clock.now_ms())
            )

        for make in self._parts.workers:
            self._work(make(store, self._clock).run())
        lists = self._configuration.revocation
        if lists.files or lists.directories:
            files = ListFiles(store, self._clock, lists.files, lists.directories)
            self._work(_every(LOOK_SECONDS, files.look))
        target = self._configuration.audit.syslog
        if target is not None:
            self._work(Forwarder(store, duties, target).run())
        self._work(_every(_SILENCE_CHECK_SECONDS, watch_silence))
        self._work(_every(_CERTIFICATE_CHECK_SECONDS, tls.renew_if_due))
        self._work(_every(_AUTHORITY_CHECK_SECONDS, follow_authority))

    def _work(self, work: Coroutine[object, object, None]) -> None:
        self._workers.append(self._begin(work))

    def _begin(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run `work` beside the others; if it fails, `wait` raises its error."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._failed.set()


class _WebServer(uvicorn.Server):
    """Serves the REST application over TLS; signals are the whole process's, not its own."""

    def __init__(self, application: ASGIApp, context: ssl.SSLContext) -> None:
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=_WEB_GRACE_SECONDS,
            ssl_context_factory=lambda _config, _default: context,
        )
        super().__init__(config)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


async def _every(seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    """Run `work` now and then; trouble with disk or key is logged and tried again next time."""
    while True:
        try:
            await work()
        except KeycensusError as error:
            _log.error("task.failed", error_id=error.error_id, error=str(error))
        await asyncio.sleep(seconds)


async def serve(
    configuration: Configuration, clock: Clock, parts: Parts, announce: Callable[[Bound], None]
) -> None:
    """Run the collector until SIGTERM or SIGINT; `announce` is told where it listens."""
    use_few_arenas()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = Server(configuration, clock, parts)
    bound = await server.start()
    collect_seldom()
    try:
        announce(bound)
        await server.wait(stopping)
    finally:
        await server.stop()
        _log.info("serve.stopped")
