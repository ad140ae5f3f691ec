"""The server's certificate as its three ports use it, replaced while they serve.

gRPC asks at each handshake whether there is a newer one; the web server's context takes a new one for
handshakes to come. TLS 1.2 is the least everywhere.
"""

from __future__ import annotations

import asyncio
import ssl

import grpc
import structlog
from cryptography.hazmat.primitives.serialization import Encoding

from keycensus_collector.authority import server_identity
from keycensus_collector.authority.authority import Authority, anchor, from_ms
from keycensus_collector.clock import Clock
from keycensus_collector.config import Configuration
from keycensus_collector.deployment import server_directory

_log = structlog.get_logger()


class ServerTls:
    """Loads or issues the server's certificate, and hands it to the ports."""

    def __init__(self, configuration: Configuration, authority: Authority, clock: Clock) -> None:
        self._directory = server_directory(configuration)
        self._names = configuration.names
        self._authority = authority
        self._clock = clock
        self._anchor_pem = anchor(authority).public_bytes(Encoding.PEM)
        self._identity = self._ensure()
        self.web = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.web.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load_web()

    def grpc_credentials(self, *, ask_for_client: bool) -> grpc.ServerCredentials:
        """Return credentials that follow renewals; with `ask_for_client`, mutual TLS.

        gRPC is told of a renewal once and else "as before": it replaces what handshakes under way use
        without a lock, so a new answer at each let anybody end the process who breaks off a
        few hundred handshakes (measured, grpcio 1.85: SIGSEGV or SIGABRT within seconds).
        """
        roots = self._anchor_pem if ask_for_client else None
        told = self._identity

        def configuration() -> grpc.ServerCertificateConfiguration:
            pair = (told.key_pem, told.chain_pem)
            return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal told
            if told is self._identity:
                return None
            told = self._identity
            return configuration()

        # The stubs do not know that None means "as before" (grpc's own documentation does).
        return grpc.dynamic_ssl_server_credentials(
            configuration(),
            renewed,  # type: ignore[arg-type]
            ask_for_client,
        )

    async def renew_if_due(self) -> None:
        """Issue a new certificate if a third of the old one's life is left."""
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
