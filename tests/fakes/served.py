"""A census behind the real application, on real TLS on 127.0.0.1, for the real command."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.census import Census
from fakes.pki import Issued, issue, new_key
from fakes.zygote import zygote_of
from sqlalchemy import insert, select

from keycensus_collector.access.tokens import create_api_token
from keycensus_collector.oidc.settings import Provider, SignIn
from keycensus_collector.store import schema
from keycensus_collector.web.site import create_front


def api_token(census: Census, *, days: int = 90, role: str = "viewer") -> str:
    """Make a token for a user "ada"."""
    with census.store.write() as connection:
        ada = select(schema.user).where(schema.user.c.name == "ada")
        if connection.execute(ada).first() is None:
            connection.execute(
                insert(schema.user).values(name="ada", password_hash="", role=role, created_ms=0)
            )
        return create_api_token(
            connection,
            user_name="ada",
            name="test",
            now_ms=census.clock.now_ms(),
            actor="operator",
            days=days,
        ).text


@dataclass
class Served:
    """The running server; `run` runs `keycensus` against it as a process of its own.

    `providers`: at which people sign in, besides by password.
    """

    census: Census
    directory: Path
    token: str
    providers: Mapping[str, Provider] = field(default_factory=dict)
    authority: Issued = field(default_factory=lambda: issue("Census CA", is_ca=True))
    port: int = 0

    def __post_init__(self) -> None:
        certificate, key = self.directory / "server.pem", self.directory / "server.key"
        server = self._server_certificate()
        certificate.write_bytes(server.pem)
        key.write_bytes(server.key_pem)
        self.ca_file.write_bytes(self.authority.pem)
        self.token_file.write_text(self.token + "\n")
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        sign_in = SignIn(self.url, self.providers)
        front = create_front(self.census.store, self.census.clock, sign_in)
        self.app = front.api
        configuration = uvicorn.Config(
            front,
            ssl_certfile=str(certificate),
            ssl_keyfile=str(key),
            log_level="error",
            lifespan="off",
        )
        self._server = uvicorn.Server(configuration)
        self._thread = threading.Thread(target=self._server.run, args=([listener],))
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def _server_certificate(self) -> Issued:
        key, now = new_key(), dt.datetime.now(dt.UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.authority.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([address]), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.key.public_key()),
                critical=False,
            )
            .sign(self.authority.key, hashes.SHA256())
        )
        return Issued(certificate.public_bytes(Encoding.DER), key)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def token_file(self) -> Path:
        return self.directory / "token"

    def run(
        self, *arguments: str, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `keycensus` with the credentials that `login` stores below the directory."""
        return zygote_of("keycensus_client").run(
            *arguments,
            stdin=stdin,
            timeout=60,
            environment={
                "PATH": os.environ["PATH"],
                "KEYCENSUS_CONFIG": str(self.directory / "config"),
                **environment,
            },
        )

    def login(self) -> subprocess.CompletedProcess[str]:
        return self.run(
            "login", self.url, "--token-file", str(self.token_file), "--ca-file", str(self.ca_file)
        )

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=20)
        self.census.store.close()
