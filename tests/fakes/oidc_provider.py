"""A small provider of OpenID Connect on real TLS: discovery, keys, authorize, token, userinfo.

Signatures are real (joserfc), codes count once, PKCE and the client's secret are checked. A test sets what
people are told of (`person`), and how the provider lies (`change`, `sign`, `answers`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from fakes.pki import issue
from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeySet, RSAKey

CLIENT_ID = "keycensus"
CLIENT_SECRET = "s3cret/with:signs"
Claims = dict[str, Any]
_QUESTION = """<!doctype html><html lang=en><title>Corp</title>
<main><h1>Who are you?</h1><p><a href="{}">Go on</a></p></main></html>"""


@dataclass
class Grant:
    """What a code stands for."""

    redirect_uri: str
    challenge: str
    nonce: str


@dataclass
class OidcProvider:
    """What the provider says; `asked` counts requests by path."""

    issuer: str
    ca_file: Path
    now: Callable[[], float]
    person: Claims = field(default_factory=dict)
    change: Claims = field(default_factory=dict)  # of the ID token's claims; None removes one
    sign: Callable[[Claims], str] | None = None
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    described: Claims = field(default_factory=dict)  # besides what discovery says
    denies: str = ""
    asks: bool = False  # the person at a browser, before they are sent back
    iss: str | None = None
    silent: threading.Event | None = None  # set: answers only when it is
    key: Key = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "first"}))
    published: list[Key] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    _codes: dict[str, Grant] = field(default_factory=dict)
    _access: dict[str, Claims] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.published = [self.key]

    def rotate(self, *, publish_old: bool = False) -> Key:
        """Sign by a new key from here on; return the old one."""
        old, self.key = self.key, ECKey.generate_key("P-256", {"kid": secrets.token_hex(4)})
        self.published = [self.key, old] if publish_old else [self.key]
        return old

    def signed_by(self, key: Key, algorithm: str, **header: str) -> Callable[[Claims], str]:
        """Return what signs claims by a key, as an attacker would."""

        def sign(claims: Claims) -> str:
            return jwt.encode({"alg": algorithm, **header}, claims, key, [algorithm])

        return sign

    def answer(
        self, path: str, form: dict[str, str], authorization: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of an honest answer."""
        if path == "/authorize":
            back = self.authorize(form)
            if self.asks:
                return 200, {"Content-Type": "text/html"}, _QUESTION.format(escape(back)).encode()
            return 302, {"Location": back}, b""
        if path == "/logout":
            return 302, {"Location": form["post_logout_redirect_uri"]}, b""
        status, content = 404, {}
        if path == "/.well-known/openid-configuration":
            status, content = 200, self.discovery()
        elif path == "/keys":
            status, content = 200, dict(KeySet(self.published).as_dict(private=False))
        elif path == "/token":
            status, content = self.token(form, authorization)
        elif path == "/userinfo":
            status, content = self.userinfo(authorization)
        return status, {"Content-Type": "application/json"}, json.dumps(content).encode()

    def discovery(self) -> Claims:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/logout",
        } | self.described

    def authorize(self, query: dict[str, str]) -> str:
        """Return where the browser goes: the person has signed in, or refused."""
        assert query["tenant"] == "1"
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        back = {"state": query["state"]} | ({"iss": self.iss} if self.iss else {})
        if self.denies:
            answer = back | {"error": self.denies}
        else:
            code = secrets.token_urlsafe(16)
            self._codes[code] = Grant(
                query["redirect_uri"], query["code_challenge"], query["nonce"]
            )
            answer = back | {"code": code, "session_state": "x"}
        return f"{query['redirect_uri']}?{urlencode(answer)}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, Claims]:
        expected = f"{CLIENT_ID}:{CLIENT_SECRET.replace('/', '%2F').replace(':', '%3A')}"
        basic = "Basic " + base64.b64encode(expected.encode()).decode()
        posted = (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        if authorization != basic and not posted:
            return 401, {"error": "invalid_client"}
        grant = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if grant is None or (grant.redirect_uri, grant.challenge) != (
            form["redirect_uri"],
            challenge,
        ):
            return 400, {"error": "invalid_grant"}
        now = int(self.now())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": grant.nonce,
            **self.person,
            **self.change,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        algorithm = "RS256" if isinstance(self.key, RSAKey) else "ES256"
        sign = self.sign or self.signed_by(self.key, algorithm, kid=str(self.key.kid))
        access = secrets.token_urlsafe(16)
        self._access[access] = {"sub": claims.get("sub")} | self.described.get("userinfo", {})
        return 200, {"id_token": sign(claims), "access_token": access, "token_type": "Bearer"}

    def userinfo(self, authorization: str) -> tuple[int, Claims]:
        claims = self._access.get(authorization.removeprefix("Bearer "))
        return (401, {}) if claims is None else (200, claims)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer(urlsplit(self.path).query)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        self._answer(self.rfile.read(length).decode())

    def _answer(self, text: str) -> None:
        path, provider = urlsplit(self.path).path, self.server.provider
        provider.asked.append(path)
        if provider.silent is not None:
            provider.silent.wait(60)
        form = {name: values[0] for name, values in parse_qs(text).items()}
        found = provider.answers.get(path)
        status, headers, body = found or provider.answer(
            path, form, self.headers.get("Authorization", "")
        )
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    """Shakes hands in the thread of each connection, and says nothing of callers that hang up."""

    daemon_threads = True

    def __init__(self, provider: OidcProvider, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.provider = provider
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def running_provider(directory: Path, now: Callable[[], float]) -> Iterator[OidcProvider]:
    """Serve a provider on a free port of "localhost", whose authority is in `ca_file`."""
    today = datetime.now(UTC)
    authority = issue("Provider CA", is_ca=True, now=today)
    server = issue("localhost", issuer=authority, sans=("localhost",), now=today)
    ca_file, chain = directory / "provider-ca.pem", directory / "provider.pem"
    ca_file.write_bytes(authority.pem)
    chain.write_bytes(server.pem + server.key_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    provider = OidcProvider("", ca_file, now)
    listening = _Server(provider, context)
    provider.issuer = f"https://localhost:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield provider
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
