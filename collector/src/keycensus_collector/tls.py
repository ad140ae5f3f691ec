"""The server's certificate as its three ports use it, replaced while they serve.

gRPC asks at each handshake whether there is a newer one; the web server's context takes a new one for
handshakes to come. TLS 1.2 is the least everywhere.
"""

from __future__ import annotations

import asyncio
import ssl

import grpc
import structlog

from keycensus_collector.authority import server_identity
from keycensus_collector.authority.authority import from_ms
from keycensus_collector.authority.keeper import AuthorityKeeper
from keycensus_collector.clock import Clock
from keycensus_collector.config import Configuration
from keycensus_collector.deployment import server_directory

_log = structlog.get_logger()


class ServerTls:
    """Loads or issues the server's certificate, and hands it to the ports."""

    def __init__(
        self, configuration: Configuration, authority: AuthorityKeeper, clock: Clock
    ) -> None:
        self._directory = server_directory(configuration)
        self._names = configuration.names
        self._authority = authority
        self._clock = clock
        self._identity = self._ensure()
        # The timer's and a roll-over's renewals write the same two files.
        self._renewing = asyncio.Lock()
        self.web = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.web.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load_web()

    def grpc_credentials(self, *, ask_for_client: bool) -> grpc.ServerCredentials:
        """Return credentials that follow renewals; with `ask_for_client`, mutual TLS.

        gRPC is told of a change once and else "as before": it replaces what handshakes under way use
        without a lock, so a new answer at each let anybody end the process who breaks off a
        few hundred handshakes (measured, grpcio 1.85: SIGSEGV or SIGABRT within seconds).
        """

        def current() -> tuple[server_identity.ServerIdentity, bytes | None]:
            roots = self._authority.client_anchors_pem if ask_for_client else None
            return self._identity, roots

        told = current()

        def configuration() -> grpc.ServerCertificateConfiguration:
            identity, roots = told
            pair = (identity.key_pem, identity.chain_pem)
            return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal told
            if told == (now := current()):
                return None
            told = now
            return configuration()

        # The stubs do not know that None means "as before" (grpc's own documentation does).
        return grpc.dynamic_ssl_server_credentials(
            configuration(),
            changed,  # type: ignore[arg-type]
            ask_for_client,
        )

    async def renew_if_due(self) -> None:
        """Issue a new certificate if a third of the old one's life is left, or another CA signs."""
        async with self._renewing:
            await self._renew_if_due()

    async def _renew_if_due(self) -> None:
        identity = await asyncio.to_thread(self._ensure)
        if identity.certificate == self._identity.certificate:
            return
        self._identity = identity
        self._load_web()
        _log.info(
            "server.certificate_renewed",
            not_after=identity.certificate.not_valid_after_utc.isoformat(),
        )

    def _ensure(self) -> server_identity.ServerIdentity:
        now = from_ms(self._clock.now_ms())
        return server_identity.ensure(self._directory, self._authority, self._names, now)

    def _load_web(self) -> None:
        self.web.load_cert_chain(
            self._directory / server_identity.CHAIN_FILE,
            self._directory / server_identity.KEY_FILE,
        )
