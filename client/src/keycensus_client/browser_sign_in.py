"""Signing in with a browser: a link for it, and a port on this machine that it comes back to (RFC 8252).

What comes back is a code that counts once, and only together with a verifier that never left this
process (PKCE, RFC 7636). So who sees the link, the code or both gets nothing by it, and a code that
somebody else pushes in is refused by the collector.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from keycensus_client.errors import UnauthorisedError
from keycensus_client.text import safe_text

# Passwords, second factors and lost telephones take their time; the collector waits as long.
WAIT_SECONDS = 15 * 60.0
_ANSWER_SECONDS = 5.0
_MOST_CODE = 200
_MOST_TEXT = 1_000
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>keycensus</title>
<p>The <code>keycensus</code> command goes on in its terminal. You can close this page.</p></html>
"""


@dataclass(frozen=True, slots=True)
class Code:
    """What came back, and what proves that we asked for it."""

    code: str = field(repr=False)
    verifier: str = field(repr=False)


def code_from_browser(
    start: str, *, say: Callable[[str], None], seconds: float = WAIT_SECONDS
) -> Code:
    """Send a browser to `start`, an address of the collector, and return the code that it brings back.

    `say` gets the link, for who has to open it themselves. UnauthorisedError if nothing comes in time.
    """
    verifier = secrets.token_urlsafe(32)
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    with _Listener() as listener:
        link = f"{start}?{urlencode({'command': f'{listener.server_port}.{challenge}'})}"
        say(f"Sign in with a browser on this machine:\n  {link}")
        # One in a terminal comes back only when it is left.
        threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()
        until = time.monotonic() + seconds
        while not listener.code:
            listener.timeout = until - time.monotonic()
            if listener.timeout <= 0:
                raise UnauthorisedError(
                    f"nobody signed in within {seconds:g} s; the page in the browser says why, if it "
                    "was refused"
                )
            listener.handle_request()
            if listener.refusal:
                raise UnauthorisedError(f"the sign-in was refused: {listener.refusal}")
    return Code(listener.code, verifier)


class _Listener(HTTPServer):
    """Takes one code, from this machine only; whatever else is asked gets 404."""

    allow_reuse_address = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.code = self.refusal = ""

    def handle_error(self, *_: object) -> None:
        """Say nothing of a browser that hangs up."""


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    timeout = _ANSWER_SECONDS

    def log_message(self, *_: object) -> None:
        """Say nothing: the address line holds the code."""

    def do_GET(self) -> None:
        """Take the code."""
        parts = urlsplit(self.path)
        said = {name: values[0] for name, values in parse_qs(parts.query).items()}
        code, error = said.get("code", ""), said.get("error", "")
        if parts.path != "/" or not (error or 0 < len(code) <= _MOST_CODE):
            self.send_error(404)
            return
        self.server.code = "" if error else code
        self.server.refusal = safe_text(said.get("error_description", error)[:_MOST_TEXT])
        page = _PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Content-Security-Policy", "default-src 'none'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(page)
